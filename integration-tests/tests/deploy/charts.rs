//! The chart bcs-services gives its containers what the start scripts want (D-60). Rendered where helm is installed; what can
//! be read from the files is checked everywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bcs_integration_tests::workdir::repository;

use crate::chart_env::{Env, defaults};
use crate::skipped;

const SERVICES: [&str; 3] = ["bcs-storage", "bcs-user-manager", "bcs-cluster-manager"];

fn chart() -> PathBuf {
    repository().join("configs/helm/bcs-services")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The words of a text that start with `BK_BCS_`.
fn keys(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with("BK_BCS_")).map(str::to_owned).collect()
}

#[test]
fn templates_use_exactly_the_values_that_are_declared() {
    let shared = read(&chart().join("templates/_helpers.tpl"));
    for service in SERVICES {
        let dir = chart().join("charts").join(service);
        let mut used = keys(&shared);
        for template in std::fs::read_dir(dir.join("templates")).unwrap() {
            used.extend(keys(&read(&template.unwrap().path())));
        }
        assert_eq!(used, keys(&read(&dir.join("values.yaml"))), "{service}");
    }
}

#[test]
fn every_variable_of_the_containers_is_set() {
    let shared = read(&chart().join("templates/_helpers.tpl"));
    for service in SERVICES {
        let own = read(&chart().join("charts").join(service).join("templates/_env.tpl"));
        for variable in defaults(service).keys() {
            let set = [format!("- name: {variable}\n"), format!("(list . \"{variable}\" ")];
            assert!(set.iter().any(|set| own.contains(set) || shared.contains(set)), "{service}: {variable}");
        }
    }
}

/// Renders the chart with these settings; none where helm is not installed, which the output tells.
fn rendered(settings: &[&str]) -> Option<String> {
    rendered_chart(&chart(), settings)
}

fn rendered_chart(chart: &Path, settings: &[&str]) -> Option<String> {
    let mut helm = Command::new("helm");
    helm.args(["template", "bcs"]).arg(chart).args(["--namespace", "bcs-system"]);
    settings.iter().for_each(|setting| {
        helm.args(["--set", setting]);
    });
    let output = match helm.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("the chart is not rendered, for helm is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The document of a kind and name.
fn document<'a>(manifest: &'a str, kind: &str, name: &str) -> Option<&'a str> {
    let head = format!("\nkind: {kind}\nmetadata:\n  name: {name}\n");
    manifest.split("\n---\n").find(|document| document.contains(&head))
}

/// The variables that a Deployment sets to a text.
fn env(deployment: &str) -> Env {
    let lines: Vec<_> = deployment.lines().map(str::trim).collect();
    let pair = |pair: &[&str]| {
        let value = pair[1].strip_prefix("value: ")?.trim_matches('"');
        Some((pair[0].strip_prefix("- name: ")?.to_owned(), value.to_owned()))
    };
    lines.windows(2).filter_map(pair).collect()
}

/// Where our values differ from the original's, on purpose.
fn wanted(service: &str) -> Env {
    let mut env = defaults(service);
    let ours: &[(&str, &str)] = match service {
        "bcs-storage" => &[("mongodbOplogCollection", "oplog.rs"), ("ConfigDbUsername", "admin")],
        "bcs-cluster-manager" => &[("bcsClusterManagerPort", "8081"), ("bcsClusterManagerHTTPPort", "8080")],
        _ => &[("tkeCcsHost", "")],
    };
    env.extend(ours.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    // The address of the pod is not a text.
    env.remove("localIp");
    env
}

#[test]
fn deployments_start_the_images_as_the_original_does() {
    let Some(manifest) = rendered(&["global.imageRegistry=registry.example"]) else { return };
    for service in SERVICES {
        let deployment = document(&manifest, "Deployment", service).unwrap();
        assert_eq!(env(deployment), wanted(service), "{service}");
        let argument = if service == "bcs-cluster-manager" { "--conf" } else { "-f" };
        for line in [
            format!("command: [\"/data/bcs/{service}/container-start.sh\"]"),
            format!("args: [\"{argument}\", \"/data/bcs/{service}/{service}.json\"]"),
            format!("image: \"registry.example/bcs/{service}:v1.20.10\""),
            "mountPath: /data/bcs/cert/bcs".to_owned(),
            "mountPath: /data/bcs/cert/etcd".to_owned(),
            "fieldPath: status.podIP".to_owned(),
            "path: /healthz".to_owned(),
            "path: /readyz".to_owned(),
            "app.kubernetes.io/platform: bk-bcs".to_owned(),
        ] {
            assert!(deployment.lines().any(|found| found.trim() == line), "{line} is not in\n{deployment}");
        }
    }
    let service = document(&manifest, "Service", "bcs-storage").unwrap();
    for line in ["type: NodePort", "port: 50024", "targetPort: http", "nodePort: 31024"] {
        assert!(service.contains(line), "{service}");
    }
    for secret in ["bk-bcs-certs", "bcs-etcd-certs"] {
        assert!(document(&manifest, "Secret", secret).is_some());
    }
}

#[test]
fn values_for_all_services_win_and_secrets_come_from_an_existing_one() {
    let settings = [
        "global.env.BK_BCS_mongodbAddress=mongo:27017",
        "global.env.BK_BCS_mongodbPassword=hunter2",
        "bcs-storage.env.BK_BCS_mongodbAddress=other:1",
        "bcs-storage.env.BK_BCS_ConfigDbUsername=config",
        "bcs-storage.replicaCount=3",
        "bcs-user-manager.enabled=false",
        "bcs-init.enabled=false",
    ];
    let Some(manifest) = rendered(&settings) else { return };
    let storage = document(&manifest, "Deployment", "bcs-storage").unwrap();
    let found = env(storage);
    for (name, value) in [
        ("mongodbHost", "mongo:27017"),
        ("ConfigDbHost", "mongo:27017"),
        ("ConfigDbUsername", "config"),
        ("ConfigDbPassword", "hunter2"),
        ("mongodbPassword", "hunter2"),
    ] {
        assert_eq!(found[name], value, "{name}");
    }
    assert!(storage.contains("replicas: 3"));
    assert!(document(&manifest, "Deployment", "bcs-user-manager").is_none());
    assert!(document(&manifest, "Secret", "bk-bcs-certs").is_none());

    let manifest = rendered(&[&settings[..], &["global.secret.existingSecret=mine"]].concat()).unwrap();
    assert!(!manifest.contains("hunter2"));
    assert!(manifest.contains("key: mongodbPassword") && manifest.contains("key: bcsClusterManagerPeerToken"));
}

#[test]
fn the_secrets_can_be_installed_before_the_services() {
    let dir = chart().join("charts/bcs-init");
    let template = read(&dir.join("templates/secrets.yaml"));
    let values = read(&dir.join("values.yaml"));
    for (key, name) in [("bcsCerts", "bk-bcs-certs"), ("etcdCerts", "bcs-etcd-certs")] {
        assert!(template.contains(&format!("name: {{{{ .Values.global.secret.{key} }}}}")), "{template}");
        assert!(values.contains("\nglobal:\n  secret:\n") && values.contains(&format!("\n    {key}: {name}\n")));
    }
    let Some(manifest) = rendered_chart(&dir, &[]) else { return };
    for secret in ["bk-bcs-certs", "bcs-etcd-certs"] {
        assert!(document(&manifest, "Secret", secret).is_some(), "{manifest}");
    }
}
