//! bcs-storage keeps what it acknowledged when it is killed, and outlives its database's outages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::http::{Client, JsonStream};
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::soak::count;
use bcs_integration_tests::storage::{databases, metrics, pod, pod_watch, storage, storage_on_mongodb};
use bcs_integration_tests::wait::{LOAD, eventually};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(120);

mod kill {
    use super::*;

    /// Acknowledged writes in a round, at least.
    const WRITES: usize = 1000;
    const WRITERS: usize = 16;
    const NAMES: usize = 40;
    const CLUSTER: &str = "BCS-KILL";

    /// The versions of one object, from 1 on.
    #[derive(Clone, Copy, Default)]
    struct Written {
        acknowledged: u64,
        tried: u64,
    }

    fn name(writer: usize, number: usize) -> String {
        format!("w{writer}-{number}")
    }

    /// About a kilobyte that can be told from any other version of any object.
    fn data(name: &str, version: u64) -> Value {
        json!({"version": version, "fill": format!("{name}/{version} ").repeat(100)})
    }

    /// Writes new versions of its own objects in turn until the service is gone.
    async fn write_until_killed(
        client: Client,
        writer: usize,
        mut objects: Vec<Written>,
        acknowledged: &AtomicUsize,
    ) -> Vec<Written> {
        for number in (0..NAMES).cycle() {
            let (object, name) = (&mut objects[number], name(writer, number));
            object.tried += 1;
            let body = json!({ "data": data(&name, object.tried) });
            let Ok(answer) = client.put(&pod(CLUSTER, &name), &body).await else { break };
            assert_eq!(answer.json()["code"], 0);
            object.acknowledged = object.tried;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        objects
    }

    /// Whether every object is there, whole, and as new as its last acknowledged version.
    async fn check(client: &Client, all: &[Vec<Written>]) {
        let path = pod(CLUSTER, "");
        let answer = client.get(&format!("{path}?limit=100000&field=resourceName,data")).await.unwrap().json();
        let found: HashMap<_, _> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["resourceName"].as_str().unwrap(), item))
            .collect();
        for (writer, objects) in all.iter().enumerate() {
            for (number, written) in objects.iter().enumerate() {
                let name = name(writer, number);
                let Some(item) = found.get(&*name) else {
                    assert_eq!(written.acknowledged, 0, "{name} is lost");
                    continue;
                };
                let version = item["data"]["version"].as_u64().unwrap();
                let possible = written.acknowledged..=written.tried;
                assert!(possible.contains(&version), "{name} has version {version}, not one of {possible:?}");
                assert_eq!(item["data"], data(&name, version), "{name} is torn");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn kills_under_load_lose_no_acknowledged_write() {
        let mut service = storage(&json!({})).start().await;
        let mut all = vec![vec![Written::default(); NAMES]; WRITERS];
        for _ in 0..count(20, 200) {
            let acknowledged = AtomicUsize::new(0);
            let writers = all.into_iter().enumerate().map(|(writer, objects)| {
                // Each has a connection of its own, which ends with the service.
                write_until_killed(service.client(), writer, objects, &acknowledged)
            });
            let writers: Vec<_> = writers.collect();
            let kill = async {
                let enough = async || acknowledged.load(Ordering::Relaxed) >= WRITES;
                eventually("enough writes", SOON, enough).await;
                service.daemon().kill();
            };
            (all, ()) = tokio::join!(join_all(writers), kill);
            service.daemon().start_again().await;
            check(&service.client(), &all).await;
        }
        service.stop().await;
    }
}

mod watch {
    use super::*;

    const WATCHERS: usize = 200;
    const CUTS: usize = 5;
    /// Objects that are created while the database is cut off, and again as many when it is back.
    const CREATED: u64 = 40;
    const EVENTS: u64 = 1 + 2 * CREATED * CUTS as u64;
    const CLUSTER: &str = "BCS-WATCH";
    const BROKEN: &str = "the change stream broke off";
    const MENDED: &str = "the change stream goes on";

    /// What a watcher saw.
    #[derive(Debug, Default)]
    struct Seen {
        numbers: Vec<u64>,
        broken: bool,
    }

    /// Reads on until the watcher has seen `count` events, or the server says that it has lost some.
    async fn read(stream: &mut JsonStream, seen: &mut Seen, count: u64) {
        while !seen.broken && seen.numbers.len() as u64 != count {
            let event = stream.next(SOON).await.unwrap_or_else(|e| panic!("{e:?} after {} events", seen.numbers.len()));
            let event = event.expect("a stream ends with a break event only");
            match event["type"].as_i64().unwrap() {
                1 => seen.numbers.push(event["value"]["data"]["n"].as_u64().unwrap_or_else(|| panic!("{event}"))),
                -1 => seen.broken = true,
                other => panic!("type {other} for an object that is only created: {event}"),
            }
        }
    }

    /// How often the service has said something.
    fn count(service: &mut Service, text: &str) -> usize {
        let [_, log] = service.daemon().process().output();
        log.matches(text).count()
    }

    /// Waits until the service has said something more often than before.
    async fn logged(service: &mut Service, text: &str, before: usize) {
        eventually(text, SOON, async || count(service, text) > before).await;
    }

    /// Creates an object. The stand-in does not describe updates, so every event here is a creation.
    async fn create(client: &Client, number: u64) {
        let answer = client.put(&pod(CLUSTER, &format!("p{number}")), &json!({"data": {"n": number}})).await.unwrap();
        assert_eq!(answer.json()["code"], 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn watchers_see_everything_once_and_in_order_over_cuts_of_the_database() {
        let mongo = MongoDb::start_own().await;
        let proxy = ChaosProxy::start(mongo.address());
        let databases = databases(&mongo);
        let mut watched = storage_on_mongodb(&databases, &proxy.address().to_string()).start().await;
        // Another instance on the same databases writes, undisturbed.
        let mut writing = storage_on_mongodb(&databases, &mongo.hosts()).start().await;
        let (watcher, writer) = (watched.client(), writing.client());

        let path = pod_watch(CLUSTER);
        let body = json!({});
        let streams = (0..WATCHERS).map(|_| watcher.stream(Method::POST, &path, Some(&body)));
        let mut watchers: Vec<_> =
            join_all(streams).await.into_iter().map(|stream| (stream.unwrap(), Seen::default())).collect();
        // A stream is resumed behind what it has seen; the stand-in gives no place to resume at before that.
        create(&writer, 0).await;
        join_all(watchers.iter_mut().map(|(stream, seen)| read(stream, seen, 1))).await;

        let write = async {
            let mut numbers = 1..;
            for _ in 0..CUTS {
                let before = [count(&mut watched, BROKEN), count(&mut watched, MENDED)];
                proxy.refuse().await;
                for number in numbers.by_ref().take(CREATED as usize) {
                    create(&writer, number).await;
                }
                logged(&mut watched, BROKEN, before[0]).await;
                proxy.accept().await;
                logged(&mut watched, MENDED, before[1]).await;
                for number in numbers.by_ref().take(CREATED as usize) {
                    create(&writer, number).await;
                }
            }
        };
        let readers = join_all(watchers.iter_mut().map(|(stream, seen)| read(stream, seen, EVENTS)));
        tokio::join!(write, readers);

        for (_, seen) in &watchers {
            let expected: Vec<_> = (0..seen.numbers.len() as u64).collect();
            assert_eq!(seen.numbers, expected, "lost, doubled or out of order");
        }
        let complete = watchers.iter().filter(|(_, seen)| !seen.broken).count();
        assert_eq!(complete, WATCHERS, "a cut of the database can be resumed");
        drop(watchers);
        watched.stop().await;
        writing.stop().await;
    }
}

mod outage {
    use super::*;

    const K8S: &str = "/bcsstorage/v1/k8s/dynamic";
    const CLUSTER: &str = "clusters/BCS-OUT";

    /// How long a client may wait for the reason: what it takes to know that no server is there, and some.
    const LIMIT: Duration = Duration::from_secs(3);
    const RECOVERY: Duration = Duration::from_secs(2);

    /// Requests of every family, and their codes without a database.
    fn requests() -> Vec<(Method, String, u64)> {
        let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
        let base = "/bcsstorage/v1";
        vec![
            (put.clone(), pod("BCS-OUT", "p"), 1_405_082),
            (get.clone(), pod("BCS-OUT", "p"), 1_405_083),
            (delete.clone(), pod("BCS-OUT", "other"), 1_405_084),
            (get.clone(), format!("{K8S}/all_resources/{CLUSTER}/Pod"), 1_405_085),
            (delete.clone(), format!("{K8S}/all_resources/{CLUSTER}/Other"), 1_405_084),
            (get.clone(), format!("{base}/query/k8s/dynamic/{CLUSTER}/pod"), 1_405_085),
            (post.clone(), format!("{base}/query/mesos/dynamic/{CLUSTER}/taskgroup"), 1_405_085),
            (get.clone(), format!("{base}/dynamic/customresources/Pod"), 1_405_083),
            (put.clone(), format!("{base}/dynamic/customresources/Custom"), 1_405_082),
            (put.clone(), format!("{base}/events"), 1_405_082),
            (get.clone(), format!("{base}/events"), 1_405_085),
            (post, format!("{base}/alarms"), 1_405_082),
            (get.clone(), format!("{base}/alarms"), 1_405_085),
            (put.clone(), format!("{base}/metric/{CLUSTER}/namespaces/ns/t/m"), 1_405_082),
            (get.clone(), format!("{base}/metric/{CLUSTER}/namespaces/ns/t/m"), 1_405_083),
            (get.clone(), format!("{base}/metric/{CLUSTER}"), 1_405_085),
            (get.clone(), format!("{base}/metric/clusters"), 1_405_086),
            (put.clone(), format!("{base}/host/127.0.0.1"), 1_405_082),
            (get.clone(), format!("{base}/host/127.0.0.1"), 1_405_083),
            (put, format!("{base}/cluster_config/versions/s"), 1_405_082),
            (get, format!("{base}/cluster_config/versions/s"), 1_405_083),
        ]
    }

    /// The code of the answer to a request; bodies fit all routes.
    async fn ask(client: &Client, method: &Method, path: &str) -> Value {
        let body = json!({"data": {"a": 1}, "version": "v1", "clusterId": "BCS-OUT"});
        let body = matches!(*method, Method::PUT | Method::POST).then_some(&body);
        let body = body.filter(|_| !path.contains("/query/"));
        let empty = json!({});
        let body = if path.contains("/query/") && *method == Method::POST { Some(&empty) } else { body };
        client.send(method.clone(), path, body).await.unwrap().json()["code"].clone()
    }

    #[tokio::test]
    async fn an_outage_is_answered_and_over_when_it_is_over() {
        let mongo = MongoDb::start_own().await;
        let proxy = ChaosProxy::start(mongo.address());
        let mut service = storage_on_mongodb(&databases(&mongo), &proxy.address().to_string()).start().await;
        let (client, health) = (service.client(), metrics(&service));
        let requests = requests();
        let ready = async || health.get("/readyz").await.unwrap().status;
        for (method, path, _) in &requests {
            assert_eq!(ask(&client, method, path).await, 0, "{method} {path}");
        }
        for _ in 0..2 {
            eventually("the service is ready", SOON, async || ready().await == 200).await;
            proxy.refuse().await;
            let asked = requests.iter().map(async |(method, path, code)| {
                let start = Instant::now();
                assert_eq!(ask(&client, method, path).await, *code, "{method} {path}");
                assert!(start.elapsed() < LIMIT + LOAD, "{method} {path} took {:?}", start.elapsed());
            });
            join_all(asked).await;
            let mut watch = client.stream(Method::POST, &pod_watch("BCS-OUT"), Some(&json!({}))).await.unwrap();
            assert_eq!(watch.next(LIMIT + LOAD).await.unwrap(), Some(json!({"type": -1, "value": null})));
            eventually("the service is not ready", SOON, async || ready().await == 503).await;
            assert_eq!(health.get("/healthz").await.unwrap().status, 200);

            proxy.accept().await;
            let back = Instant::now();
            for (method, path, _) in &requests {
                let what = format!("{method} {path} works");
                eventually(&what, SOON, async || ask(&client, method, path).await == 0).await;
            }
            assert!(back.elapsed() < RECOVERY + LOAD, "it took {:?}", back.elapsed());
            assert!(service.daemon().process().exit_status().is_none());
        }
        service.stop().await;
    }
}
