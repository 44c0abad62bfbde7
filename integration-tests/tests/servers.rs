//! Every server of the harness starts, answers, comes back on its port, and is gone when its value is dropped.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::daemon::Daemon;
use bcs_integration_tests::http::{Client, Error};
use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::servers::rabbitmq::RabbitMq;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::wait::{eventually, eventually_some};
use bcs_integration_tests::workdir::WorkDir;
use bson::{Document, doc};
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;
use zookeeper_client::{Acls, CreateMode};

const SOON: Duration = Duration::from_secs(60);

/// What must not be there any more when a server's value is dropped.
struct Traces {
    pid: u32,
    address: SocketAddr,
    dir: PathBuf,
}

impl Traces {
    fn of(daemon: &mut Daemon) -> Self {
        Self { pid: daemon.process().id(), address: daemon.address(), dir: daemon.dir().path().to_path_buf() }
    }

    fn assert_gone(&self) {
        assert!(!process_exists(self.pid), "process {} runs", self.pid);
        assert!(TcpStream::connect(self.address).is_err(), "{} accepts", self.address);
        assert!(!self.dir.exists(), "{} is left", self.dir.display());
    }
}

fn process_exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test]
async fn zookeeper_keeps_its_nodes_over_a_kill() {
    let mut server = ZooKeeper::start().await;
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let client = zookeeper_client::Client::connect(&server.address().to_string()).await.unwrap();
    client.create("/node", b"data", &persistent).await.unwrap();
    drop(client);

    server.daemon().kill();
    server.daemon().start_again().await;
    let client = zookeeper_client::Client::connect(&server.address().to_string()).await.unwrap();
    assert_eq!(client.get_data("/node").await.unwrap().0, b"data");

    let traces = Traces::of(server.daemon());
    drop(server);
    traces.assert_gone();
}

#[tokio::test]
async fn two_zookeepers_share_nothing() {
    let (one, other) = tokio::join!(ZooKeeper::start(), ZooKeeper::start());
    assert_ne!(one.address(), other.address());
    let client = zookeeper_client::Client::connect(&one.address().to_string()).await.unwrap();
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create("/node", b"", &persistent).await.unwrap();
    let client = zookeeper_client::Client::connect(&other.address().to_string()).await.unwrap();
    assert!(client.check_stat("/node").await.unwrap().is_none());
}

/// Puts a key and reads it back, over etcd's JSON gateway.
async fn put_and_get(client: &Client) -> Result<(), Error> {
    let (key, value) = (BASE64_STANDARD.encode("key"), BASE64_STANDARD.encode("value"));
    client.post("/v3/kv/put", &json!({"key": key, "value": value})).await?;
    let found = client.post("/v3/kv/range", &json!({"key": key})).await?.json();
    assert_eq!(found["kvs"][0]["value"], value);
    Ok(())
}

#[tokio::test]
async fn etcd_answers() {
    let mut server = Etcd::start().await;
    put_and_get(&Client::new(&format!("http://{}", server.address()))).await.unwrap();
    let traces = Traces::of(server.daemon());
    drop(server);
    traces.assert_gone();
}

#[tokio::test]
async fn etcd_speaks_tls() {
    let mut server = Etcd::start_tls().await;
    let base = format!("https://localhost:{}", server.address().port());
    put_and_get(&Client::with_tls(&base, server.certs().unwrap())).await.unwrap();

    // A client that trusts another CA only.
    let stranger = Client::with_tls(&base, &Certs::generate());
    assert!(matches!(stranger.get("/version").await, Err(Error::Connect(_))));
    let traces = Traces::of(server.daemon());
    drop(server);
    traces.assert_gone();
}

#[tokio::test]
async fn mariadb_keeps_its_rows_over_a_kill() {
    let mut server = MariaDb::start().await;
    let dsn = server.create_database("bcs").await;
    assert!(dsn.contains(&format!("tcp({})/bcs", server.address())));
    server.query("CREATE TABLE bcs.t (a INT, b TEXT)").await;
    server.query("INSERT INTO bcs.t VALUES (1, 'één'), (2, NULL)").await;

    server.daemon().kill();
    server.daemon().start_again().await;
    assert_eq!(server.query("SELECT * FROM bcs.t ORDER BY a").await, "1\téén\n2\tNULL\n");

    let traces = Traces::of(server.daemon());
    drop(server);
    traces.assert_gone();
}

#[tokio::test]
async fn mongodb_streams_changes_and_comes_back() {
    let mut server = MongoDb::start_own().await;
    let client = mongodb::Client::with_uri_str(server.uri()).await.unwrap();
    let documents = client.database(&server.database("dynamic")).collection::<Document>("Pod");
    documents.insert_one(doc! {"n": 1}).await.unwrap();
    let mut changes = documents.watch().await.unwrap();
    documents.insert_one(doc! {"n": 2}).await.unwrap();
    let change = eventually_some("the change", SOON, async || changes.next_if_any().await.unwrap()).await;
    assert_eq!(change.full_document.unwrap().get_i32("n").unwrap(), 2);

    let (_, took) = server.daemon().stop().await;
    assert!(took < SOON);
    server.daemon().start_again().await;
    eventually("a write to the new server", SOON, async || documents.insert_one(doc! {"n": 3}).await.is_ok()).await;

    let traces = Traces::of(server.daemon());
    drop(server);
    traces.assert_gone();
}

#[tokio::test]
async fn mongodb_databases_are_private() {
    let server = MongoDb::start().await;
    assert_ne!(server.database("event"), server.database("event"));
    assert!(!server.hosts().contains(['/', '@', '?']), "{}", server.hosts());
}

#[tokio::test]
async fn rabbitmq_keeps_durable_messages_over_a_kill() {
    let mut server = RabbitMq::start().await;
    let queue = "Event";
    let connection = connect(&server).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), durable, FieldTable::default()).await.unwrap();
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let publish = channel.basic_publish("".into(), queue.into(), options, b"text", persistent);
    assert!(publish.await.unwrap().await.unwrap().is_ack());

    server.daemon().kill();
    server.daemon().start_again().await;
    let channel = connect(&server).await.create_channel().await.unwrap();
    let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
    assert_eq!(message.unwrap().delivery.data, b"text");

    let traces = Traces::of(server.daemon());
    drop(server);
    traces.assert_gone();
}

async fn connect(server: &RabbitMq) -> Connection {
    let properties = ConnectionProperties::default();
    Connection::connect(&server.uri(), properties).await.unwrap()
}

#[tokio::test]
async fn a_server_outlives_the_thread_that_started_it() {
    let (mut process, dir) = std::thread::spawn(sleeping_process).join().unwrap();
    let end = tokio::time::timeout(Duration::from_millis(300), process.exited(SOON)).await;
    assert!(end.is_err(), "it ended with the thread");
    let pid = process.id();
    drop((process, dir));
    assert!(!process_exists(pid));
}

fn sleeping_process() -> (Process, WorkDir) {
    let dir = WorkDir::new("sleep");
    let mut sleep = command("sleep", dir.path());
    sleep.arg("1000");
    (Process::spawn("sleep", sleep, dir.path()), dir)
}

/// Runs itself in a second process, which starts a server and waits until it is killed.
#[tokio::test]
async fn a_killed_test_program_takes_its_servers_along() {
    const SECOND: &str = "BCS_TEST_SECOND_PROCESS";
    if std::env::var_os(SECOND).is_some() {
        let (mut process, _dir) = sleeping_process();
        println!("\nserver {}", process.id());
        process.exited(SOON * 6).await;
        return;
    }
    let dir = WorkDir::new("second");
    let mut again = command(std::env::current_exe().unwrap(), dir.path());
    again.args(["--exact", "a_killed_test_program_takes_its_servers_along", "--nocapture"]).env(SECOND, "1");
    let mut program = Process::spawn("second test program", again, dir.path());
    let pid = eventually_some("the second program's server", SOON, async || {
        let [stdout, _] = program.output();
        let line = stdout.split_once("\nserver ")?.1;
        line.split_once('\n')?.0.parse().ok()
    })
    .await;
    assert!(process_exists(pid));
    program.kill();
    eventually("the server is gone", SOON, async || !process_exists(pid)).await;
}
