//! Registration, discovery, election and plain nodes against a real ZooKeeper.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test")]

#[path = "support/process.rs"]
mod process;
#[path = "support/zookeeper.rs"]
mod zookeeper;

use std::time::{Duration, Instant};

use bcs_common::registry::election::{Election, Role};
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperError, ZooKeeperOptions};
use bcs_common::registry::{
    Node, Registration, RegistrationState, Registry, ServerInfo, ServiceRegistration, sequence,
};
use bcs_common::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::process::eventually;
use crate::zookeeper::{Proxy, ZooKeeperServer};

const USER: &str = "bcsce";
const PASSWORD: &str = "bcsce@community2019";
const BASE: &str = "/bcs/services/endpoints";
/// Session timeout of the tests, long enough for a machine with other work.
const SESSION: Duration = Duration::from_secs(15);
/// Session timeout of tests that wait for its end.
const SHORT_SESSION: Duration = Duration::from_secs(4);
/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// What a machine with other work may add to a time that is measured here.
const LOAD: Duration = Duration::from_secs(10);

fn connect(servers: String, shutdown: &Shutdown) -> ZooKeeper {
    connect_for(SESSION, servers, shutdown)
}

fn connect_for(session_timeout: Duration, servers: String, shutdown: &Shutdown) -> ZooKeeper {
    let options = ZooKeeperOptions { session_timeout, ..ZooKeeperOptions::new(servers, USER, PASSWORD) };
    ZooKeeper::start(options, shutdown).unwrap()
}

/// A client of the test's own, to look from outside.
async fn observer(server: &ZooKeeperServer) -> Client {
    let auth = format!("{USER}:{PASSWORD}");
    let connector = Client::connector().with_session_timeout(SESSION);
    connector.with_auth("digest", auth.as_bytes()).connect(&server.address()).await.unwrap()
}

fn service(module: &str, ip: &str) -> ServiceRegistration {
    let info = ServerInfo { ip: ip.into(), port: 8443, scheme: "https".into(), pid: 4242, ..ServerInfo::default() };
    ServiceRegistration::new(module, ip, info)
}

async fn registered(registration: &Registration) -> String {
    let mut state = registration.state();
    let is_registered = |state: &RegistrationState| matches!(state, RegistrationState::Registered(_));
    let state = timeout(LIMIT, state.wait_for(is_registered)).await.expect("registered in time").unwrap().clone();
    let RegistrationState::Registered(name) = state else { unreachable!() };
    name
}

async fn seen(nodes: &mut watch::Receiver<Vec<Node>>, ips: &[&str]) {
    let matches = |nodes: &Vec<Node>| nodes.iter().map(|node| node.info.clone().unwrap().ip).eq(ips.iter().copied());
    let found = timeout(LIMIT, nodes.wait_for(matches)).await.is_ok();
    assert!(found, "expected {ips:?}, got {:?}", nodes.borrow());
}

/// The children of a module's directory, none while it is missing.
async fn children(observer: &Client, module: &str) -> Vec<String> {
    match observer.list_children(&format!("{BASE}/{module}")).await {
        Ok(names) => names,
        Err(Error::NoNode) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn registers_a_protected_node_that_only_the_owner_can_read() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let zookeeper = connect(server.address(), &shutdown);
    let registration = zookeeper.register(service("apiserver", "127.0.0.1"));
    let name = registered(&registration).await;

    let id = name.strip_prefix("_c_").unwrap().strip_suffix("-127.0.0.10000000000").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{name}");

    let observer = observer(&server).await;
    let path = format!("{BASE}/apiserver/{name}");
    let (data, stat) = observer.get_data(&path).await.unwrap();
    assert_eq!(
        String::from_utf8(data).unwrap(),
        r#"{"ip":"127.0.0.1","ipv6":"","port":8443,"grpc_port":0,"metric_port":0,"hostname":"","scheme":"https","version":"","cluster":"","pid":4242,"external_ip":"","external_ipv6":"","external_port":0}"#
    );
    assert_ne!(stat.ephemeral_owner, 0);
    for path in ["/bcs", "/bcs/services", BASE, "/bcs/services/endpoints/apiserver", path.as_str()] {
        let (acl, _) = observer.get_acl(path).await.unwrap();
        let rules: Vec<_> = acl.iter().map(|acl| (acl.permission().to_string(), acl.scheme(), acl.id())).collect();
        assert_eq!(rules, [("ALL".into(), "digest", "bcsce:n6AK5IylGI53+8xs1i567hzCPeg=")], "{path}");
    }
    for path in ["/bcs", "/bcs/services", BASE] {
        assert_eq!(observer.get_data(path).await.unwrap().0, b"", "{path}");
    }
    let stranger = Client::connector().connect(&server.address()).await.unwrap();
    assert_eq!(stranger.get_data(&path).await.unwrap_err(), Error::NoAuth);

    registration.deregister().await;
    assert_eq!(children(&observer, "apiserver").await, Vec::<String>::new());
    assert!(shutdown.drain(LIMIT).await);
}

#[tokio::test]
async fn registers_again_after_its_session_was_killed() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let proxy = Proxy::start(&server, &shutdown).await;
    let zookeeper = connect_for(SHORT_SESSION, proxy.address(), &shutdown);
    let registration = zookeeper.register(service("apiserver", "127.0.0.1"));
    let first = registered(&registration).await;
    let observer = observer(&server).await;

    let killed = Instant::now();
    assert!(proxy.kill_session().await);
    let names = eventually("one new node", LIMIT, async || {
        let names = children(&observer, "apiserver").await;
        (!names.is_empty() && !names.contains(&first)).then_some(names)
    })
    .await;
    assert!(killed.elapsed() < SHORT_SESSION + LOAD, "took {:?}", killed.elapsed());
    let expected = RegistrationState::Registered(names[0].clone());
    eventually("the handle knows", LIMIT, async || (*registration.state().borrow() == expected).then_some(())).await;
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn a_partition_longer_than_the_session_leaves_no_ghost() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let proxy = Proxy::start(&server, &shutdown).await;
    let zookeeper = connect_for(SHORT_SESSION, proxy.address(), &shutdown);
    let registration = zookeeper.register(service("apiserver", "127.0.0.1"));
    let mut nodes = zookeeper.discover("apiserver");
    registered(&registration).await;
    seen(&mut nodes, &["127.0.0.1"]).await;
    let observer = observer(&server).await;

    proxy.cut();
    let mut status = zookeeper.status();
    let lost = timeout(LIMIT, status.wait_for(Result::is_err)).await.expect("reported").unwrap().clone();
    assert!(lost.unwrap_err().contains(&proxy.address()));
    // The instance knows that others may take it for gone, before they do.
    let mut state = registration.state();
    timeout(LIMIT, state.wait_for(|state| matches!(state, RegistrationState::Failed(_)))).await.unwrap().unwrap();
    eventually("the old node expired", LIMIT, async || children(&observer, "apiserver").await.is_empty().then_some(()))
        .await;
    assert_eq!(nodes.borrow().len(), 1, "the last list is kept meanwhile");

    proxy.heal();
    let healed = Instant::now();
    let name = registered(&registration).await;
    assert!(healed.elapsed() < LOAD, "took {:?}", healed.elapsed());
    assert_eq!(children(&observer, "apiserver").await, [name.as_str()]);
    timeout(LIMIT, nodes.wait_for(|nodes| nodes.len() == 1 && nodes[0].name == name)).await.unwrap().unwrap();
    timeout(LIMIT, status.wait_for(Result::is_ok)).await.unwrap().unwrap().as_ref().unwrap();
}

#[tokio::test]
async fn a_short_cut_keeps_the_session_and_the_node() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let proxy = Proxy::start(&server, &shutdown).await;
    let zookeeper = connect(proxy.address(), &shutdown);
    let registration = zookeeper.register(service("apiserver", "127.0.0.1"));
    let name = registered(&registration).await;
    let mut status = zookeeper.status();

    proxy.cut();
    timeout(LIMIT, status.wait_for(Result::is_err)).await.unwrap().unwrap().as_ref().unwrap_err();
    proxy.heal();
    timeout(LIMIT, status.wait_for(Result::is_ok)).await.unwrap().unwrap().as_ref().unwrap();
    assert_eq!(*registration.state().borrow(), RegistrationState::Registered(name.clone()));
    assert_eq!(children(&observer(&server).await, "apiserver").await, [name]);
}

#[tokio::test]
async fn starts_while_zookeeper_is_down() {
    let mut server = ZooKeeperServer::stopped();
    let shutdown = Shutdown::new();
    let zookeeper = connect_for(SHORT_SESSION, server.address(), &shutdown);
    let registration = zookeeper.register(service("storage", "127.0.0.1"));
    let mut nodes = zookeeper.discover("storage");
    assert!(zookeeper.status().borrow().is_err());
    let asked = Instant::now();
    let error = zookeeper.get("/etc/cluster").await.unwrap_err();
    assert!(matches!(error, ZooKeeperError::Timeout { .. }), "{error}");
    assert!(asked.elapsed() < SHORT_SESSION + LOAD);

    server.start().await;
    let name = registered(&registration).await;
    assert_eq!(children(&observer(&server).await, "storage").await, [name]);
    seen(&mut nodes, &["127.0.0.1"]).await;
}

#[tokio::test]
async fn survives_a_restart_of_zookeeper() {
    let mut server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let zookeeper = connect(server.address(), &shutdown);
    let first = zookeeper.register(service("storage", "10.0.0.1"));
    let mut nodes = zookeeper.discover("storage");
    let mut status = zookeeper.status();
    registered(&first).await;
    seen(&mut nodes, &["10.0.0.1"]).await;

    server.stop();
    timeout(LIMIT, status.wait_for(Result::is_err)).await.unwrap().unwrap().as_ref().unwrap_err();
    server.start().await;
    timeout(LIMIT, status.wait_for(Result::is_ok)).await.unwrap().unwrap().as_ref().unwrap();
    let second = zookeeper.register(service("storage", "10.0.0.2"));
    registered(&second).await;
    let observer = observer(&server).await;
    eventually("exactly one node of each", LIMIT, async || {
        (children(&observer, "storage").await.len() == 2 && nodes.borrow().len() == 2).then_some(())
    })
    .await;
    first.deregister().await;
    seen(&mut nodes, &["10.0.0.2"]).await;
}

#[tokio::test]
async fn discovery_follows_a_directory_in_order() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let zookeeper = connect(server.address(), &shutdown);
    let observer = observer(&server).await;
    let mut nodes = zookeeper.discover("netservice");
    seen(&mut nodes, &[]).await;

    // The directory does not exist yet. The second address sorts before the first as a text.
    let second = zookeeper.register(service("netservice", "10.0.0.2"));
    registered(&second).await;
    seen(&mut nodes, &["10.0.0.2"]).await;
    let first = zookeeper.register(service("netservice", "10.0.0.1"));
    let name = registered(&first).await;
    seen(&mut nodes, &["10.0.0.2", "10.0.0.1"]).await;

    // Children without a sequence, such as cluster ids, are no nodes.
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    observer.create(&format!("{BASE}/netservice/BCS-MESOS-10001"), b"", &options).await.unwrap();
    drop(second);
    seen(&mut nodes, &["10.0.0.1"]).await;
    assert_eq!(nodes.borrow()[0].sequence, sequence(&name).unwrap());
    first.deregister().await;
    seen(&mut nodes, &[]).await;
}

#[tokio::test]
async fn discovery_of_clusters_watches_each_one() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let zookeeper = connect(server.address(), &shutdown);
    let mut clusters = zookeeper.discover_clusters("mesosdriver");
    let first = zookeeper.register(service("mesosdriver/BCS-MESOS-1", "10.0.0.1"));
    let _second = zookeeper.register(service("mesosdriver/BCS-MESOS-2", "10.0.0.2"));
    let mut wait_for = async |counts: [usize; 2]| {
        let are = |id: &str, count, clusters: &std::collections::BTreeMap<String, Vec<Node>>| {
            clusters.get(id).is_some_and(|nodes| nodes.len() == count)
        };
        timeout(
            LIMIT,
            clusters.wait_for(|all| are("BCS-MESOS-1", counts[0], all) && are("BCS-MESOS-2", counts[1], all)),
        )
        .await
        .unwrap()
        .unwrap();
    };
    wait_for([1, 1]).await;
    first.deregister().await;
    let observer = observer(&server).await;
    observer.delete(&format!("{BASE}/mesosdriver/BCS-MESOS-1"), None).await.unwrap();
    wait_for([0, 1]).await;
    let _again = zookeeper.register(service("mesosdriver/BCS-MESOS-1", "10.0.0.1"));
    wait_for([1, 1]).await;
}

#[tokio::test]
async fn a_deleted_or_overwritten_node_comes_back() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let zookeeper = connect(server.address(), &shutdown);
    let registration = zookeeper.register(service("apiserver", "127.0.0.1"));
    let first = registered(&registration).await;
    let observer = observer(&server).await;
    let path = format!("{BASE}/apiserver/{first}");
    let (data, _) = observer.get_data(&path).await.unwrap();

    observer.set_data(&path, b"foreign", None).await.unwrap();
    eventually("restored", LIMIT, async || (observer.get_data(&path).await.unwrap().0 == data).then_some(())).await;
    observer.delete(&path, None).await.unwrap();
    let names = eventually("registered again", LIMIT, async || {
        let names = children(&observer, "apiserver").await;
        (!names.is_empty()).then_some(names)
    })
    .await;
    assert!(names.len() == 1 && names[0] != first, "{names:?}");
}

#[tokio::test]
async fn the_oldest_instance_leads_and_the_next_takes_over() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    // Equal in all data, as two instances in containers can be.
    let join = async || {
        let zookeeper = connect(server.address(), &shutdown);
        let registration = zookeeper.register(service("check", "127.0.0.1"));
        registered(&registration).await;
        let election = Election::new(&registration, zookeeper.discover("check"));
        (registration, election)
    };
    let (first, mut first_election) = join().await;
    assert_eq!(timeout(LIMIT, first_election.changed()).await.unwrap(), Some(Role::Master));
    let (_second, mut second_election) = join().await;
    assert_eq!(timeout(LIMIT, second_election.changed()).await.unwrap(), Some(Role::Slave));
    first.deregister().await;
    assert_eq!(timeout(LIMIT, second_election.changed()).await.unwrap(), Some(Role::Master));
    assert_eq!(timeout(LIMIT, first_election.changed()).await.unwrap(), Some(Role::Unknown));
}

#[tokio::test]
async fn shutdown_takes_everything_back_at_once() {
    let server = ZooKeeperServer::started().await;
    let (shutdown, proxied) = (Shutdown::new(), Shutdown::new());
    let proxy = Proxy::start(&server, &proxied).await;
    let zookeeper = connect(proxy.address(), &shutdown);
    let registration = zookeeper.register(service("apiserver", "127.0.0.1"));
    let _nodes = zookeeper.discover("apiserver");
    registered(&registration).await;

    let start = Instant::now();
    assert!(shutdown.drain(LIMIT).await);
    assert!(start.elapsed() < LOAD, "took {:?}", start.elapsed());
    assert_eq!(children(&observer(&server).await, "apiserver").await, Vec::<String>::new());
    assert!(!proxy.kill_session().await, "the session is closed already");
}

#[tokio::test]
async fn plain_nodes_are_written_read_listed_and_deleted() {
    let server = ZooKeeperServer::started().await;
    let shutdown = Shutdown::new();
    let zookeeper = connect(server.address(), &shutdown);
    let directory = "/etc/cluster/k8s/BCS-K8S-1/exportservice";
    let path = "/etc/cluster/k8s/BCS-K8S-1/exportservice/ns.svc";
    assert_eq!(zookeeper.get(path).await.unwrap(), None);
    assert_eq!(zookeeper.list(directory).await.unwrap(), None);
    assert!(!zookeeper.delete(path).await.unwrap());

    zookeeper.set_or_create(path, b"{\"a\":1}").await.unwrap();
    assert_eq!(zookeeper.get(path).await.unwrap().unwrap(), b"{\"a\":1}");
    zookeeper.set_or_create(path, b"{\"a\":2}").await.unwrap();
    assert_eq!(zookeeper.get(path).await.unwrap().unwrap(), b"{\"a\":2}");
    assert_eq!(zookeeper.get(directory).await.unwrap().unwrap(), b"");
    assert_eq!(zookeeper.list(directory).await.unwrap().unwrap(), ["ns.svc"]);
    let (acl, _) = observer(&server).await.get_acl(path).await.unwrap();
    assert_eq!((acl.len(), acl[0].id()), (1, "bcsce:n6AK5IylGI53+8xs1i567hzCPeg="));

    let refused = zookeeper.delete(directory).await.unwrap_err();
    assert!(matches!(refused, ZooKeeperError::Refused { source: Error::NotEmpty, .. }), "{refused}");
    let malformed = zookeeper.set_or_create("no-slash", b"").await.unwrap_err();
    assert!(matches!(malformed, ZooKeeperError::Refused { .. }), "{malformed}");
    assert!(zookeeper.delete(path).await.unwrap());
    assert_eq!(zookeeper.list(directory).await.unwrap().unwrap(), Vec::<String>::new());
}
