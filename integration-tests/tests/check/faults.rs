//! bcs-check while other things break: ZooKeeper, the leader, the scheduler.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::time::Duration;

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::mesos::{MesosTree, Pages, Scheduler, Task};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::eventually;
use serde_json::{Value, json};

/// Far more than any of this takes on an idle machine; session timeouts are 10 s.
const SOON: Duration = Duration::from_secs(60);

async fn start_check(zookeeper: std::net::SocketAddr) -> Service {
    let servers = zookeeper.to_string();
    let config = json!({"cluster": "BCS-MESOS-10001", "bcs_zookeeper": servers, "mesos_zookeeper": servers});
    ServiceSpec::new("bcs-check").config(&config).ports(&["metric_port"]).start().await
}

async fn role(service: &Service) -> Value {
    service.client().get("/healthz").await.unwrap().json()["current_role"].clone()
}

async fn role_becomes(service: &Service, wanted: &str) {
    eventually(&format!("it is {wanted}"), SOON, async || role(service).await == wanted).await;
}

async fn reported(scheduler: &Scheduler, task: &Task, statuses: &[bool]) {
    let what = format!("the reports of task {} are {statuses:?}", task.number);
    eventually(&what, SOON, async || scheduler.statuses(task) == statuses).await;
}

#[tokio::test]
async fn probing_goes_on_while_zookeeper_restarts() {
    let mut zookeeper = ZooKeeper::start().await;
    let (scheduler, pages) = (Scheduler::start().await, Pages::start().await);
    let tree = MesosTree::connect(zookeeper.address()).await;
    tree.register_scheduler(&scheduler, 1).await;
    let (steady, flips) = (Task::http(1, pages.address(), "/1"), Task::http(2, pages.address(), "/2"));
    tree.put(&steady).await;
    tree.put(&flips).await;
    let mut check = start_check(zookeeper.address()).await;
    reported(&scheduler, &steady, &[true]).await;
    reported(&scheduler, &flips, &[true]).await;

    zookeeper.daemon().kill();
    pages.set("/2", false);
    reported(&scheduler, &flips, &[true, false]).await;
    role_becomes(&check, "unknown").await;
    zookeeper.daemon().start_again().await;

    let tree = MesosTree::connect(zookeeper.address()).await;
    let late = Task::http(3, pages.address(), "/3");
    tree.put(&late).await;
    reported(&scheduler, &late, &[true]).await;
    role_becomes(&check, "master").await;
    eventually("it is registered once", SOON, async || tree.check_nodes().await.len() == 1).await;
    // Nothing was started anew for it.
    assert_eq!((scheduler.statuses(&steady), scheduler.statuses(&flips)), (vec![true], vec![true, false]));
    check.stop().await;
}

#[tokio::test]
async fn another_instance_takes_over() {
    let zookeeper = ZooKeeper::start().await;
    let (scheduler, pages) = (Scheduler::start().await, Pages::start().await);
    let tree = MesosTree::connect(zookeeper.address()).await;
    tree.register_scheduler(&scheduler, 1).await;
    let task = Task::http(1, pages.address(), "/1");
    tree.put(&task).await;
    let mut first = start_check(zookeeper.address()).await;
    role_becomes(&first, "master").await;
    reported(&scheduler, &task, &[true]).await;
    let mut second = start_check(zookeeper.address()).await;
    role_becomes(&second, "slave").await;

    // The crash of the leader: its session has to end first.
    first.daemon().kill();
    pages.set("/1", false);
    role_becomes(&second, "master").await;
    reported(&scheduler, &task, &[true, false]).await;

    // The graceful stop: at once.
    first.daemon().start_again().await;
    role_becomes(&first, "slave").await;
    second.stop().await;
    role_becomes(&first, "master").await;
    reported(&scheduler, &task, &[true, false, false]).await;
    first.stop().await;
    assert!(tree.check_nodes().await.is_empty());
}

#[tokio::test]
async fn a_lost_session_is_replaced_without_a_gap() {
    let zookeeper = ZooKeeper::start().await;
    let proxy = ChaosProxy::start(zookeeper.address());
    let (scheduler, pages) = (Scheduler::start().await, Pages::start().await);
    let tree = MesosTree::connect(zookeeper.address()).await;
    tree.register_scheduler(&scheduler, 1).await;
    let (steady, goes) = (Task::http(1, pages.address(), "/1"), Task::http(2, pages.address(), "/2"));
    tree.put(&steady).await;
    tree.put(&goes).await;
    let mut check = start_check(proxy.address()).await;
    reported(&scheduler, &steady, &[true]).await;
    reported(&scheduler, &goes, &[true]).await;
    let before = tree.check_nodes().await;

    // Nothing gets through in either direction until the server has given the session up.
    proxy.pause();
    eventually("the session has expired", SOON, async || tree.check_nodes().await.is_empty()).await;
    tree.delete(&goes).await;
    let late = Task::http(3, pages.address(), "/3");
    tree.put(&late).await;
    proxy.resume();
    reported(&scheduler, &late, &[true]).await;
    role_becomes(&check, "master").await;
    let after = tree.check_nodes().await;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    pages.set("/1", false);
    pages.set("/2", false);
    reported(&scheduler, &steady, &[true, false]).await;
    assert_eq!(scheduler.statuses(&goes), [true]);
    check.stop().await;
}

#[tokio::test]
async fn what_one_scheduler_could_not_take_goes_to_the_next() {
    let zookeeper = ZooKeeper::start().await;
    let (first, second, pages) = (Scheduler::start().await, Scheduler::start().await, Pages::start().await);
    let tree = MesosTree::connect(zookeeper.address()).await;
    tree.register_scheduler(&first, 1).await;
    tree.register_scheduler(&second, 2).await;
    let task = Task::http(1, pages.address(), "/1");
    tree.put(&task).await;
    let mut check = start_check(zookeeper.address()).await;
    reported(&first, &task, &[true]).await;

    let address = first.address();
    drop(first);
    pages.set("/1", false);
    eventually("the report waits", SOON, async || {
        let metrics = check.client().get("/metrics").await.unwrap().text();
        metrics.lines().any(|line| line == "bcs_check_report_pending 1")
    })
    .await;
    tree.unregister_scheduler(address, 1).await;
    reported(&second, &task, &[false]).await;
    check.stop().await;
}
