//! Registration and discovery against a real etcd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test")]

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bcs_common::registry::etcd::{EtcdOptions, EtcdRegistry};
use bcs_common::registry::{Node, Registration, RegistrationState, Registry, ServerInfo, ServiceRegistration};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{ClientTls, Verify, client_config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::etcd::{EtcdServer, TlsFiles};
use crate::process::eventually;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// What a machine with other work may add to a time that is measured here.
const LOAD: Duration = Duration::from_secs(10);
/// A lease that outlasts the pauses of a machine with other work.
const TTL: Duration = Duration::from_secs(8);
const INTERVAL: Duration = Duration::from_secs(1);

fn registry(servers: String, shutdown: &Shutdown) -> EtcdRegistry {
    let options = EtcdOptions { ttl: TTL, interval: INTERVAL, ..EtcdOptions::new(servers, None) };
    EtcdRegistry::new(&options, shutdown).unwrap()
}

fn storage(ip: &str) -> ServiceRegistration {
    let info = ServerInfo { ip: ip.into(), port: 50024, ..ServerInfo::default() };
    let mut service = ServiceRegistration::new("storage", ip, info);
    service.version = "1.20.0".into();
    service.metadata = Some(BTreeMap::from([("UUID".into(), service.uuid.to_string())]));
    service
}

/// Waits until it is registered; the id it is registered by.
async fn registered(registration: &Registration) -> String {
    let mut state = registration.state();
    let is_registered = |state: &RegistrationState| matches!(state, RegistrationState::Registered(_));
    let state = timeout(LIMIT, state.wait_for(is_registered)).await.expect("registered in time").unwrap().clone();
    let RegistrationState::Registered(id) = state else { unreachable!() };
    id
}

async fn seen(nodes: &mut watch::Receiver<Vec<Node>>, ips: &[&str]) {
    let matches = |nodes: &Vec<Node>| nodes.iter().map(|node| node.info.clone().unwrap().ip).eq(ips.iter().copied());
    let found = timeout(LIMIT, nodes.wait_for(matches)).await.is_ok();
    assert!(found, "expected {ips:?}, got {:?}", nodes.borrow());
}

/// Waits until the registry holds exactly one key, under a lease other than `lease`; returns that one.
async fn one_key_under_a_new_lease(server: &EtcdServer, lease: &str) -> String {
    eventually("one key under a new lease", LIMIT, async || match server.keys().await.as_slice() {
        [(_, _, new)] if new != lease => Some(new.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn registers_as_go_micro_does_and_takes_it_back() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let options = EtcdOptions::new(format!("http://{}", server.address()), None);
    let registry = EtcdRegistry::new(&options, &shutdown).unwrap();
    let service = storage("127.0.0.1");
    let uuid = service.uuid;
    let registration = registry.register(service);
    let id = registered(&registration).await;
    assert_eq!(id, format!("storage.bkbcs.tencent.com-{uuid}"));

    let keys = server.keys().await;
    let [(key, value, lease)] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!(*key, format!("/micro/registry/storage.bkbcs.tencent.com/{id}"));
    assert_eq!(
        *value,
        format!(
            r#"{{"name":"storage.bkbcs.tencent.com","version":"1.20.0","metadata":null,"endpoints":null,"nodes":[{{"id":"{id}","address":"127.0.0.1:50024","metadata":{{"UUID":"{uuid}"}}}}]}}"#
        )
    );
    assert_eq!(server.time_to_live(lease).await.unwrap().0, 40);

    registration.deregister().await;
    assert_eq!(server.keys().await, []);
    assert_eq!(server.time_to_live(lease).await, None);
}

#[tokio::test]
async fn renews_its_lease_for_longer_than_it_lasts() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registration = registry(server.address(), &shutdown).register(storage("127.0.0.1"));
    registered(&registration).await;
    let lease = server.keys().await[0].2.clone();
    let start = Instant::now();
    eventually("the lease has been renewed past its end", LIMIT, async || {
        let (granted, left) = server.time_to_live(&lease).await.expect("the lease lives");
        (granted == TTL.as_secs() && start.elapsed() > TTL + INTERVAL && left > 0).then_some(())
    })
    .await;
    assert_eq!(server.keys().await[0].2, lease);
}

#[tokio::test]
async fn comes_back_after_its_lease_or_key_is_lost() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registration = registry(server.address(), &shutdown).register(storage("127.0.0.1"));
    registered(&registration).await;
    let (key, value, lease) = server.keys().await.remove(0);

    server.revoke(&lease).await;
    let lease = one_key_under_a_new_lease(&server, &lease).await;
    server.delete(&key).await;
    let restored = || async { (server.keys().await == [(key.clone(), value.clone(), lease.clone())]).then_some(()) };
    eventually("a deleted key", LIMIT, async || restored().await).await;
    server.put(&key, "foreign").await;
    eventually("an overwritten key", LIMIT, async || restored().await).await;
}

#[tokio::test]
async fn tells_that_etcd_is_down_and_registers_once_it_is_up() {
    let mut server = EtcdServer::stopped();
    let shutdown = Shutdown::new();
    let registry = registry(server.address(), &shutdown);
    let mut nodes = registry.discover("storage");
    let registration = registry.register(storage("127.0.0.1"));
    let error = registration.first_result().await.unwrap_err();
    assert!(error.reason.contains(&server.address()), "{error}");
    server.start().await;
    registered(&registration).await;
    assert_eq!(server.keys().await.len(), 1);
    seen(&mut nodes, &["127.0.0.1"]).await;
}

#[tokio::test]
async fn registers_soon_after_an_etcd_that_was_killed_is_back() {
    let mut server = EtcdServer::started().await;
    server.stop();
    let shutdown = Shutdown::new();
    let registration = registry(server.address(), &shutdown).register(storage("127.0.0.1"));
    registration.first_result().await.unwrap_err();
    server.start().await;
    let up = Instant::now();
    registered(&registration).await;
    assert!(up.elapsed() < LOAD, "took {:?}", up.elapsed());
    assert_eq!(server.keys().await.len(), 1);
}

#[tokio::test]
async fn survives_a_restart_of_etcd() {
    let mut server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registry = registry(server.address(), &shutdown);
    let mut nodes = registry.discover("storage");
    let registration = registry.register(storage("10.0.0.1"));
    registered(&registration).await;
    seen(&mut nodes, &["10.0.0.1"]).await;

    server.stop();
    let mut state = registration.state();
    timeout(LIMIT, state.wait_for(|state| matches!(state, RegistrationState::Failed(_)))).await.unwrap().unwrap();
    assert_eq!(nodes.borrow().len(), 1, "the last list is kept meanwhile");
    server.start().await;
    let up = Instant::now();
    registered(&registration).await;
    assert!(up.elapsed() < LOAD, "took {:?}", up.elapsed());
    let _second = registry.register(storage("10.0.0.2"));
    seen(&mut nodes, &["10.0.0.1", "10.0.0.2"]).await;
    assert_eq!(server.keys().await.len(), 2);
}

#[tokio::test]
async fn uses_another_server_when_one_is_down() {
    let (down, up) = (EtcdServer::stopped(), EtcdServer::started().await);
    let shutdown = Shutdown::new();
    let registry = registry(format!("{}, {}", down.address(), up.address()), &shutdown);
    registered(&registry.register(storage("127.0.0.1"))).await;
}

#[tokio::test]
async fn discovery_follows_a_service_in_order_of_age() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registry = registry(server.address(), &shutdown);
    let mut nodes = registry.discover("storage");
    let second = registry.register(storage("10.0.0.2"));
    registered(&second).await;
    seen(&mut nodes, &["10.0.0.2"]).await;
    let first = registry.register(storage("10.0.0.1"));
    seen(&mut nodes, &["10.0.0.2", "10.0.0.1"]).await;
    // Neither a value that is no service nor another service disturbs.
    server.put("/micro/registry/storage.bkbcs.tencent.com/broken", "{").await;
    server.put("/micro/registry/storage.bkbcs.tencent.community/other", "{\"nodes\":[{\"id\":\"x\"}]}").await;
    second.deregister().await;
    seen(&mut nodes, &["10.0.0.1"]).await;
    assert_eq!(nodes.borrow()[0].metadata.len(), 1);
    let lease = server.keys().await.into_iter().find(|(_, value, _)| value.contains("10.0.0.1")).unwrap().2;
    drop(first);
    seen(&mut nodes, &[]).await;
    eventually("the lease is revoked", LIMIT, async || server.time_to_live(&lease).await.is_none().then_some(())).await;
}

#[tokio::test]
async fn shutdown_takes_the_key_back() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registry = registry(server.address(), &shutdown);
    let _nodes = registry.discover("storage");
    let registration = registry.register(storage("127.0.0.1"));
    registered(&registration).await;
    let start = Instant::now();
    assert!(shutdown.drain(LIMIT).await);
    assert!(start.elapsed() < LOAD, "took {:?}", start.elapsed());
    assert_eq!(server.keys().await, []);
}

#[tokio::test]
async fn speaks_tls_with_a_client_certificate_to_a_server_without_san() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca_params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::default().signed_by(&key, &ca).unwrap();
    let ca_file = file("ca.pem", ca.pem());
    let (cert_file, key_file) = (file("cert.pem", cert.pem()), file("key.pem", key.serialize_pem()));

    let mut server = EtcdServer::stopped();
    server.start_tls(&TlsFiles { ca: &ca_file, cert: &cert_file, key: &key_file }).await;
    let shutdown = Shutdown::new();
    let connect = |tls: ClientTls| {
        let tls = client_config(&ClientTls { ca_file: Some(ca_file.clone()), ..tls }, &[]).unwrap();
        EtcdRegistry::new(&EtcdOptions::new(server.address(), Some(tls)), &shutdown).unwrap()
    };
    let identified =
        || ClientTls { cert_file: Some(cert_file.clone()), key_file: Some(key_file.clone()), ..ClientTls::default() };

    let registry = connect(identified());
    let registration = registry.register(storage("127.0.0.1"));
    registered(&registration).await;
    seen(&mut registry.discover("storage"), &["127.0.0.1"]).await;

    // The server demands the certificate, and its own really has no name to check.
    connect(ClientTls::default()).register(storage("127.0.0.2")).first_result().await.unwrap_err();
    let by_name = ClientTls { verify: Some(Verify::Full), ..identified() };
    connect(by_name).register(storage("127.0.0.3")).first_result().await.unwrap_err();
}

#[tokio::test]
async fn one_holds_a_lock_at_a_time_and_leaves_nothing() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registry = registry(server.address(), &shutdown);
    let inside = std::sync::atomic::AtomicU32::new(0);
    let work = || async {
        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0, "two hold the lock");
        let keys = server.keys_between("/l", "/m").await;
        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        keys
    };
    let all = (0..8).map(|_| registry.locked("/lock.bkbcs.tencent.com/x/vpc", LIMIT, work()));
    for held in futures::future::join_all(all).await {
        let keys = held.unwrap();
        assert!(keys.iter().all(|(key, value, lease)| {
            let name = key.strip_prefix("/lock.bkbcs.tencent.com/x/vpc/").unwrap();
            value.is_empty() && format!("{:x}", lease.parse::<i64>().unwrap()) == name
        }));
    }
    assert_eq!(server.keys_between("/l", "/m").await.len(), 0);
    assert_eq!(registry.locked("/l/other", LIMIT, async { 7 }).await.unwrap(), 7);
}

#[tokio::test]
async fn a_lock_is_waited_for_only_so_long() {
    let server = EtcdServer::started().await;
    let shutdown = Shutdown::new();
    let registry = registry(server.address(), &shutdown);
    let outer = registry.locked("/l/v", LIMIT, async {
        registry.locked("/l/v", Duration::from_millis(300), async {}).await.unwrap_err().to_string()
    });
    assert!(outer.await.unwrap().contains("/l/v was not free"));
}
