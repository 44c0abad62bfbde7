//! 500 tasks that come, change and go at random: in the end the scheduler knows the truth about each of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bcs_integration_tests::mesos::{MesosTree, Pages, Scheduler, Task};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::ServiceSpec;
use bcs_integration_tests::wait::eventually;
use serde_json::json;

const TASKS: usize = 500;
const STEPS: usize = 3000;
const SOON: Duration = Duration::from_secs(90);

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[tokio::test]
async fn the_scheduler_ends_up_with_the_truth() {
    let zookeeper = ZooKeeper::start().await;
    let (scheduler, pages) = (Scheduler::start().await, Pages::start().await);
    let tree = MesosTree::connect(zookeeper.address()).await;
    tree.register_scheduler(&scheduler, 1).await;
    let task = |number: usize| Task::http(number, pages.address(), &format!("/{number}"));
    // Status of each existing task, and whether its page is healthy.
    let mut running: BTreeMap<usize, bool> = BTreeMap::new();
    let mut healthy = vec![true; TASKS];
    for number in 0..TASKS {
        tree.put(&task(number)).await;
        running.insert(number, true);
    }
    let servers = zookeeper.address().to_string();
    let config = json!({"cluster": "BCS-MESOS-10001", "bcs_zookeeper": servers, "mesos_zookeeper": servers});
    let mut check = ServiceSpec::new("bcs-check").config(&config).ports(&["metric_port"]).start().await;

    let mut numbers = Numbers(7);
    for _ in 0..STEPS {
        let number = numbers.below(TASKS);
        match numbers.below(10) {
            0..3 => {
                tree.put(&task(number)).await;
                running.insert(number, true);
            }
            3..5 => {
                tree.put(&Task { status: "Lost", ..task(number) }).await;
                running.insert(number, false);
            }
            5..7 => {
                tree.delete(&task(number)).await;
                running.remove(&number);
            }
            _ => {
                healthy[number] = !healthy[number];
                pages.set(&format!("/{number}"), healthy[number]);
            }
        }
    }

    eventually("the last report of every running task is true", SOON, async || {
        let last: HashMap<_, _> = scheduler.reports().into_iter().map(|report| (report.id, report.healthy)).collect();
        running.iter().all(|(number, running)| !running || last.get(&task(*number).id()) == Some(&healthy[*number]))
    })
    .await;
    let metrics = check.client().get("/metrics").await.unwrap().text();
    let expected =
        format!("bcs_check_running{{type=\"REMOTE_HTTP\"}} {}", running.values().filter(|running| **running).count());
    eventually("as many checks as running tasks", SOON, async || {
        check.client().get("/metrics").await.unwrap().text().lines().any(|line| line == expected)
    })
    .await;
    assert!(metrics.contains("bcs_check_report_total{result=\"delivered\"}"), "{metrics}");
    check.stop().await;
}
