//! The installation, and what a working one does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_common::secret;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::mesos::{MesosTree, Pages, Scheduler, Task};
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::servers::rabbitmq::RabbitMq;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::storage::{databases, metric, pod, pod_watch};
use bcs_integration_tests::wait::eventually;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

/// Far more than anything here takes on an idle machine; sessions and leases are up to 40 s long.
const SOON: Duration = Duration::from_secs(90);
const CLUSTER: &str = "BCS-K8S-00000";
const ADMIN: &str = "0123456789abcdef0123456789abcdef";
const PUBLISHED: &str = r#"bkbcs_storage_queue_push_total{name="Pod",status="succeed"}"#;

/// Everything, started.
pub struct Installation {
    pub zookeeper: ZooKeeper,
    pub etcd: Etcd,
    pub mongo_proxy: ChaosProxy,
    _mongo: MongoDb,
    pub mariadb: MariaDb,
    pub rabbitmq: RabbitMq,
    pub tree: MesosTree,
    scheduler: Scheduler,
    pub pages: Pages,
    certs: Certs,
    storage: Service,
    user_manager: Service,
    check: Service,
    rounds: usize,
}

impl Installation {
    pub async fn start() -> Self {
        let (zookeeper, etcd, mongo, mariadb, rabbitmq) = tokio::join!(
            ZooKeeper::start(),
            Etcd::start_tls(),
            MongoDb::start_own(),
            MariaDb::start(),
            RabbitMq::start()
        );
        let mongo_proxy = ChaosProxy::start(mongo.address());
        let certs = Certs::generate();
        let tree = MesosTree::connect(zookeeper.address()).await;
        let (scheduler, pages) = (Scheduler::start().await, Pages::start().await);
        tree.register_scheduler(&scheduler, 1).await;
        let storage = start_storage(&zookeeper, &etcd, &mongo, &mongo_proxy, &rabbitmq, &certs).await;
        let user_manager = start_user_manager(&zookeeper, &etcd, &mariadb, &certs).await;
        let check = start_check(&zookeeper).await;
        Self {
            zookeeper,
            etcd,
            mongo_proxy,
            _mongo: mongo,
            mariadb,
            rabbitmq,
            tree,
            scheduler,
            pages,
            certs,
            storage,
            user_manager,
            check,
            rounds: 0,
        }
    }

    /// Waits until everything does what it is for.
    pub async fn works(&mut self) {
        self.rounds += 1;
        let round = self.rounds;
        let name = format!("pod-{round}");
        eventually("resources are stored", SOON, async || self.put_pod(&name).await["code"] == 0).await;
        self.a_watch_sees_a_change(&name).await;
        eventually("users are verified", SOON, async || self.user_is_allowed().await).await;
        let published = metric(&self.storage, PUBLISHED).await;
        eventually("messages are published", SOON, async || {
            self.put_pod(&name).await;
            metric(&self.storage, PUBLISHED).await > published
        })
        .await;
        let task = Task::http(round, self.pages.address(), "/task");
        self.tree.put(&task).await;
        self.reported(&task, &[true]).await;
        eventually("both are registered in etcd", SOON, async || self.registered().await == 2).await;
        eventually("one instance is registered for checks", SOON, async || self.tree.check_nodes().await.len() == 1)
            .await;
    }

    pub async fn put_pod(&self, name: &str) -> Value {
        let body = json!({"data": {"kind": "Pod", "metadata": {"name": name}}});
        match self.storage().put(&pod(CLUSTER, name), &body).await {
            Ok(answer) => answer.json(),
            Err(error) => json!({"code": -1, "message": error.to_string()}),
        }
    }

    /// Asks as the plug-in of the gateway: without a client certificate, with a body on GET.
    pub async fn user_is_allowed(&self) -> bool {
        let base = self.user_manager.https_url();
        let client = Client::with_tls_anonymous(&base, &self.certs);
        let question = json!({"user_token": ADMIN, "resource_type": "storage", "resource": "", "action": "GET"});
        let request = Request::get("/usermanager/v1/permissions/verify").header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {ADMIN}"));
        let answer = client.request(request.body(Full::from(question.to_string())).unwrap()).await;
        answer.is_ok_and(|answer| answer.status == 200 && answer.json()["data"]["allowed"] == true)
    }

    /// Waits for the reports of a task.
    pub async fn reported(&self, task: &Task, statuses: &[bool]) {
        let what = format!("the reports of task {} are {statuses:?}", task.number);
        eventually(&what, SOON, async || self.scheduler.statuses(task) == statuses).await;
    }

    /// After a restart of ZooKeeper.
    pub async fn reconnect_tree(&mut self) {
        self.tree = MesosTree::connect(self.zookeeper.address()).await;
    }

    pub async fn stop(mut self) {
        self.storage.stop().await;
        self.user_manager.stop().await;
        self.check.stop().await;
        assert_eq!(self.registered().await, 0, "what ended in order is not in etcd");
    }

    fn storage(&self) -> Client {
        Client::with_tls(&self.storage.https_url(), &self.certs)
    }

    async fn a_watch_sees_a_change(&self, name: &str) {
        let mut watch = self.storage().stream(Method::POST, &pod_watch(CLUSTER), Some(&json!({}))).await.unwrap();
        assert_eq!(self.put_pod(name).await["code"], 0);
        let event = watch.next(SOON).await.unwrap().unwrap();
        assert_eq!(event["value"]["resourceName"], name, "{event}");
    }

    /// How many services are in etcd.
    async fn registered(&self) -> usize {
        let certs = self.etcd.certs().unwrap();
        let client = Client::with_tls(&format!("https://localhost:{}", self.etcd.address().port()), certs);
        let range =
            json!({"key": STANDARD.encode("/micro/registry/"), "range_end": STANDARD.encode("/micro/registry0")});
        let found = client.post("/v3/kv/range", &range).await;
        found.map_or(0, |found| found.json()["kvs"].as_array().map_or(0, Vec::len))
    }
}

fn etcd_registry(etcd: &Etcd) -> Value {
    let certs = etcd.certs().unwrap();
    json!({"etcd_feature": true, "etcd_address": etcd.address().to_string(), "etcd_ca": certs.ca(),
        "etcd_cert": certs.client_cert(), "etcd_key": certs.client_key()})
}

async fn start_storage(
    zookeeper: &ZooKeeper,
    etcd: &Etcd,
    mongo: &MongoDb,
    proxy: &ChaosProxy,
    rabbitmq: &RabbitMq,
    certs: &Certs,
) -> Service {
    let hosts = proxy.address();
    let sections = databases(mongo).into_iter().map(|(section, database)| {
        format!("[mongodb/{section}]\nAddr = {hosts}\nConnectTimeout = 1\nDatabase = {database}\n")
    });
    let databases: String = sections.collect();
    // The password is `guest`.
    let queue = format!(
        "[queue]\nQueueFlag = true\nQueueKind = rabbitmq\nResource = Pod\nAddress = amqp://guest:iQylHSLfKmQ=@{}\n\
         ExchangeName = bcs-storage\nExchangeDurable = true\nExchangePrefetchCount = 30\nExchangePrefetchGlobal = true\n\
         ConnectTimeout = 300\nConnectRetry = true\nPublishDelivery = 2\nSubDurable = true\nSubDisableAutoAck = true\n\
         SubAckOnSuccess = true\nSubRequeueOnError = true\nSubDeliverAllMessage = true\nSubManualAckMode = true\n\
         SubEnableAckWait = true\nSubAckWaitDuration = 30\nSubMaxInFlight = 0\n",
        rabbitmq.address()
    );
    let config = json!({"v": "3", "pid_dir": "pid", "bcs_zookeeper": zookeeper.address().to_string(),
        "database_config_file": "storage-database.conf", "queue_config_file": "queue.conf", "event_max_day": 7,
        "event_max_cap": 10000, "alarm_max_day": 7, "alarm_max_cap": 10000, "ca_file": certs.ca(),
        "server_cert_file": certs.server_cert(), "server_key_file": certs.server_key(),
        "etcdRegistry": etcd_registry(etcd)});
    let zookeeper = format!("[zk/watch]\nAddr = {}\nConnectTimeout = 5\nDatabase = etc/cluster\n", zookeeper.address());
    ServiceSpec::new("bcs-storage")
        .ports(&["port", "metric_port"])
        .config(&config)
        .file("storage-database.conf", databases + &zookeeper)
        .file("queue.conf", queue)
        .start()
        .await
}

async fn start_user_manager(zookeeper: &ZooKeeper, etcd: &Etcd, mariadb: &MariaDb, certs: &Certs) -> Service {
    let dsn = mariadb.create_database("bcs").await;
    let config = json!({"v": "3", "pid_dir": "pid", "local_ip": "127.0.0.1", "bcs_zookeeper": zookeeper.address().to_string(),
        "insecure_address": "127.0.0.1", "verify_client_tls": false, "ca_file": certs.ca(),
        "server_cert_file": certs.server_cert(), "server_key_file": certs.server_key(),
        "client_cert_file": certs.client_cert(), "client_key_file": certs.client_key(),
        "mysql_dsn": secret::encrypt(&dsn).unwrap(),
        "bootstrap_users": [{"name": "admin", "user_type": "admin", "token": secret::encrypt(ADMIN).unwrap()}],
        "tke": {"secret_id": "", "secret_key": "", "ccs_host": "", "ccs_path": ""}, "etcdRegistry": etcd_registry(etcd)});
    let spec = ServiceSpec::new("bcs-user-manager").ports(&["port", "insecure_port", "metric_port"]);
    let service = spec.config(&config).start().await;
    let grant = json!({"apiVersion": "v1", "kind": "permission", "metadata": {"name": "p"}, "spec": {"permissions":
        [{"user_name": "admin", "resource_type": "storage", "resource": "*", "role": "viewer"}]}});
    let request = Request::post("/usermanager/v1/permissions").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {ADMIN}"));
    let client = Client::with_tls_anonymous(&service.https_url(), certs);
    let answer = client.request(request.body(Full::from(grant.to_string())).unwrap()).await.unwrap().json();
    assert_eq!(answer["code"], 0, "{answer}");
    service
}

async fn start_check(zookeeper: &ZooKeeper) -> Service {
    let servers = zookeeper.address().to_string();
    let config = json!({"bcs_zookeeper": servers, "ca_file": "", "client_cert_file": "", "client_key_file": "",
        "server_cert_file": "", "server_key_file": "", "mesos_zookeeper": servers, "cluster": "BCS-MESOS-10001"});
    ServiceSpec::new("bcs-check").config(&config).ports(&["metric_port"]).start().await
}
