//! Permissions that the IAM sends (`turn_on_auth`): a websocket to its push server, for ever.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bcs_common::errors::chain;
use bcs_common::shutdown::Shutdown;
use bcs_tunnel::websocket::codec::{Decoder, Encoder, Event, Opcode, Role, WebsocketError};
use bcs_tunnel::websocket::connect::{ConnectError, Endpoint, connect};
use bytes::BytesMut;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::{error, info, warn};

use super::permission::{self, Message};
use crate::options::BkiamAuthOptions;
use crate::store::Store;

const PATH: &str = "/subscribers/bcs-api/sub";
/// Between two connections.
const PAUSE: Duration = Duration::from_secs(3);
/// A server that sends nothing at all for so long, not even a ping, is gone.
const SILENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Error)]
enum PushError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Websocket(#[from] WebsocketError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("nothing arrived for {} s", SILENCE.as_secs())]
    Silence,
    #[error("the server closed the connection")]
    Closed,
}

/// Subscribes until the shutdown.
pub(super) fn start(options: &BkiamAuthOptions, store: &Store, shutdown: &Shutdown) {
    let subscriber = Subscriber {
        server: options.bkiam_auth_sub_server.clone(),
        app_code: options.bkiam_auth_app_code.clone(),
        app_secret: options.bkiam_auth_app_secret.clone(),
        store: store.clone(),
        shutdown: shutdown.clone(),
    };
    let stop = shutdown.token();
    shutdown.spawn("rbac from the push server", async move {
        tokio::select! {
            () = subscriber.run() => {}
            () = stop.cancelled() => {}
        }
    });
}

struct Subscriber {
    server: String,
    app_code: String,
    app_secret: String,
    store: Store,
    shutdown: Shutdown,
}

impl Subscriber {
    async fn run(self) {
        loop {
            if let Err(reason) = self.follow().await {
                warn!("the push server {}: {}", self.server, chain(&reason));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&self) -> Result<(), PushError> {
        let credentials = BASE64.encode(format!("{}:{}", self.app_code, self.app_secret));
        let mut headers = HeaderMap::new();
        if let Ok(mut value) = HeaderValue::try_from(format!("Basic {credentials}")) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let endpoint = Endpoint { authority: &self.server, path: PATH };
        let mut stream = connect(endpoint, headers, None, &self.shutdown).await?;
        info!("subscribed to the push server {}", self.server);
        self.converse(&mut stream).await
    }

    async fn converse(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), PushError> {
        let (mut decoder, encoder) = (Decoder::new(Role::Client), Encoder::new(Role::Client));
        let mut received = BytesMut::new();
        loop {
            let mut answer = BytesMut::new();
            let mut is_closed = false;
            while let Some(event) = decoder.decode(&mut received)? {
                match event {
                    Event::Text(text) | Event::Binary(text) => {
                        if let Some(ack) = self.take(&text).await {
                            encoder.encode(&mut answer, Opcode::Text, ack.as_bytes(), &[]);
                        }
                    }
                    Event::Ping => {
                        encoder.encode(&mut answer, Opcode::Pong, &[], &[]);
                    }
                    Event::Pong => {}
                    Event::Close => is_closed = true,
                }
            }
            if !answer.is_empty() {
                stream.write_all(&answer).await?;
                stream.flush().await?;
            }
            if is_closed {
                return Err(PushError::Closed);
            }
            let read = tokio::time::timeout(SILENCE, stream.read_buf(&mut received)).await;
            if read.map_err(|_| PushError::Silence)?? == 0 {
                return Err(PushError::Closed);
            }
        }
    }

    /// Does what a message says; the acknowledgement if it is done.
    async fn take(&self, text: &[u8]) -> Option<String> {
        let Ok(message) = serde_json::from_slice::<Message>(text) else {
            warn!("the push server sent something that is no message");
            return None;
        };
        if message.kind != "data" {
            return None;
        }
        match permission::apply(&self.store, &message.data, &self.shutdown).await {
            Ok(()) => {
                let Message { worker_id, data_id, .. } = message;
                let ack = json!({"app_code": self.app_code, "type": "ack", "worker_id": worker_id, "data_id": data_id});
                Some(ack.to_string())
            }
            Err(reason) => {
                error!("a permission of the push server is not set: {}", chain(&reason));
                None
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    /// Sends messages as the push server and closes; what was answered.
    pub(in super::super) async fn converse(store: &Store, shutdown: &Shutdown, messages: &[String]) -> Vec<Value> {
        let subscriber = Subscriber {
            server: String::new(),
            app_code: "bcs".into(),
            app_secret: String::new(),
            store: store.clone(),
            shutdown: shutdown.clone(),
        };
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        let encoder = Encoder::new(Role::Server);
        let mut sent = BytesMut::new();
        encoder.encode(&mut sent, Opcode::Ping, b"", b"");
        for message in messages {
            encoder.encode(&mut sent, Opcode::Text, message.as_bytes(), b"");
        }
        theirs.write_all(&sent).await.unwrap();
        encoder.close(&mut sent, 1000);
        theirs.write_all(&sent[sent.len() - 4..]).await.unwrap();
        let outcome = subscriber.converse(&mut ours).await;
        assert!(matches!(outcome, Err(PushError::Closed)), "{outcome:?}");
        drop(ours);
        let mut received = BytesMut::new();
        while theirs.read_buf(&mut received).await.unwrap() > 0 {}
        let mut decoder = Decoder::new(Role::Server);
        let mut answers = Vec::new();
        while let Some(event) = decoder.decode(&mut received).unwrap() {
            match event {
                Event::Text(text) => answers.push(serde_json::from_slice(&text).unwrap()),
                other => assert_eq!(other, Event::Pong),
            }
        }
        answers
    }
}
