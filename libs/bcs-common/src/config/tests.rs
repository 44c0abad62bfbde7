//! The rules of common.md 1.1 from the command line to the typed options.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
struct Options {
    #[serde(flatten)]
    service: group::ServiceOptions,
    #[serde(flatten)]
    etcd: group::EtcdRegistryOptions,
    #[serde(flatten)]
    log: group::LogOptions,
    #[serde(flatten)]
    ours: group::OursOptions,
    bke: Bke,
    #[serde(rename = "ServerCert")]
    server_cert: ServerCert,
    #[serde(default)]
    networks: Vec<u8>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Bke {
    mysql_dsn: String,
    #[serde(default)]
    bootstrap_users: Vec<User>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct User {
    #[serde(deserialize_with = "lenient::string")]
    name: String,
    #[serde(default, deserialize_with = "lenient::strings")]
    tokens: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct ServerCert {
    #[serde(rename = "CertPwd")]
    cert_pwd: String,
}

fn spec() -> Spec {
    let own = vec![
        Opt::string("bke.mysql_dsn", "", "database of users").secret(),
        Opt::json("bke.bootstrap_users", "first users").secret(),
        Opt::string("ServerCert.CertPwd", "", "password of the server key").file_only().secret(),
        Opt::json("networks", "numbers"),
    ];
    let options = [group::file(), group::service(), group::etcd_registry(), group::log(), group::ours(), own].concat();
    Spec { program: "bcs-x", about: "Does x.", options }
}

fn run(args: &[&str], file: Option<&str>) -> Result<Loaded<Options>, Exit> {
    run_with_env(args, file, |_| None)
}

fn run_with_env(
    args: &[&str],
    file: Option<&str>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Loaded<Options>, Exit> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    let mut all = vec![OsString::from("/usr/bin/bcs-x")];
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
        all.extend(["-f".into(), path.clone().into_os_string()]);
    }
    all.extend(args.iter().map(OsString::from));
    load_from(&spec(), all.into_iter(), env).map_err(|mut exit| {
        exit.stderr = exit.stderr.replace(path.to_str().unwrap(), "x.json");
        exit
    })
}

fn options(args: &[&str], file: &str) -> Options {
    run(args, Some(file)).unwrap().options
}

fn config_error(file: &str) -> String {
    let exit = run(&[], Some(file)).unwrap_err();
    assert_eq!((exit.code, exit.stdout.as_str()), (1, ""));
    exit.stderr
}

#[test]
fn defaults() {
    let options = run(&[], None).unwrap().options;
    assert_eq!((options.service.address.as_str(), options.service.port), ("127.0.0.1", 8080));
    assert_eq!(options.etcd.etcd_registry.etcd_address, "127.0.0.1:2379");
    assert_eq!((options.log.log_max_size, options.log.log_max_num, options.log.v), (500, 10, 0));
    assert_eq!((options.ours.data_dir.to_str(), options.ours.tls_verify.as_str()), (Some("./data"), ""));
    assert!(options.bke.bootstrap_users.is_empty());
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let file = r#"{"port": 1, "insecure_port": 2, "etcdRegistry": {"etcd_feature": true, "etcd_ca": "a"}, "tls_verify": "full"}"#;
    let options = options(&["--port=8080", "--etcd_feature=false"], file);
    assert_eq!((options.service.port, options.service.insecure_port), (8080, 2));
    assert_eq!(options.etcd.etcd_registry.etcd_ca.to_str(), Some("a"));
    assert!(!options.etcd.etcd_registry.etcd_feature);
    assert_eq!(options.ours.tls_verify, "full");
}

#[test]
fn a_given_flag_hides_a_bad_value_in_the_file() {
    assert_eq!(options(&["-p", "1"], r#"{"port": "abc"}"#).service.port, 1);
}

#[test]
fn the_environment_is_between_file_and_default() {
    let env = |name: &str| (name == "BCS_DATA_DIR").then(|| "/env".to_owned());
    let dir = |args: &[&str], file| run_with_env(args, file, env).unwrap().options.ours.data_dir;
    assert_eq!(dir(&[], None).to_str(), Some("/env"));
    assert_eq!(dir(&[], Some(r#"{"data_dir": "/file"}"#)).to_str(), Some("/file"));
    assert_eq!(dir(&["--data-dir=/flag"], Some(r#"{"data_dir": "/file"}"#)).to_str(), Some("/flag"));
    let empty = run_with_env(&[], None, |_| Some(String::new())).unwrap();
    assert_eq!(empty.options.ours.data_dir.to_str(), Some("./data"));
}

#[test]
fn chart_files_with_quoted_numbers_load() {
    let options =
        options(&[], r#"{"port": "50024", "v": "3", "log_max_num": "", "log_max_size": 1e2, "external_port": null}"#);
    assert_eq!(
        (options.service.port, options.log.v, options.log.log_max_num, options.log.log_max_size),
        (50024, 3, 0, 100)
    );
}

#[test]
fn file_only_and_nested_objects() {
    let file = r#"{"ServerCert": {"CertPwd": "pw"}, "bke": {"mysql_dsn": "d", "bootstrap_users": [{"name": 1, "tokens": [2]}]}}"#;
    let options = options(&[], file);
    assert_eq!(options.server_cert.cert_pwd, "pw");
    assert_eq!(options.bke.bootstrap_users, [User { name: "1".into(), tokens: vec!["2".into()] }]);
    assert_eq!(run(&["--CertPwd=x"], None).unwrap_err().code, 2);
}

#[test]
fn help() {
    let exit = run(&["--help", "--version"], None).unwrap_err();
    assert_eq!((exit.code, exit.stdout.as_str()), (0, ""));
    let want = "\
Does x.

Usage of bcs-x:
  -a, --address string            IP address to listen on and to register (default \"127.0.0.1\")
      --alsologtostderr           log to standard error and files
      --data-dir string           directory of the embedded databases (default \"./data\")
      --etcd-address string       etcd servers, comma separated host:port (default \"127.0.0.1:2379\")
";
    assert!(exit.stderr.starts_with(want), "{}", exit.stderr);
    assert!(exit.stderr.contains("\n      --mysql-dsn string          database of users\n"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("CertPwd") && !exit.stderr.contains("bootstrap"));
}

#[test]
fn version() {
    let exit = run(&["--version"], None).unwrap_err();
    assert_eq!(exit, Exit { code: 0, stdout: crate::version::text(), stderr: String::new() });
    assert_eq!(exit.stdout.lines().count(), 4);
}

#[test]
fn flag_errors_go_to_both_streams_with_the_usage() {
    let exit = run(&["--xyz", "--help"], None).unwrap_err();
    assert_eq!((exit.code, exit.stdout.as_str()), (2, "unknown flag: --xyz\n"));
    assert!(
        exit.stderr.starts_with("unknown flag: --xyz\nUsage of bcs-x:\n  -a, --address string "),
        "{}",
        exit.stderr
    );
}

#[test]
fn unreadable_files() {
    let error = |name: &str| run(&["-f", name], None).unwrap_err();
    assert_eq!(error("/no/such.json"), Exit::failure(1, "open /no/such.json: no such file or directory"));
    assert_eq!(error("/"), Exit::failure(1, "read /: is a directory"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, b"{\n\"address\": \"\xff\"}").unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(error(path).stderr, format!("{path}:2: not valid UTF-8\n"));
}

#[test]
fn config_errors_name_the_place() {
    assert_eq!(config_error("{\n\"port\": 1.5}"), "x.json:2: key \"port\": want a port number (0 to 65535), got 1.5\n");
    assert_eq!(config_error("{\n"), "x.json:2:0: EOF while parsing an object\n");
    assert_eq!(
        config_error("{\"networks\": [1,\n2,\n300]}"),
        "x.json:3: key \"networks[2]\": invalid value: integer `300`, expected u8\n"
    );
}

#[test]
fn errors_inside_secret_objects_hide_the_values() {
    for (file, want) in [
        (
            "{\"bke\": {\"bootstrap_users\": [\n{\"name\": \"a\",\n\"tokens\": [\"hunter2\", [\"hunter2\"]]}]}}",
            "x.json:3: key \"bke.bootstrap_users[0].tokens[1]\": want a string\n",
        ),
        ("{\"bke\": {\"bootstrap_users\": \"hunter2\"}}", "x.json:1: key \"bke.bootstrap_users\": want a sequence\n"),
        (
            "{\"bke\": {\"bootstrap_users\": [{\"tokens\": [\"hunter2\"]}]}}",
            "x.json:1: key \"bke.bootstrap_users[0]\": missing field `name`\n",
        ),
        ("{\"bke\": {\"mysql_dsn\": [\"hunter2\"]}}", "x.json:1: key \"bke.mysql_dsn\": want a string\n"),
    ] {
        assert_eq!(config_error(file), want);
    }
}

#[test]
fn slips_are_worth_a_warning() {
    let loaded = run(&[], Some("{\"Port\": 1,\n\"bcs_zookeeper\": \"x\"}")).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].ends_with("x.json:1: key \"Port\" is ignored; did you mean \"port\"?"));
}

#[test]
fn every_group_fits_its_struct() {
    #[derive(Debug, Deserialize)]
    struct Everything {
        #[serde(flatten)]
        metric: group::MetricOptions,
        #[serde(flatten)]
        zk: group::ZkOptions,
        #[serde(flatten)]
        cert: group::CertOptions,
        #[serde(flatten)]
        process: group::ProcessOptions,
        #[serde(flatten)]
        local: group::LocalOptions,
        #[serde(flatten)]
        custom_cert: group::CustomCertOptions,
        #[serde(flatten)]
        verify_client_tls: group::VerifyClientTlsOptions,
    }
    let groups = [
        group::file(),
        group::service(),
        group::metric(),
        group::zk(),
        group::cert(),
        group::license(),
        group::log(),
        group::process(),
        group::local(),
        group::custom_cert(),
        group::verify_client_tls(),
        group::etcd_registry(),
        group::ours(),
    ];
    let spec = Spec { program: "bcs-x", about: "", options: groups.concat() };
    let args = ["bcs-x", "--custom_server_key_password=hunter2", "--ls-address=x"].map(OsString::from);
    let everything: Everything = load(&spec, args.into_iter()).unwrap();
    assert_eq!((everything.metric.metric_port, everything.zk.bcs_zookeeper.as_str()), (8081, "127.0.0.1:2181"));
    assert_eq!((everything.process.pid_dir.to_str(), everything.local.local_ip.as_str()), (Some("./pid"), ""));
    assert!(everything.cert.ca_file.as_os_str().is_empty() && !everything.verify_client_tls.verify_client_tls);
    assert_eq!(everything.custom_cert.custom_server_key_password, "hunter2");
    assert!(!format!("{everything:?}").contains("hunter2"));

    let mut names: Vec<_> = spec.options.iter().filter_map(Opt::flag_name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "a flag name repeats");
}

#[test]
fn zookeeper_can_be_optional() {
    let spec = Spec { program: "bcs-x", about: "", options: group::optional_zk() };
    let options: group::ZkOptions = load(&spec, [OsString::from("bcs-x")].into_iter()).unwrap();
    assert_eq!(options.bcs_zookeeper, "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_panics_and_never_tells_a_secret(
        key in "(bke|ServerCert|mysql_dsn|bootstrap_users|tokens)",
        value in r#"("hunter2"|\["hunter2"\]|\{"mysql_dsn": \["hunter2"\]\}|\{"bootstrap_users": \[\{"name": \["hunter2"\]\}\]\}|1|null|\{)"#,
    ) {
            if let Err(exit) = run(&[], Some(&format!("{{\"{key}\": {value}}}"))) {
            prop_assert!(!exit.stderr.contains("hunter2"), "{}", exit.stderr);
        }
    }
}
