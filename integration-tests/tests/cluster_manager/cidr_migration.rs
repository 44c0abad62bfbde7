//! `bcs cidr-migration-tool`: the pool of CIDRs of bcs-user-manager becomes that of bcs-cluster-manager.

use std::process::Output;

use bcs_integration_tests::process::command;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::workdir::{WorkDir, programs};
use serde_json::{Value, json};

use crate::support::{mongo, start};

/// The table as the original makes it, with what may be in it.
const TABLE: &str = "CREATE TABLE tke_cidrs (id int unsigned AUTO_INCREMENT PRIMARY KEY, vpc varchar(255) NOT NULL, \
     cidr varchar(255) NOT NULL, ip_number int unsigned NOT NULL, status varchar(255) NOT NULL, cluster varchar(255), \
     created_at datetime NULL, updated_at datetime NULL); \
     INSERT INTO tke_cidrs VALUES \
     (3, 'vpc-1', '10.0.0.0/24', 256, 'available', '', '2021-06-02 03:21:45', '2021-06-02 03:21:45'), \
     (5, 'vpc-1', '10.0.1.0/24', 256, 'used', 'BCS-K8S-00001', '2021-06-02 03:21:45', '2021-07-01 00:00:00'), \
     (6, 'vpc-2', '10.0.2.0/20', 4096, 'available', NULL, NULL, NULL)";

fn texts(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap();
    (output.status.code(), text)
}

#[tokio::test]
async fn the_pool_of_user_manager_is_taken_over() {
    let (mariadb, server) = (MariaDb::start().await, MongoDb::start().await);
    let dsn = mariadb.create_database("bcs").await.replace("loc=Local", "loc=UTC");
    mariadb.query(&format!("USE bcs; {TABLE}")).await;
    let mut config = mongo(&server);
    let name = server.database("cidrs");
    config["database"] = json!(name);
    let dir = WorkDir::new("cidr-migration");
    let tool = |args: &[&str]| -> (Option<i32>, String) {
        let mut bcs = command(programs().join("bcs"), dir.path());
        texts(&bcs.arg("cidr-migration-tool").args(args).output().unwrap())
    };

    let (code, text) = tool(&["--mode=dumps", "--dsn", &dsn]);
    assert_eq!((code, text.as_str()), (Some(0), "3 CIDRs written to tke_cidr.json\n"));
    let file = std::fs::read(dir.path().join("tke_cidr.json")).unwrap();
    let dumped: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(
        dumped[1],
        json!({
            "ID": 5, "vpc": "vpc-1", "cidr": "10.0.1.0/24", "ip_number": 256, "status": "used", "cluster": "BCS-K8S-00001",
            "createAt": "2021-06-02T03:21:45Z", "updateAt": "2021-07-01T00:00:00Z"
        })
    );
    assert_eq!(dumped[2]["createAt"], "0001-01-01T00:00:00Z");

    let hosts = server.hosts();
    let upload = ["--mode", "upload", "--mongo_address", &hosts, "--mongo_database", &name];
    assert_eq!(tool(&upload), (Some(0), "3 CIDRs added from tke_cidr.json\n".to_owned()));
    let again = "3 CIDRs were there already\n0 CIDRs added from tke_cidr.json\n";
    assert_eq!(tool(&upload), (Some(0), again.to_owned()));

    let mut service = start(&json!({"mongo": config})).await;
    let cidr = "/clustermanager/v1/tke/cidr";
    let counts = service.client().post(&format!("{cidr}/list_count"), &Value::Null).await.unwrap().json();
    assert_eq!(
        counts,
        json!([
            {"vpc": "vpc-1", "ip_number": 256, "count": 1, "status": "available"},
            {"vpc": "vpc-1", "ip_number": 256, "count": 1, "status": "used"},
            {"vpc": "vpc-2", "ip_number": 4096, "count": 1, "status": "available"}
        ])
    );
    let wanted = json!({"vpc": "vpc-1", "cluster": "BCS-K8S-00002", "ip_number": 256});
    let applied = service.client().post(&format!("{cidr}/apply_cidr"), &wanted).await.unwrap().json();
    assert_eq!(applied["data"]["cidr"], "10.0.0.0/24");
    service.stop().await;
}

#[test]
fn what_cannot_be_moved_is_named() {
    let dir = WorkDir::new("cidr-migration-refused");
    let tool = |args: &[&str]| {
        let mut bcs = command(programs().join("bcs"), dir.path());
        texts(&bcs.arg("cidr-migration-tool").args(args).output().unwrap())
    };
    let upload = ["--mode", "upload", "--mongo_address", "127.0.0.1:1", "--mongo_database", "x"];
    let entry = |cidr: &str, time: &str| json!({"vpc": "v", "cidr": cidr, "ip_number": 1, "status": "used", "createAt": time, "updateAt": time});
    let time = "2021-06-02T03:21:45Z";
    for (content, words) in [
        (json!([entry("10.0.0.0/8", "yesterday")]), "10.0.0.0/8 of vpc v: createAt is no time like"),
        (json!([entry("10.0.0.0/8", time), entry("10.0.0.0/8", time)]), "10.0.0.0/8 of vpc v is there twice"),
        (json!([{"vpc": "v"}]), "tke_cidr.json is no list of CIDRs as --mode dumps writes it: missing field `cidr`"),
    ] {
        dir.write("tke_cidr.json", content.to_string());
        let (code, text) = tool(&upload);
        assert!(code == Some(1) && text.contains(words), "{text}");
    }
    for (args, words) in [
        (&["--mode", "dumps"][..], "dumps needs --dsn"),
        (&["--mode", "upload", "--mongo_database", "x"], "upload needs --mongo_address"),
        (&["--mode", "dumps", "--dsn", "root:secret@nowhere"], "missing the slash"),
    ] {
        let (code, text) = tool(args);
        assert!(code == Some(1) && text.contains(words) && !text.contains("secret"), "{text}");
    }
}
