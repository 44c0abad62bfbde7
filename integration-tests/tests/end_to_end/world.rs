//! Everything that the install guide installs, on one machine: the backends, the five services with the guide's keys and
//! certificates, and what lives around them.

use std::path::Path;
use std::time::Duration;

use bcs_common::secret;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::mesos::{MesosTree, Pages, Scheduler, Task};
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::servers::rabbitmq::RabbitMq;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use bcs_integration_tests::workdir::repository;
use serde_json::{Value, json};

/// Far more than anything here takes on an idle machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Token of the administrator of bcs-user-manager and of bcs-api.
pub const ADMIN: &str = "0123456789abcdefghijABCDEFGHIJ01";

/// The cluster behind the tunnel.
pub const CLUSTER: &str = "BCS-K8S-00001";

const MESOS_CLUSTER: &str = "BCS-MESOS-10001";

/// The databases, queues and registries.
pub struct Backends {
    pub zookeeper: ZooKeeper,
    pub etcd: Etcd,
    _mongodb: MongoDb,
    /// The only way to MongoDB, which is cut: the stand-in keeps its data in memory, so it must not be killed.
    pub mongodb_line: ChaosProxy,
    pub mariadb: MariaDb,
    pub rabbitmq: RabbitMq,
}

impl Backends {
    pub async fn start() -> Self {
        let etcd_certs = Certs::of_the_guide_for_etcd();
        let (zookeeper, etcd, mongodb, mariadb, rabbitmq) = tokio::join!(
            ZooKeeper::start(),
            Etcd::start_with(etcd_certs),
            MongoDb::start_own(),
            MariaDb::start(),
            RabbitMq::start()
        );
        let mongodb_line = ChaosProxy::start(mongodb.address());
        Self { zookeeper, etcd, _mongodb: mongodb, mongodb_line, mariadb, rabbitmq }
    }

    fn zookeeper(&self) -> String {
        self.zookeeper.address().to_string()
    }

    fn mongodb(&self) -> String {
        self.mongodb_line.address().to_string()
    }

    /// Address and files of etcd, as storage and user-manager name them.
    fn etcd_registry(&self) -> Value {
        let certs = self.etcd.certs().unwrap();
        json!({"etcd_feature": true, "etcd_address": self.etcd.address().to_string(), "etcd_ca": certs.ca(),
            "etcd_cert": certs.client_cert(), "etcd_key": certs.client_key()})
    }

    /// `storage-database.conf`.
    fn databases(&self) -> String {
        let values =
            [("bcsZkHost", self.zookeeper()), ("mongodbHost", self.mongodb()), ("ConfigDbHost", self.mongodb())];
        rendered("storage-database.conf", &values)
    }

    /// `queue.conf`.
    fn queue(&self) -> String {
        let password = secret::encrypt("guest").unwrap();
        let address = format!("amqp://guest:{password}@{}", self.rabbitmq.address());
        let [on, kind, resource] = ["true", "rabbitmq", "Pod"].map(str::to_owned);
        let values = [("queueFlag", on), ("queueKind", kind), ("resource", resource), ("queueAddress", address)];
        rendered("queue.conf", &values)
    }
}

/// A template of bcs-storage with these variables; the others are empty.
fn rendered(name: &str, values: &[(&str, String)]) -> String {
    let path = repository().join(format!("configs/bcs-storage/{name}.template"));
    let template = std::fs::read_to_string(path).unwrap();
    let mut parts = template.split("${");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap();
        text.push_str(values.iter().find(|(variable, _)| *variable == name).map_or("", |(_, value)| value));
        text.push_str(rest);
    }
    text
}

/// The services, and who calls them from outside.
pub struct World {
    pub storage: Service,
    pub user_manager: Service,
    pub cluster_manager: Service,
    pub api: Service,
    pub check: Service,
    pub certs: Certs,
    /// A Mesos task, healthy as long as its page is, and the scheduler that hears of it.
    pub task: Task,
    pub pages: Pages,
    pub scheduler: Scheduler,
    _kube: Kube,
    _agent: Agent,
}

/// The keys of a config that name the certificates.
fn with_certs(certs: &Certs, mut config: Value) -> Value {
    let files = json!({"ca_file": certs.ca(), "server_cert_file": certs.server_cert(),
        "server_key_file": certs.server_key(), "client_cert_file": certs.client_cert(),
        "client_key_file": certs.client_key(), "pid_dir": "pid", "v": "3"});
    config.as_object_mut().unwrap().extend(files.as_object().unwrap().clone());
    config
}

async fn start_storage(backends: &Backends, certs: &Certs) -> Service {
    let config = json!({"bcs_zookeeper": backends.zookeeper(), "database_config_file": "storage-database.conf",
        "queue_config_file": "queue.conf", "event_max_day": 7, "event_max_cap": 10000, "alarm_max_day": 7,
        "alarm_max_cap": 10000, "etcdRegistry": backends.etcd_registry()});
    let spec = ServiceSpec::new("bcs-storage").config(&with_certs(certs, config)).ports(&["port", "metric_port"]);
    let spec = spec.file("storage-database.conf", backends.databases()).file("queue.conf", backends.queue());
    spec.start().await
}

async fn start_user_manager(backends: &Backends, certs: &Certs) -> Service {
    let dsn = secret::encrypt(&backends.mariadb.create_database("bcs").await).unwrap();
    let admin = json!({"name": "admin", "user_type": "admin", "token": secret::encrypt(ADMIN).unwrap()});
    let config = json!({"insecure_address": "127.0.0.1", "bcs_zookeeper": backends.zookeeper(),
        "local_ip": "127.0.0.1", "verify_client_tls": false, "mysql_dsn": dsn, "bootstrap_users": [admin],
        "tke": {"secret_id": "", "secret_key": "", "ccs_host": "", "ccs_path": ""},
        "etcdRegistry": backends.etcd_registry()});
    let spec = ServiceSpec::new("bcs-user-manager").config(&with_certs(certs, config));
    spec.ports(&["port", "insecure_port", "metric_port"]).start().await
}

async fn start_cluster_manager(backends: &Backends, certs: &Certs) -> Service {
    let etcd = backends.etcd.certs().unwrap();
    let config = json!({
        "mongo": {"address": backends.mongodb(), "connecttimeout": 3, "database": "clustermanager",
            "username": "", "password": "", "maxpoolsize": 0, "minpoolsize": 0},
        "etcd": {"endpoints": backends.etcd.address().to_string(), "cert": etcd.client_cert(),
            "key": etcd.client_key(), "ca": etcd.ca()},
        "swagger": {"dir": "swagger"}, "tunnel": {"peertoken": "12345678-c714-43d0-8379-d5c2e01e9593"},
        "bcslog": {"dir": "logs", "alsotostderr": true, "v": 3}, "debug": false,
        "serverca": certs.ca(), "servercert": certs.server_cert(), "serverkey": certs.server_key(),
        "clientca": certs.ca(), "clientcert": certs.client_cert(), "clientkey": certs.client_key()});
    ServiceSpec::new("bcs-cluster-manager").config(&config).ports(&["httpport", "port", "metricport"]).start().await
}

async fn start_api(backends: &Backends, certs: &Certs) -> Service {
    // Of this service the guide has the data source name in plain text.
    let dsn = backends.mariadb.create_database("bke_core").await;
    let admin = json!({"name": "admin", "is_super_user": true, "tokens": [secret::encrypt(ADMIN).unwrap()]});
    let config = json!({"edition": "ee", "insecure_address": "127.0.0.1", "bcs_zookeeper": backends.zookeeper(),
        "local_ip": "127.0.0.1", "bkiam_auth": {"auth": false, "bkiam_auth_app_code": "", "bkiam_auth_app_secret": ""},
        "bke": {"mysql_dsn": dsn, "bootstrap_users": [admin], "turn_on_rbac": false, "turn_on_auth": false,
            "turn_on_conf": false}});
    let ports = ["port", "insecure_port", "metric_port", "mesos_webconsole_proxy_port"];
    ServiceSpec::new("bcs-api").config(&with_certs(certs, config)).ports(&ports).start().await
}

async fn start_check(backends: &Backends, certs: &Certs) -> Service {
    let config = json!({"port": 0, "bcs_zookeeper": backends.zookeeper(), "mesos_zookeeper": backends.zookeeper(),
        "cluster": MESOS_CLUSTER});
    ServiceSpec::new("bcs-check").config(&with_certs(certs, config)).ports(&["metric_port"]).start().await
}

impl World {
    /// Starts all services on the backends, and waits until they have found each other.
    pub async fn start(backends: &Backends) -> Self {
        let certs = Certs::of_the_guide();
        let (pages, scheduler, kube) = tokio::join!(Pages::start(), Scheduler::start_tls(&certs), Kube::start());
        let task = Task::http(1, pages.address(), "/1");
        let tree = MesosTree::connect(backends.zookeeper.address()).await;
        tree.register_scheduler(&scheduler, 1).await;
        tree.put(&task).await;
        let (storage, user_manager, cluster_manager, api, check) = tokio::join!(
            start_storage(backends, &certs),
            start_user_manager(backends, &certs),
            start_cluster_manager(backends, &certs),
            start_api(backends, &certs),
            start_check(backends, &certs)
        );
        let server = format!("127.0.0.1:{}", cluster_manager.port("httpport"));
        let options = AgentOptions {
            token: "register-token".to_owned(),
            target: Some(kube.address()),
            tls: Some(certs.client_config()),
            ..AgentOptions::new(server, CLUSTER, kube.url())
        };
        let agent = Agent::start(options).await.unwrap();
        let world = Self {
            storage,
            user_manager,
            cluster_manager,
            api,
            check,
            certs,
            task,
            pages,
            scheduler,
            _kube: kube,
            _agent: agent,
        };
        let api = world.client(&world.api);
        eventually("bcs-api has found bcs-storage", SOON, async || {
            api.get("/bcsapi/v4/storage/events?limit=1").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        eventually("bcs-check reports", SOON, async || world.scheduler.statuses(&world.task) == [true]).await;
        world
    }

    /// A client of a service's HTTPS port with the guide's client certificate.
    pub fn client(&self, service: &Service) -> Client {
        let port = service.https_url().rsplit_once(':').unwrap().1.to_owned();
        Client::with_config(&format!("https://127.0.0.1:{port}"), self.certs.client_config())
    }

    /// Panics if one of the services has ended.
    pub fn assert_all_run(&mut self) {
        let services =
            [&mut self.storage, &mut self.user_manager, &mut self.cluster_manager, &mut self.api, &mut self.check];
        for service in services {
            let dir = service.dir().path().to_owned();
            assert_eq!(service.daemon().process().exit_status(), None, "{}", dir.display());
        }
    }

    /// kubectl against the cluster behind the tunnel.
    pub async fn kubectl(&self, home: &Path, path: &str) -> std::process::Output {
        let port = self.cluster_manager.port("httpport");
        let mut kubectl = std::process::Command::new("kubectl");
        kubectl.env("HOME", home).env_remove("KUBECONFIG");
        kubectl.args(["--server", &format!("https://127.0.0.1:{port}"), "--token", "client-token"]);
        // The guide's certificates name no server.
        kubectl.arg("--insecure-skip-tls-verify");
        kubectl.arg("--client-certificate").arg(self.certs.client_cert());
        kubectl.arg("--client-key").arg(self.certs.client_key());
        kubectl.args(["get", "--raw", &format!("/clustermanager/clusters/{CLUSTER}{path}")]);
        tokio::task::spawn_blocking(move || kubectl.output()).await.unwrap().unwrap()
    }
}
