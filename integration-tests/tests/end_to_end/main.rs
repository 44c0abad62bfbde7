//! A whole installation on real servers, as the install guide sets it up: every service as a process with its own config file,
//! certificates on both sides, ZooKeeper, etcd with TLS, a MongoDB stand-in, MariaDB, RabbitMQ, a Mesos tree. Then each of
//! the servers goes away and comes back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod installation;

use bcs_integration_tests::mesos::Task;

use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn the_system_works_and_outlives_each_of_its_servers() {
    let mut system = Installation::start().await;
    system.works().await;

    // Without its database storage says why; everything else goes on.
    system.mongo_proxy.refuse().await;
    let answer = system.put_pod("away").await;
    assert_ne!(answer["code"], 0, "{answer}");
    assert!(system.user_is_allowed().await);
    system.mongo_proxy.accept().await;
    system.works().await;

    system.mariadb.daemon().kill();
    assert!(!system.user_is_allowed().await);
    assert_eq!(system.put_pod("without-mariadb").await["code"], 0);
    system.mariadb.daemon().start_again().await;
    system.works().await;

    // Nobody but the reader of messages misses the broker.
    system.rabbitmq.daemon().kill();
    assert_eq!(system.put_pod("without-rabbitmq").await["code"], 0);
    system.rabbitmq.daemon().start_again().await;
    system.works().await;

    system.etcd.daemon().kill();
    assert_eq!(system.put_pod("without-etcd").await["code"], 0);
    system.etcd.daemon().start_again().await;
    system.works().await;

    // Probes of what is known go on.
    let known = Task::http(1000, system.pages.address(), "/known");
    system.tree.put(&known).await;
    system.reported(&known, &[true]).await;
    system.zookeeper.daemon().kill();
    assert_eq!(system.put_pod("without-zookeeper").await["code"], 0);
    system.pages.set("/known", false);
    system.reported(&known, &[true, false]).await;
    system.zookeeper.daemon().start_again().await;
    system.reconnect_tree().await;
    system.works().await;

    system.stop().await;
}
