//! What the start script makes of the templates (D-10 to D-15, D-20).

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::chart_env::{Env, defaults, with};
use crate::tree::{SERVICES, Tree};

/// Runs the script with the stand-in and returns the tree with the files it wrote.
fn rendered(program: &str, env: &Env) -> Tree {
    let tree = Tree::stand_in(program);
    let output = tree.run(env, &[]);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    tree
}

fn json_of(program: &str, env: &Env) -> Value {
    let text = rendered(program, env).read(&format!("{program}.json"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{program}: {e} in {text}"))
}

#[test]
fn storage_gets_the_keys_and_types_of_the_original() {
    let etcd = json!({"etcd_feature": true, "etcd_address": "127.0.0.1:2379", "etcd_ca": "/data/bcs/cert/etcd/etcd-ca.pem",
        "etcd_cert": "/data/bcs/cert/etcd/etcd.pem", "etcd_key": "/data/bcs/cert/etcd/etcd-key.pem"});
    let wanted = json!({"address": "127.0.0.1", "port": 50024, "metric_port": 50025, "log_dir": "/data/bcs/logs/bcs",
        "v": "3", "alsologtostderr": true, "pid_dir": "./", "bcs_zookeeper": "127.0.0.1:2181",
        "database_config_file": "./storage-database.conf", "queue_config_file": "./queue.conf", "event_max_day": 7,
        "event_max_cap": 10000, "alarm_max_day": 7, "alarm_max_cap": 10000, "ca_file": "/data/bcs/cert/bcs/bcs-ca.crt",
        "server_cert_file": "/data/bcs/cert/bcs/bcs-server.crt", "server_key_file": "/data/bcs/cert/bcs/bcs-server.key",
        "etcdRegistry": etcd});
    assert_eq!(json_of("bcs-storage", &defaults("bcs-storage")), wanted);
}

#[test]
fn user_manager_gets_the_keys_and_types_of_the_original() {
    let env = with(
        "bcs-user-manager",
        &[("coreDatabaseDsn", "ZHNu"), ("adminToken", "dG9rZW4="), ("tkeSecretId", "aWQ="), ("tkeSecretKey", "a2V5")],
    );
    let etcd = json!({"etcd_feature": true, "etcd_address": "127.0.0.1:2379", "etcd_ca": "/data/bcs/cert/etcd/etcd-ca.pem",
        "etcd_cert": "/data/bcs/cert/etcd/etcd.pem", "etcd_key": "/data/bcs/cert/etcd/etcd-key.pem"});
    let wanted = json!({"address": "127.0.0.1", "port": 30445, "metric_port": 9253, "insecure_address": "127.0.0.1",
        "insecure_port": 8089, "bcs_zookeeper": "127.0.0.1:2181", "ca_file": "/data/bcs/cert/bcs/bcs-ca.crt",
        "server_cert_file": "/data/bcs/cert/bcs/bcs-server.crt", "server_key_file": "/data/bcs/cert/bcs/bcs-server.key",
        "client_cert_file": "/data/bcs/cert/bcs/bcs-client.crt", "client_key_file": "/data/bcs/cert/bcs/bcs-client.key",
        "log_dir": "/data/bcs/logs/bcs", "v": "3", "alsologtostderr": true, "local_ip": "127.0.0.1", "pid_dir": "./",
        "verify_client_tls": false, "mysql_dsn": "ZHNu",
        "bootstrap_users": [{"name": "admin", "user_type": "admin", "token": "dG9rZW4="}],
        "tke": {"secret_id": "aWQ=", "secret_key": "a2V5", "ccs_host": "cloud.example", "ccs_path": "/v2/index.php"},
        "etcdRegistry": etcd});
    assert_eq!(json_of("bcs-user-manager", &env), wanted);
}

#[test]
fn cluster_manager_gets_the_keys_and_types_of_the_original() {
    let wanted = json!({
        "mongo": {"address": "127.0.0.1:27017", "connecttimeout": 3, "database": "clustermanager", "username": "admin",
            "password": "", "maxpoolsize": 0, "minpoolsize": 0},
        "etcd": {"endpoints": "127.0.0.1:2379", "cert": "/data/bcs/cert/etcd/etcd.pem",
            "key": "/data/bcs/cert/etcd/etcd-key.pem", "ca": "/data/bcs/cert/etcd/etcd-ca.pem"},
        "swagger": {"dir": "/data/bcs/swagger"},
        "tunnel": {"peertoken": "12345678-c714-43d0-8379-d5c2e01e9593"},
        "bcslog": {"dir": "/data/bcs/logs/bcs", "alsotostderr": true, "v": 3},
        "debug": false, "address": "127.0.0.1", "port": 8080, "httpport": 8081, "metricport": 8082,
        "serverca": "/data/bcs/cert/bcs/bcs-ca.crt", "servercert": "/data/bcs/cert/bcs/bcs-server.crt",
        "serverkey": "/data/bcs/cert/bcs/bcs-server.key", "clientca": "/data/bcs/cert/bcs/bcs-ca.crt",
        "clientcert": "/data/bcs/cert/bcs/bcs-client.crt", "clientkey": "/data/bcs/cert/bcs/bcs-client.key"});
    assert_eq!(json_of("bcs-cluster-manager", &defaults("bcs-cluster-manager")), wanted);
}

#[test]
fn api_and_check_get_the_keys_and_types_of_the_original() {
    let certs = json!({"ca_file": "/data/bcs/cert/bcs/bcs-ca.crt", "server_cert_file": "/data/bcs/cert/bcs/bcs-server.crt",
        "server_key_file": "/data/bcs/cert/bcs/bcs-server.key", "client_cert_file": "/data/bcs/cert/bcs/bcs-client.crt",
        "client_key_file": "/data/bcs/cert/bcs/bcs-client.key", "bcs_zookeeper": "127.0.0.1:2181",
        "log_dir": "/data/bcs/logs/bcs", "pid_dir": "./"});
    let with_certs = |mut own: Value| {
        own.as_object_mut().unwrap().extend(certs.as_object().unwrap().clone());
        own
    };
    let api = json!({"edition": "inner_edition", "address": "0.0.0.0", "port": 30443, "mesos_webconsole_proxy_port": 8083,
        "insecure_address": "0.0.0.0", "insecure_port": 30080, "metric_port": 8082, "local_ip": "127.0.0.1",
        "bkiam_auth": {"auth": false, "auth_version": "3", "bkiam_auth_host": ""},
        "bke": {"mysql_dsn": "", "bootstrap_users": [{"name": "admin", "is_super_user": true, "tokens": [""]}],
            "turn_on_rbac": false, "turn_on_auth": false, "turn_on_conf": false},
        "tke": {"secret_id": "", "secret_key": "", "ccs_host": "", "ccs_path": ""}});
    assert_eq!(json_of("bcs-api", &defaults("bcs-api")), with_certs(api));
    let check = json!({"address": "127.0.0.1", "port": 43000, "metric_port": 43001, "mesos_zookeeper": "127.0.0.1:2181",
        "cluster": "BCS-MESOS-10001"});
    assert_eq!(json_of("bcs-check", &defaults("bcs-check")), with_certs(check));
}

/// What envsubst makes of a template with `${NAME}` only.
fn reference(template: &str, env: &Env) -> String {
    let mut parts = template.split("${");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap();
        text.push_str(env.get(name).map_or("", String::as_str));
        text.push_str(rest);
    }
    text
}

#[test]
fn values_are_taken_literally_and_once() {
    let nasty = r#"a $HOME ${localIp} `id` $(id) \1 & "q" 'q' ü *"#;
    let env = with("bcs-storage", &[("mongodbPassword", nasty), ("resource", "Pod,Event"), ("queueAddress", "$")]);
    let tree = rendered("bcs-storage", &env);
    for file in ["storage-database.conf", "queue.conf", "bcs-storage.json"] {
        let template = tree.read(&format!("{file}.template"));
        assert_eq!(tree.read(file), reference(&template, &env), "{file}");
    }
    assert!(tree.read("storage-database.conf").contains("OpLogCollection = oplog.$main\n"));
}

#[test]
fn every_template_is_rendered_as_envsubst_does() {
    for program in SERVICES {
        let env = defaults(program);
        let tree = rendered(program, &env);
        let templates = std::fs::read_dir(tree.home()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut count = 0;
        for template in templates.map(|name| name.into_string().unwrap()) {
            if let Some(file) = template.strip_suffix(".template") {
                assert_eq!(tree.read(file), reference(&tree.read(&template), &env), "{program}: {file}");
                count += 1;
            }
        }
        assert_eq!(count, if program == "bcs-storage" { 3 } else { 1 }, "{program}");
    }
}

#[test]
fn a_template_may_write_variables_without_braces() {
    let tree = Tree::stand_in("bcs-check");
    let template = "a $clusterId.b $ $1 ${} ${clusterId $$clusterId $unknown_ ${mesosZkHost}$";
    std::fs::write(tree.home().join("own.conf.template"), template).unwrap();
    assert!(tree.run(&defaults("bcs-check"), &[]).status.success());
    assert_eq!(tree.read("own.conf"), "a BCS-MESOS-10001.b $ $1 ${} ${clusterId $BCS-MESOS-10001  127.0.0.1:2181$");
}

#[test]
fn without_render_no_file_is_touched() {
    for config_type in [None, Some("off"), Some("sidecar"), Some("")] {
        let tree = Tree::stand_in("bcs-storage");
        std::fs::write(tree.home().join("bcs-storage.json"), "mine").unwrap();
        let mut env = defaults("bcs-storage");
        env.remove("BCS_CONFIG_TYPE");
        env.extend(config_type.map(|value| ("BCS_CONFIG_TYPE".to_owned(), value.to_owned())));
        assert!(tree.run(&env, &[]).status.success());
        assert_eq!(tree.read("bcs-storage.json"), "mine");
        assert!(!tree.home().join("queue.conf").exists());
    }
}

#[test]
fn secrets_are_neither_printed_nor_left_for_others() {
    let env = with("bcs-storage", &[("mongodbPassword", "hunter2"), ("queueAddress", "amqp://u:hunter2@h:1")]);
    let tree = Tree::stand_in("bcs-storage");
    let output = tree.run(&env, &[]);
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"\n".as_slice(), b"".as_slice()));
    // Rendered again over a file that others could read.
    let file = tree.home().join("storage-database.conf");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    tree.run(&env, &[]);
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_json_cannot_do_without_is_named() {
    let mut env = defaults("bcs-storage");
    env.remove("alsologtostderr");
    env.insert("bcsStoragePort".to_owned(), String::new());
    let tree = Tree::stand_in("bcs-storage");
    let output = tree.run(&env, &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let wanted = "/data/bcs/bcs-storage/bcs-storage.json.template: these variables must be set: bcsStoragePort alsologtostderr\n";
    assert!(stderr.ends_with(wanted), "{stderr}");
    assert!(!tree.home().join("bcs-storage.json").exists());
}

#[test]
fn a_program_without_its_execute_bit_gets_it() {
    let tree = Tree::stand_in("bcs-check");
    std::fs::set_permissions(tree.home().join("bcs-check"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = tree.run(&defaults("bcs-check"), &["-f", "x"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "-f\nx\n");
}

#[test]
fn arguments_arrive_unchanged() {
    for program in SERVICES {
        let output = Tree::stand_in(program).run(&defaults(program), &["-f", "a b", "", "--conf", "$HOME *"]);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "-f\na b\n\n--conf\n$HOME *\n", "{program}");
    }
}
