//! The surroundings of bcs-check: the tasks that a Mesos scheduler keeps in ZooKeeper, and a scheduler that takes reports.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::certs::Certs;

/// The digest user of the services, and its password.
const USER: &[u8] = b"bcsce:bcsce@community2019";

/// Where the scheduler keeps its tasks.
const TASKS: &str = "/blueking/application";

/// Where schedulers register.
const SCHEDULERS: &str = "/bcs/services/endpoints/scheduler";

/// Where instances of bcs-check register for the election.
const CHECKS: &str = "/bcs/services/endpoints/check";

/// A task with one remote check.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number; different ones for different tasks.
    pub number: usize,
    /// `Running`, or another status.
    pub status: &'static str,
    /// Where it is probed.
    pub target: SocketAddr,
    /// The path of an HTTP check; none: TCP.
    pub path: Option<String>,
    /// Seconds before the first interval.
    pub grace: u64,
    /// Seconds between two rounds.
    pub interval: u64,
}

impl Task {
    /// A running task with a TCP check every two seconds.
    pub fn tcp(number: usize, target: SocketAddr) -> Self {
        Self { number, status: "Running", target, path: None, grace: 0, interval: 2 }
    }

    /// A running task with an HTTP check every two seconds.
    pub fn http(number: usize, target: SocketAddr, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..Self::tcp(number, target) }
    }

    /// The id in reports.
    pub fn id(&self) -> String {
        format!("{:019}.0.{}.app-{}.ns.10001", self.number, self.number, self.number / 100)
    }

    fn group(&self) -> String {
        let application = self.number / 100;
        format!(
            "{TASKS}/ns-{:02}/app-{application}/{}.app-{application}.ns.10001.{:019}",
            application % 10,
            self.number,
            self.number
        )
    }

    fn node(&self) -> String {
        format!("{}/{}", self.group(), self.id())
    }

    fn data(&self) -> String {
        let times = json!({"gracePeriodSeconds": self.grace, "intervalSeconds": self.interval, "timeoutSeconds": 1});
        let mut check = times.as_object().unwrap().clone();
        let port = self.target.port();
        match &self.path {
            Some(path) => check.extend([
                ("type".to_owned(), json!("REMOTE_HTTP")),
                ("http".to_owned(), json!({"port": port, "scheme": "http", "path": path})),
            ]),
            None => check.extend([("type".to_owned(), json!("REMOTE_TCP")), ("tcp".to_owned(), json!({"port": port}))]),
        }
        let status = json!({"IPAddress": self.target.ip().to_string(), "NodeAddress": "127.0.0.1"});
        // About as long as real ones.
        json!({
            "Kind": "application", "ID": self.id(), "Name": self.id(), "Image": "web:1", "Network": "USER",
            "PortMappings": [{"ContainerPort": port, "HostPort": 0, "Name": "port", "Protocol": "tcp"}],
            "DataClass": {"Resources": {"Cpus": 0.1, "Mem": 64, "Disk": 64}, "Msgs": []}, "HealthChecks": [check],
            "Status": self.status, "StatusData": status.to_string(), "AppId": "app", "RunAs": "ns", "Env": {"A": "x".repeat(500)},
        })
        .to_string()
    }
}

/// ZooKeeper as the scheduler sees it. Nodes are open to everyone.
#[derive(Clone)]
pub struct MesosTree {
    client: Client,
}

impl MesosTree {
    /// Connects.
    pub async fn connect(zookeeper: SocketAddr) -> Self {
        let connector = Client::connector().with_auth("digest", USER);
        Self { client: connector.connect(&zookeeper.to_string()).await.unwrap() }
    }

    /// Writes a task, and its parents if they are missing.
    pub async fn put(&self, task: &Task) {
        self.write(&task.node(), task.data().as_bytes()).await;
    }

    /// Deletes a task and its group.
    pub async fn delete(&self, task: &Task) {
        for path in [task.node(), task.group()] {
            match self.client.delete(&path, None).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(error) => panic!("{path}: {error}"),
            }
        }
    }

    /// Registers a scheduler; the one with the lowest sequence is the master.
    pub async fn register_scheduler(&self, scheduler: &Scheduler, sequence: u32) {
        let (address, scheme) = (scheduler.address, scheduler.scheme);
        let info = json!({"ip": address.ip().to_string(), "port": address.port(), "scheme": scheme});
        self.write(&scheduler_node(address, sequence), info.to_string().as_bytes()).await;
    }

    /// Takes a registration back.
    pub async fn unregister_scheduler(&self, address: SocketAddr, sequence: u32) {
        self.client.delete(&scheduler_node(address, sequence), None).await.unwrap();
    }

    /// The instances of bcs-check in the election.
    pub async fn check_nodes(&self) -> Vec<String> {
        let mut names = match self.client.list_children(CHECKS).await {
            Ok(names) => names,
            Err(Error::NoNode) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        names.retain(|name| name.starts_with("_c_"));
        names
    }

    async fn write(&self, path: &str, data: &[u8]) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        loop {
            match self.client.create(path, data, &options).await {
                Ok(_) => return,
                Err(Error::NodeExists) => match self.client.set_data(path, data, None).await {
                    Ok(_) => return,
                    Err(Error::NoNode) => {}
                    Err(error) => panic!("{path}: {error}"),
                },
                Err(Error::NoNode) => {
                    let (parent, _) = path.rsplit_once('/').unwrap();
                    self.client.mkdir(parent, &options).await.unwrap();
                }
                Err(error) => panic!("{path}: {error}"),
            }
        }
    }
}

fn scheduler_node(address: SocketAddr, sequence: u32) -> String {
    format!("{SCHEDULERS}/_c_{sequence:032x}-{address}{sequence:010}")
}

/// A report as a scheduler sees it.
#[derive(Clone, Debug)]
pub struct Report {
    /// When it arrived.
    pub at: Instant,
    /// The task.
    pub id: String,
    /// The status.
    pub healthy: bool,
}

/// A scheduler that takes reports until it is dropped.
pub struct Scheduler {
    address: SocketAddr,
    scheme: &'static str,
    reports: Arc<Mutex<Vec<Report>>>,
    _server: JoinSet<()>,
}

impl Scheduler {
    /// Starts one. It is not registered.
    pub async fn start() -> Self {
        Self::serve("http", None).await
    }

    /// Starts one that speaks TLS and asks for no certificate. It is not registered.
    pub async fn start_tls(certs: &Certs) -> Self {
        let chain = CertificateDer::pem_file_iter(certs.server_cert()).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(certs.server_key()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::serve("https", Some(Arc::new(config).into())).await
    }

    async fn serve(scheme: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&reports);
        let answer = move |request: Request<Incoming>| {
            let seen = Arc::clone(&seen);
            async move {
                let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                if let Ok(body) = serde_json::from_slice::<Value>(&body) {
                    let id = body["id"].as_str().unwrap_or_default().to_owned();
                    let healthy = body["status"].as_bool().unwrap_or_default();
                    seen.lock().unwrap().push(Report { at: Instant::now(), id, healthy });
                }
                let answer = r#"{"result":true,"code":0,"message":"success","data":null}"#;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
            }
        };
        Self { address, scheme, reports, _server: serve(listener, tls, answer) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All reports so far.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    /// The statuses reported of a task, oldest first.
    pub fn statuses(&self, task: &Task) -> Vec<bool> {
        let id = task.id();
        self.reports.lock().unwrap().iter().filter(|report| report.id == id).map(|report| report.healthy).collect()
    }
}

/// An HTTP server whose pages are healthy or not, as told.
pub struct Pages {
    address: SocketAddr,
    /// Pages that are not healthy, and when they were asked for.
    broken: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
    _server: JoinSet<()>,
}

impl Pages {
    /// Starts one; all pages are healthy.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broken = Arc::new(Mutex::new(HashMap::new()));
        let seen: Arc<Mutex<HashMap<String, Vec<Instant>>>> = Arc::clone(&broken);
        let answer = move |request: Request<Incoming>| {
            let status = match seen.lock().unwrap().get_mut(request.uri().path()) {
                Some(asked) => {
                    asked.push(Instant::now());
                    500
                }
                None => 200,
            };
            let response = Response::builder().status(status).body(Full::new(Bytes::new())).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        };
        Self { address, broken, _server: serve(listener, None, answer) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a page healthy or not.
    pub fn set(&self, path: &str, healthy: bool) {
        let mut broken = self.broken.lock().unwrap();
        if healthy {
            broken.remove(path);
        } else {
            broken.insert(path.to_owned(), Vec::new());
        }
    }

    /// When an unhealthy page was asked for since it is unhealthy.
    pub fn asked(&self, path: &str) -> Vec<Instant> {
        self.broken.lock().unwrap().get(path).cloned().unwrap_or_default()
    }
}

/// Serves HTTP/1 until the returned value is dropped.
fn serve<F, R>(listener: TcpListener, tls: Option<TlsAcceptor>, answer: F) -> JoinSet<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // A client that left before it was accepted.
                    let Ok((stream, _)) = accepted else { continue };
                    connections.spawn(serve_connection(stream, tls.clone(), answer.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    server
}

/// The client may break off at any time.
async fn serve_connection<F, R>(stream: TcpStream, tls: Option<TlsAcceptor>, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Send + 'static,
    R: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let server = http1::Builder::new();
    match tls {
        None => drop(server.serve_connection(TokioIo::new(stream), service_fn(answer)).await),
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                drop(server.serve_connection(TokioIo::new(stream), service_fn(answer)).await);
            }
        }
    }
}
