//! Clients that write all the time, and remember what was acknowledged and what was refused.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bcs_common::shutdown::Shutdown;
use bcs_integration_tests::http::{Client, JsonStream, Response};
use bcs_integration_tests::wait::eventually;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::world::{ADMIN, Backends, SOON, World};

/// Time between two writes of one client.
const PERIOD: Duration = Duration::from_millis(25);

/// The cluster of the Pods that are written.
const PODS: &str = "BCS-K8S-00002";

/// A request of the administrator.
async fn call(client: &Client, method: Method, path: &str, body: &Value) -> Result<Response, String> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {ADMIN}"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.request(request.body(Full::new(body.into())).unwrap()).await.map_err(|error| format!("{error:?}"))
}

/// What came of one write.
enum Outcome {
    Acknowledged,
    /// An answer that tells why not.
    Refused(String),
    /// No answer, or one that does not say why.
    Broken(String),
}

/// Reads an answer whose `code` is 0, as number or text, if all is well.
fn outcome(answer: Result<Response, String>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Outcome::Broken(error),
    };
    let text = format!("{} {}", answer.status, answer.text());
    let Ok(json) = serde_json::from_slice::<Value>(&answer.body) else { return Outcome::Broken(text) };
    let is_zero = json["code"] == 0 || json["code"] == "0";
    // The REST API of bcs-api has no envelope.
    if answer.status == 200 && (is_zero || json.get("code").is_none()) {
        Outcome::Acknowledged
    } else if json["message"].as_str().is_some_and(|message| message.len() > 10) {
        Outcome::Refused(text)
    } else {
        Outcome::Broken(text)
    }
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pods in bcs-storage, through bcs-api: ZooKeeper, MongoDB and the queue.
    Pod,
    /// Users of bcs-user-manager: MariaDB.
    User,
    /// Users of bcs-api: MariaDB.
    ApiUser,
    /// Credentials in bcs-cluster-manager: MongoDB.
    Credential,
    /// CIDRs of bcs-cluster-manager, given out under a lock: MongoDB and etcd.
    Cidr,
}

/// All of them.
pub const KINDS: [Kind; 5] = [Kind::Pod, Kind::User, Kind::ApiUser, Kind::Credential, Kind::Cidr];

impl Kind {
    /// A client of the service that takes it.
    fn client(self, world: &World) -> Client {
        world.client(match self {
            Self::Pod | Self::ApiUser => &world.api,
            Self::User => &world.user_manager,
            Self::Credential | Self::Cidr => &world.cluster_manager,
        })
    }

    fn name(self, number: usize) -> String {
        match self {
            Self::Cidr => format!("10.{}.{}.0/24", number / 256, number % 256),
            _ => format!("{self:?}-{number}").to_lowercase(),
        }
    }

    async fn write(self, client: &Client, name: &str) -> Outcome {
        let (method, path, body) = match self {
            Self::Pod => (Method::PUT, pod(name), json!({"data": {"metadata": {"name": name}}})),
            Self::User => (Method::POST, format!("/usermanager/v1/users/plain/{name}"), Value::Null),
            Self::ApiUser => (Method::POST, "/rest/users".to_owned(), json!({"user_name": name})),
            Self::Credential => (
                Method::PUT,
                format!("/clustermanager/v1/clustercredential/{name}"),
                json!({"serverKey": name, "clusterID": name, "clientModule": "kubeagent", "caCertData": "CA",
                    "serverAddress": "https://10.0.0.1:6443", "userToken": "t", "clusterDomain": ""}),
            ),
            Self::Cidr => return write_cidr(client, name).await,
        };
        outcome(call(client, method, &path, &body).await)
    }
}

fn pod(name: &str) -> String {
    format!("/bcsapi/v4/storage/k8s/dynamic/namespace_resources/clusters/{PODS}/namespaces/ns/Pod/{name}")
}

/// Adds one and gives it to a cluster; each has a VPC of its own.
async fn write_cidr(client: &Client, name: &str) -> Outcome {
    let add = json!({"vpc": name, "tke_cidrs": [{"cidr": name, "ip_number": 256}]});
    let added = call(client, Method::POST, "/clustermanager/v1/tke/cidr/add_cidr", &add).await;
    match outcome(added) {
        Outcome::Acknowledged => {}
        other => return other,
    }
    let apply = json!({"vpc": name, "cluster": "c", "ip_number": 256});
    outcome(call(client, Method::POST, "/clustermanager/v1/tke/cidr/apply_cidr", &apply).await)
}

#[derive(Default)]
struct Ledger {
    acknowledged: Vec<String>,
    refused: Vec<String>,
    broken: Vec<String>,
}

/// One client.
pub struct Load {
    kind: Kind,
    ledger: Arc<Mutex<Ledger>>,
}

impl Load {
    /// Starts to write one after the other, until the shutdown.
    pub fn start(kind: Kind, world: &World, shutdown: &Shutdown) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (client, seen, stop) = (kind.client(world), Arc::clone(&ledger), shutdown.token());
        shutdown.spawn("load", async move {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0.. {
                ticks.tick().await;
                if stop.is_cancelled() {
                    break;
                }
                let name = kind.name(number);
                let outcome = kind.write(&client, &name).await;
                let mut ledger = seen.lock().unwrap();
                match outcome {
                    Outcome::Acknowledged => ledger.acknowledged.push(name),
                    Outcome::Refused(why) => ledger.refused.push(why),
                    Outcome::Broken(why) => ledger.broken.push(why),
                }
            }
        });
        Self { kind, ledger }
    }

    /// What is written.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The names that were acknowledged so far.
    pub fn acknowledged(&self) -> Vec<String> {
        self.ledger.lock().unwrap().acknowledged.clone()
    }

    /// Waits until some more writes are acknowledged.
    pub async fn goes_on(&self, when: &str) {
        let count = || self.ledger.lock().unwrap().acknowledged.len();
        let before = count();
        eventually(&format!("{:?} is written, {when}", self.kind), SOON, async || count() >= before + 3).await;
    }

    /// Waits until a write is refused; what the client was told last.
    pub async fn is_refused(&self, when: &str) -> String {
        let count = || self.ledger.lock().unwrap().refused.len();
        let before = count();
        eventually(&format!("{:?} is refused, {when}", self.kind), SOON, async || count() > before).await;
        self.ledger.lock().unwrap().refused.last().unwrap().clone()
    }

    /// Panics if there was a request without an answer, or an answer without a reason.
    pub fn assert_all_were_answered(&self) {
        let ledger = self.ledger.lock().unwrap();
        assert!(ledger.broken.is_empty(), "{:?}: {} {:?}", self.kind, ledger.broken.len(), ledger.broken.first());
    }

    /// Panics if something that was acknowledged is not there any more.
    pub async fn assert_nothing_is_lost(&self, world: &World, backends: &Backends) {
        let client = self.kind.client(world);
        let there: BTreeSet<String> = match self.kind {
            Kind::Pod => {
                let list = format!("{}?field=resourceName&limit=100000", pod("").trim_end_matches('/'));
                let answer = call(&client, Method::GET, &list, &Value::Null).await.unwrap().json();
                let items = answer["data"].as_array().unwrap();
                items.iter().map(|item| item["resourceName"].as_str().unwrap().to_owned()).collect()
            }
            Kind::User => lines(&backends.mariadb.query("SELECT name FROM bcs.bcs_users").await),
            Kind::ApiUser => lines(&backends.mariadb.query("SELECT substr(name, 7) FROM bke_core.users").await),
            Kind::Credential => {
                let mut all = BTreeSet::new();
                loop {
                    let page = format!("/clustermanager/v1/clustercredential?limit=1000&offset={}", all.len());
                    let answer = call(&client, Method::GET, &page, &Value::Null).await.unwrap().json();
                    let items = answer["data"].as_array().unwrap();
                    all.extend(items.iter().map(|item| item["serverKey"].as_str().unwrap().to_owned()));
                    if items.is_empty() {
                        break all;
                    }
                }
            }
            Kind::Cidr => {
                let path = "/clustermanager/v1/tke/cidr/list_count";
                let answer = call(&client, Method::POST, path, &Value::Null).await.unwrap().json();
                let used = answer.as_array().unwrap().iter().filter(|count| count["status"] == "used");
                used.map(|count| count["vpc"].as_str().unwrap().to_owned()).collect()
            }
        };
        let acknowledged = self.acknowledged();
        let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(*name)).collect();
        let some: Vec<_> = lost.iter().take(3).collect();
        assert!(lost.is_empty(), "{:?}: {} of {} are lost: {some:?}", self.kind, lost.len(), acknowledged.len());
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

/// A watch of the Pods through bcs-api.
pub struct Watch {
    names: Arc<Mutex<Vec<String>>>,
    shutdown: Shutdown,
}

impl Watch {
    /// Starts to follow, until the stream ends or this value does.
    pub async fn start(world: &World) -> Self {
        let client = world.client(&world.api);
        let path = format!("/bcsapi/v4/storage/dynamic/watch/{PODS}/Pod");
        let mut stream = client.stream(Method::POST, &path, Some(&json!({}))).await.unwrap();
        let (names, shutdown) = (Arc::new(Mutex::new(Vec::new())), Shutdown::new());
        let (seen, stop) = (Arc::clone(&names), shutdown.token());
        shutdown.spawn(
            "watch",
            stop.run_until_cancelled_owned(async move {
                // The client goes with its stream.
                let _client = client;
                while let Some(event) = next(&mut stream).await {
                    seen.lock().unwrap().push(event);
                }
            }),
        );
        Self { names, shutdown }
    }

    /// Waits until it has told of all these, in this order.
    pub async fn tells_of(&self, names: &[String]) {
        let told = || {
            let seen = self.names.lock().unwrap();
            let mut seen = seen.iter();
            names.iter().all(|name| seen.any(|seen| seen == name))
        };
        eventually("the watch has told of all Pods in order", SOON, async || told()).await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// The name of the Pod of the next event; none at the end.
async fn next(stream: &mut JsonStream) -> Option<String> {
    let event = stream.next(Duration::from_secs(3600)).await.ok()??;
    Some(event["value"]["resourceName"].as_str().unwrap_or("no Pod").to_owned())
}
