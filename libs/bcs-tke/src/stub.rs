//! A stand-in for the API, for tests of this library and of those who use it: it answers every call alike and keeps what
//! it was asked.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use std::convert::Infallible;
use std::sync::Arc;

use bcs_common::certs;
use bcs_common::http::Body;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, ServerTls};
use http::{Request, Response};
use parking_lot::Mutex;

/// The stand-in; it serves until the shutdown it was started with.
pub struct Stub {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers every call with `reply` until the shutdown.
    ///
    /// # Panics
    /// It cannot listen.
    pub async fn start(reply: &'static str, shutdown: &Shutdown) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = certs::generate(&["localhost".to_owned()]).unwrap().write(dir.path(), false).unwrap();
        let options = ServerTls {
            cert_file: Some(files.server.clone()),
            key_file: Some(files.server_key.clone()),
            ..ServerTls::default()
        };
        let listener =
            Listener::bind("127.0.0.1:0", Some(tls::server_config(&options, &["http/1.1"]).unwrap())).await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = {
            let asked = Arc::clone(&asked);
            tower::service_fn(move |request: Request<Body>| {
                asked.lock().push(request.uri().to_string());
                async move { Ok::<_, Infallible>(Response::new(Body::from(reply))) }
            })
        };
        shutdown.spawn("stub", serve(listener, service, ServerOptions::default(), shutdown.clone()));
        Self { host, asked }
    }

    /// `host:port` where it serves HTTPS.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path and query of every call.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}
