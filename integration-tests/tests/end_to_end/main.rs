//! The whole system as the install guide puts it together, and each of its backends killed and restored in turn. Meanwhile
//! clients write, watch, run kubectl and have tasks checked: what needs the backend is refused with a reason, the rest goes
//! on, and all of it works again afterwards, in the same processes, with nothing lost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod broker;
mod loads;
mod world;

use bcs_common::shutdown::Shutdown;
use bcs_integration_tests::mesos::MesosTree;
use bcs_integration_tests::wait::eventually;
use bcs_integration_tests::workdir::WorkDir;
use serde_json::Value;

use crate::loads::{KINDS, Kind, Load, Watch};
use crate::world::{Backends, SOON, World};

/// The running system with its clients.
struct System {
    backends: Backends,
    world: World,
    loads: Vec<Load>,
    watch: Watch,
    home: WorkDir,
    healthy: bool,
    shutdown: Shutdown,
}

impl System {
    async fn start() -> Self {
        let backends = Backends::start().await;
        let world = World::start(&backends).await;
        broker::subscribe(&backends.rabbitmq).await;
        let shutdown = Shutdown::new();
        let watch = Watch::start(&world).await;
        let loads = KINDS.map(|kind| Load::start(kind, &world, &shutdown)).into();
        Self { backends, world, loads, watch, home: WorkDir::new("kubectl"), healthy: true, shutdown }
    }

    /// Waits until these are refused, says why, and the others go on.
    async fn only_refuses(&mut self, kinds: &[Kind], when: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        for load in &self.loads {
            if kinds.contains(&load.kind()) {
                reasons.push(load.is_refused(when).await);
            } else {
                load.goes_on(when).await;
            }
        }
        self.world.assert_all_run();
        reasons
    }

    /// Waits until everything works.
    async fn works(&mut self, when: &str) {
        self.only_refuses(&[], when).await;
        self.tasks_are_checked(when).await;
        eventually(&format!("kubectl works, {when}"), SOON, async || self.kubectl().await.is_ok()).await;
        let Self { loads, watch, .. } = self;
        let pods = loads.iter().find(|load| load.kind() == Kind::Pod).unwrap();
        watch.tells_of(&pods.acknowledged()).await;
    }

    /// Changes the health of the task, and waits for the report.
    async fn tasks_are_checked(&mut self, when: &str) {
        let World { scheduler, task, pages, .. } = &self.world;
        let before = scheduler.statuses(task).len();
        self.healthy = !self.healthy;
        pages.set("/1", self.healthy);
        eventually(&format!("the task's new health is reported, {when}"), SOON, async || {
            scheduler.statuses(task).get(before..).is_some_and(|new| new.contains(&self.healthy))
        })
        .await;
    }

    /// What kubectl got, or what it told.
    async fn kubectl(&self) -> Result<(), String> {
        let output = self.world.kubectl(self.home.path(), "/echo/version").await;
        if output.status.success() {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((answer["path"].as_str(), answer["method"].as_str()), (Some("/echo/version"), Some("GET")));
            return Ok(());
        }
        Err(String::from_utf8(output.stderr).unwrap())
    }

    /// The services that are registered in etcd.
    async fn in_etcd(&self) -> Vec<String> {
        let keys = self.backends.etcd.keys("/micro/registry/").await;
        let mut names: Vec<_> = keys.iter().map(|(key, _)| key.split('/').nth(3).unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

async fn zookeeper_is_killed(system: &mut System) {
    system.backends.zookeeper.daemon().kill();
    // Everybody goes on with what is known, and says what is wrong.
    let check = system.world.client(&system.world.check);
    eventually("bcs-check knows no role", SOON, async || {
        check.get("/healthz").await.unwrap().json()["current_role"] == "unknown"
    })
    .await;
    system.only_refuses(&[], "without ZooKeeper").await;
    system.tasks_are_checked("without ZooKeeper").await;
    system.kubectl().await.unwrap();
    system.backends.zookeeper.daemon().start_again().await;
    system.works("after ZooKeeper").await;
    let tree = MesosTree::connect(system.backends.zookeeper.address()).await;
    eventually("bcs-check is registered once", SOON, async || tree.check_nodes().await.len() == 1).await;
    eventually("bcs-check is the master", SOON, async || {
        check.get("/healthz").await.unwrap().json()["current_role"] == "master"
    })
    .await;
}

async fn etcd_is_killed(system: &mut System) {
    system.backends.etcd.daemon().kill();
    let reasons = system.only_refuses(&[Kind::Cidr], "without etcd").await;
    assert!(reasons[0].contains("etcd"), "{reasons:?}");
    system.kubectl().await.unwrap();
    system.backends.etcd.daemon().start_again().await;
    system.works("after etcd").await;
}

async fn mongodb_is_cut(system: &mut System) {
    system.backends.mongodb_line.refuse().await;
    let reasons = system.only_refuses(&[Kind::Pod, Kind::Credential, Kind::Cidr], "without MongoDB").await;
    // The text of bcs-storage is the original's.
    let wanted = ["put resource failed", "database is not available", "database is not available"];
    assert!(reasons.iter().zip(wanted).all(|(reason, wanted)| reason.contains(wanted)), "{reasons:?}");
    system.tasks_are_checked("without MongoDB").await;
    system.backends.mongodb_line.accept().await;
    system.works("after MongoDB").await;
}

async fn mariadb_is_killed(system: &mut System) {
    system.backends.mariadb.daemon().kill();
    let reasons = system.only_refuses(&[Kind::User, Kind::ApiUser], "without MariaDB").await;
    assert!(reasons.iter().all(|reason| reason.contains("database")), "{reasons:?}");
    system.kubectl().await.unwrap();
    system.backends.mariadb.daemon().start_again().await;
    system.works("after MariaDB").await;
}

async fn rabbitmq_is_killed(system: &mut System) {
    system.backends.rabbitmq.daemon().kill();
    system.only_refuses(&[], "without RabbitMQ").await;
    system.backends.rabbitmq.daemon().start_again().await;
    system.works("after RabbitMQ").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_system_of_the_guide_survives_the_loss_of_each_backend() {
    let mut system = System::start().await;
    system.works("at the start").await;
    let all = ["clustermanager.bkbcs.tencent.com", "storage.bkbcs.tencent.com", "usermanager.bkbcs.tencent.com"];
    assert_eq!(system.in_etcd().await, all);

    zookeeper_is_killed(&mut system).await;
    etcd_is_killed(&mut system).await;
    mongodb_is_cut(&mut system).await;
    mariadb_is_killed(&mut system).await;
    rabbitmq_is_killed(&mut system).await;

    let System { mut world, backends, loads, watch, shutdown, .. } = system;
    shutdown.trigger();
    assert!(shutdown.drain(SOON).await);
    let pods = loads.iter().find(|load| load.kind() == Kind::Pod).unwrap().acknowledged();
    watch.tells_of(&pods).await;
    for load in &loads {
        load.assert_all_were_answered();
        load.assert_nothing_is_lost(&world, &backends).await;
    }
    broker::assert_published(&backends.rabbitmq, &pods).await;

    for service in [&mut world.storage, &mut world.user_manager, &mut world.cluster_manager, &mut world.api] {
        service.stop().await;
    }
    world.check.stop().await;
    // That they can take their registrations back shows that they found etcd and ZooKeeper again.
    assert!(backends.etcd.keys("/micro/registry/").await.is_empty());
    let tree = MesosTree::connect(backends.zookeeper.address()).await;
    assert!(tree.check_nodes().await.is_empty());
}
