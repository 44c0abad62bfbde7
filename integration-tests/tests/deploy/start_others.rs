//! bcs-api, bcs-cluster-manager and bcs-check started out of their image trees (D-20 to D-31, D-42, D-52).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bcs_common::secret;
use bcs_integration_tests::daemon::{Daemon, Ready};
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::command;
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::wait::{eventually, eventually_some};
use bcs_integration_tests::workdir::{WorkDir, programs};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::chart_env::{Env, with};
use crate::listening::listening;
use crate::started::{GRACE, SOON, Started, curl, guide_certificate, nobody, text};
use crate::tree::assemble;

/// What the chart of bcs-cluster-manager gives before it kills.
const CLUSTER_MANAGER_GRACE: Duration = Duration::from_secs(5);

/// The chart's environment with the certificates of the guide, and these values.
fn with_certificates(program: &str, values: &[(&str, &str)]) -> Env {
    let files = [
        ("caFile", "bcs-ca.pem"),
        ("serverCertFile", "bcs-server.pem"),
        ("serverKeyFile", "bcs-server-key.pem"),
        ("clientCertFile", "bcs-client.pem"),
        ("clientKeyFile", "bcs-client-key.pem"),
    ];
    let mut env = with(program, values);
    env.extend(files.map(|(name, file)| (name.to_owned(), guide_certificate(file))));
    env
}

/// Connections that send nothing do not hold up the end.
async fn hold_open(port: &Port) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(TcpStream::connect(port.address()).await.unwrap());
    }
    open
}

#[tokio::test]
async fn api_asks_its_clients_for_no_certificate() {
    let token = "AdminToken0123456789abcdefghijkl";
    let token_value = secret::encrypt(token).unwrap();
    let env = with_certificates("bcs-api", &[("bcsZkHost", &nobody()), ("adminToken", &token_value)]);
    let ports = ["bcsApiPort", "bcsApiMetricPort", "bcsApiInsecurePort", "bcsApiMesosWebconsolePort"];
    let mut api = Started::new("bcs-api", &env, &ports).await;
    let pid = api.pid();
    let pid_file = api.home.join("bcs-api.pid");
    eventually("the pid file", SOON, async || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text == pid.to_string())
    })
    .await;
    // Nothing listens for web consoles: they are served on the ports of the API.
    let wanted: Vec<_> = api.ports[..3].iter().map(Port::number).collect();
    let found = || listening(pid).iter().map(std::net::SocketAddr::port).collect::<Vec<_>>();
    eventually("it listens", SOON, async || found().len() == wanted.len()).await;
    assert!(wanted.iter().all(|port| found().contains(port)), "{:?} instead of {wanted:?}", found());

    let bearer = format!("Authorization: Bearer {token}");
    for base in [api.url("https", 0), api.url("http", 2)] {
        // Who may ask learns that there is no such user.
        assert_eq!(curl(&["-H", &bearer, &format!("{base}/rest/users/nobody")]), 404, "{base}");
        assert_eq!(curl(&[&format!("{base}/rest/users/nobody")]), 401, "{base}");
    }
    assert_eq!(curl(&["--tls-max", "1.2", "-H", &bearer, &format!("{}/rest/users/nobody", api.url("https", 0))]), 404);
    assert_eq!(curl(&[&format!("{}/metrics", api.url("http", 1))]), 200);
    assert!(!api.log().contains(token));
    let _open = hold_open(&api.ports[0]).await;
    api.stops_within(GRACE).await;
}

#[tokio::test]
async fn cluster_manager_serves_as_the_chart_starts_it() {
    // A user without a password is none: the chart's defaults, and a MongoDB without logins.
    let (mongodb, etcd) = tokio::join!(MongoDb::start_own(), Etcd::start_tls());
    let etcd_certs = etcd.certs().unwrap();
    let env = with_certificates(
        "bcs-cluster-manager",
        &[
            ("bcsClusterManagerMongoAddress", &mongodb.hosts()),
            ("bcsEtcdHost", &etcd.address().to_string()),
            ("bcsEtcdCAFile", &text(&etcd_certs.ca())),
            ("bcsEtcdCertFile", &text(&etcd_certs.client_cert())),
            ("bcsEtcdKeyFile", &text(&etcd_certs.client_key())),
        ],
    );
    let ports = ["bcsClusterManagerHTTPPort", "bcsClusterManagerPort", "bcsClusterManagerMetricPort"];
    let mut manager = Started::new("bcs-cluster-manager", &env, &ports).await;
    let pid = manager.pid();
    eventually("it listens", SOON, async || listening(pid).len() == 3).await;
    assert_eq!(listening(pid), manager.ports.iter().map(Port::address).collect());

    let (cert, key) = (guide_certificate("bcs-client.pem"), guide_certificate("bcs-client-key.pem"));
    for port in [0, 1] {
        let list = format!("{}/clustermanager/v1/cluster", manager.url("https", port));
        assert_eq!(curl(&["--cert", &cert, "--key", &key, &list]), 200, "port {port}");
        assert_eq!(curl(&[&list]), 0, "port {port}, a client without a certificate");
    }
    assert_eq!(curl(&[&format!("{}/metrics", manager.url("http", 2))]), 200);

    let registered = async || etcd.keys("/micro/registry/").await.pop();
    let (name, value) = eventually_some("the registration", SOON, registered).await;
    assert!(name.starts_with("/micro/registry/clustermanager.bkbcs.tencent.com/"), "{name}");
    let node = serde_json::from_str::<Value>(&value).unwrap()["nodes"][0].clone();
    assert_eq!(node["address"], manager.ports[1].address().to_string());
    let _open = hold_open(&manager.ports[0]).await;
    manager.stops_within(CLUSTER_MANAGER_GRACE).await;
    assert_eq!(registered().await, None);
}

/// As the units of the community edition run it: another user, limits, one capability and no way to more.
#[tokio::test]
async fn check_runs_as_a_plain_user_within_the_limits_of_its_unit() {
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assemble("bcs-check", &programs(), root.path());
    let ports = [Port::claim(), Port::claim()];
    let mut env = with_certificates(
        "bcs-check",
        &[
            ("bcsCheckPort", &ports[0].number().to_string()),
            ("bcsCheckMetricPort", &ports[1].number().to_string()),
            ("bcsZkHost", &nobody()),
            ("mesosZkHost", &nobody()),
            ("log_dir", &text(&root.path().join("data/bcs/logs/bcs"))),
        ],
    );
    // Certificates that another user can read.
    for name in ["caFile", "serverCertFile", "serverKeyFile", "clientCertFile", "clientKeyFile"] {
        let copy = root.path().join(name);
        std::fs::copy(&env[name], &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
        env.insert(name.to_owned(), text(&copy));
    }
    env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let home = root.path().join("data/bcs/bcs-check");
    let script = home.join("container-start.sh");
    let is_root = rustix::process::getuid().is_root();
    // A machine may allow less than the unit asks for.
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let files = allowed.map_or(1 << 20, |allowed| allowed.min(1 << 20));
    let make = move |dir: &Path| {
        let mut start = command("prlimit", dir);
        if is_root {
            start.args([&format!("--nofile={files}:{files}"), "--nproc=512:512", "--", "setpriv"]);
            start.args(["--reuid=34568", "--regid=34568", "--clear-groups", "--inh-caps=+net_bind_service"]);
            start.arg("--ambient-caps=+net_bind_service");
        } else {
            start.args(["--nproc=512", "--", "setpriv"]);
        }
        start.args(["--no-new-privs", "--pdeathsig=KILL", "--"]);
        start.arg(&script).args(["-f", "bcs-check.json"]).envs(&env);
        start
    };
    let logs = WorkDir::new("plain-user");
    let mut daemon = Daemon::start("bcs-check", logs, ports[1].address(), Ready::Listens, make).await;
    let pid = daemon.process().id();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(line("NoNewPrivs:"), "1");
    if is_root {
        assert_eq!(line("Uid:").split_whitespace().collect::<Vec<_>>(), ["34568"; 4]);
        // Bit 10: CAP_NET_BIND_SERVICE.
        assert_eq!(u64::from_str_radix(&line("CapEff:"), 16).unwrap(), 1 << 10);
    }
    let pid_file = home.join("bcs-check.pid");
    eventually("the pid file", SOON, async || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text == pid.to_string())
    })
    .await;
    let (status, took) = daemon.stop().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < GRACE, "{took:?}");
    assert!(root.path().join("data/bcs/logs/bcs/bcs-check.INFO").exists());
}
