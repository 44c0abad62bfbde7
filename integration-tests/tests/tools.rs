//! The client, the replays and the JSON streams of the harness, against the stand-in backend of the tools.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bcs_integration_tests::daemon::{Daemon, Ready};
use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::http::{Client, Error};
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::command;
use bcs_integration_tests::workdir::WorkDir;
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// A server that answers by describing the request.
struct Stub {
    daemon: Daemon,
    _port: Port,
}

impl Stub {
    async fn start() -> Self {
        let port = Port::claim();
        let number = port.number().to_string();
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/backend_stub.py");
        let dir = WorkDir::new("stub");
        let daemon = Daemon::start("stub", dir, port.address(), Ready::Listens, move |dir| {
            let mut python = command("python3", dir);
            python.arg("-B").arg(&tool).args(["--port", &number]);
            python
        })
        .await;
        Self { daemon, _port: port }
    }

    fn url(&self) -> String {
        format!("http://{}", self.daemon.address())
    }

    /// A conversation of one request whose answer's method is said to be `method`.
    fn conversation(&self, method: &str, vars: &[&str]) -> PathBuf {
        let step = json!({
            "name": "one", "method": "GET", "path": "/a",
            "expect": {"status": 200, "json": {"data": {"method": method}}},
            "ignore": ["/result", "/code", "/message", "/data/stub", "/data/path", "/data/query", "/data/headers",
                       "/data/body", "/data/tls"],
        });
        let conversation = json!({"service": "stub", "vars": vars, "steps": [step]});
        self.daemon.dir().write("conversation.json", conversation.to_string())
    }
}

#[tokio::test]
async fn a_replay_counts_the_steps_that_agree() {
    let stub = Stub::start().await;
    let file = stub.conversation("GET", &["GIVEN"]);
    let replay = Replay::new(&stub.url()).conversation(file).var("GIVEN", "x");
    assert_eq!(replay.run().await, 1);
}

#[tokio::test]
#[should_panic(expected = "DIFF")]
async fn a_replay_fails_on_a_difference() {
    let stub = Stub::start().await;
    let file = stub.conversation("PUT", &[]);
    Replay::new(&stub.url()).conversation(file).run().await;
}

#[tokio::test]
#[should_panic(expected = "SKIP")]
async fn a_replay_skips_nothing() {
    let stub = Stub::start().await;
    let file = stub.conversation("GET", &["MISSING"]);
    Replay::new(&stub.url()).conversation(file).run().await;
}

#[tokio::test]
async fn the_client_sends_what_it_is_given() {
    let stub = Stub::start().await;
    let client = Client::new(&stub.url());
    let body = json!({"data": {"a": [1, 2.5, null]}});
    let answer = client.put("/a/b%20c?k=v", &body).await.unwrap();
    assert_eq!(answer.status, 200);
    let seen = &answer.json()["data"];
    assert_eq!((&seen["method"], &seen["path"]), (&json!("PUT"), &json!("/a/b%20c")));
    assert_eq!(seen["query"], "k=v");
    assert_eq!(seen["headers"]["content-type"], "application/json");
    assert_eq!(serde_json::from_str::<Value>(seen["body"].as_str().unwrap()).unwrap(), body);
    assert_eq!(client.delete("/a?_status=404").await.unwrap().status, 404);
}

#[tokio::test]
async fn the_client_survives_a_restart_of_the_server() {
    let mut stub = Stub::start().await;
    let client = Client::new(&stub.url());
    client.get("/").await.unwrap();
    stub.daemon.kill();
    assert!(matches!(client.get("/").await, Err(Error::Connect(_) | Error::Http(_))));
    stub.daemon.start_again().await;
    assert_eq!(client.get("/").await.unwrap().status, 200);
}

#[tokio::test]
async fn the_client_sees_cut_answers() {
    let stub = Stub::start().await;
    let client = Client::new(&stub.url());
    for cut in ["start", "head"] {
        let answer = client.get(&format!("/?_cut={cut}")).await;
        assert!(matches!(answer, Err(Error::Http(_))), "{cut}: {answer:?}");
    }
}

#[tokio::test]
async fn a_stream_gives_documents_as_they_come() {
    let stub = Stub::start().await;
    let client = Client::new(&stub.url());
    let path = "/?_chunks=3&_gap=50";
    let mut stream = client.stream(Method::GET, path, None).await.unwrap();
    assert_eq!(stream.status, 200);
    for n in 1..=3 {
        let document = stream.next(SOON).await.unwrap().unwrap();
        assert_eq!(document, json!({"chunk": n}));
    }
    assert!(stream.next(SOON).await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_tells_silence_from_a_cut() {
    let stub = Stub::start().await;
    let client = Client::new(&stub.url());
    let mut silent = client.stream(Method::GET, "/?_chunks=2&_gap=60000", None).await.unwrap();
    assert!(silent.next(SOON).await.unwrap().is_some());
    let quiet = silent.next(Duration::from_millis(50)).await;
    assert!(matches!(quiet, Err(Error::TimedOut)), "{quiet:?}");

    let path = "/?_chunks=1&_cut=body";
    let mut cut = client.stream(Method::GET, path, None).await.unwrap();
    assert!(cut.next(SOON).await.unwrap().is_some());
    assert!(matches!(cut.next(SOON).await, Err(Error::Http(_))));
}
