//! What can be found out on this host: certificates, encrypted values, which backends there are.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bcs_common::tls::{self, ClientTls, ServerTls, Verify};
use bcs_common::{errors, secret};

use super::backends::{Backend, Plan};
use super::report::Report;
use super::services::{EtcdKeys, IdentityKeys, Service};
use super::{Values, databases};
use bcs_console::certificate::{self, Certificate};

/// A certificate that ends sooner is worth a warning.
const SOON_SECONDS: i64 = 30 * 24 * 3600;

/// Checks what needs no other host; returns what does.
pub fn check(service: &Service, values: &Values, report: &mut Report) -> Plan {
    for identity in service.identities {
        check_identity(identity, values, report);
    }
    check_client_verification(values, report);
    for key in service.secrets {
        if let Err(error) = secret::decrypt(values.text(key)) {
            report.failure(format!("{key}: {error}; `bcs crypt encrypt` makes such values"));
        }
    }
    let mut plan = Plan::default();
    for key in service.zookeepers {
        match values.text(key) {
            "" => report.good(format!("{key} is empty: ZooKeeper is not used for it")),
            servers => plan.add(Backend::Tcp { what: format!("ZooKeeper of {key}"), servers: list(servers, 2181) }),
        }
    }
    if let Some(keys) = &service.etcd {
        plan_etcd(keys, values, &mut plan, report);
    }
    if let Some(key) = service.sql {
        databases::plan_sql(key, values, &mut plan, report);
    }
    if service.has_database_files {
        databases::plan_databases(values, &mut plan, report);
        databases::plan_queue(values, &mut plan, report);
    }
    plan
}

/// A file that the configuration names; none if it names none.
fn file(values: &Values, key: &str) -> Option<PathBuf> {
    tls::path(values.text(key))
}

fn check_identity(keys: &IdentityKeys, values: &Values, report: &mut Report) {
    let (ca_file, cert_file, key_file) = (file(values, keys.ca), file(values, keys.cert), file(values, keys.key));
    let mut wanted = vec![(keys.cert, &cert_file), (keys.key, &key_file)];
    if keys.needs_ca {
        wanted.insert(0, (keys.ca, &ca_file));
    }
    let missing: Vec<&str> = wanted.iter().filter(|(_, file)| file.is_none()).map(|(key, _)| *key).collect();
    let Some(cert) = cert_file.clone().filter(|_| missing.is_empty()) else {
        if missing.len() == wanted.len() {
            report.good(format!("no {}", keys.what));
        } else {
            report.warning(format!("no {}: {} is not set, so the others are not used", keys.what, missing.join(", ")));
        }
        return;
    };
    let usable = match keys.is_server {
        true => {
            tls::server_config(&ServerTls { ca_file, cert_file, key_file, ..ServerTls::default() }, &[]).map(|_| ())
        }
        false => {
            let client = ClientTls { ca_file, cert_file, key_file, verify: Some(Verify::None), ..ClientTls::default() };
            tls::client_config(&client, &[]).map(|_| ())
        }
    };
    match usable {
        Ok(()) => check_validity(keys, &cert, report),
        Err(error) => report.failure(format!("{}: {}", keys.what, errors::chain(&error))),
    }
}

/// Whoever is to ask clients for certificates must know whose.
fn check_client_verification(values: &Values, report: &mut Report) {
    let is_set = |key| !values.text(key).is_empty();
    let has_listener = is_set("server_cert_file") && is_set("server_key_file");
    if has_listener && values.is_on("verify_client_tls") && !is_set("ca_file") {
        report.failure("verify_client_tls is true, but ca_file is not set".to_owned());
    }
}

fn check_validity(keys: &IdentityKeys, cert: &Path, report: &mut Report) {
    let certificate = match certificate::of_file(cert) {
        Ok(certificate) => certificate,
        Err(error) => return report.failure(format!("{}: {}", cert.display(), errors::chain(&error))),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed());
    judge(keys, &certificate, now, report);
}

fn judge(keys: &IdentityKeys, certificate: &Certificate, now: i64, report: &mut Report) {
    let Certificate { subject, not_before, not_after } = certificate;
    let what = format!("{} ({}), {subject}", keys.what, keys.cert);
    if now < certificate.not_before_seconds() {
        report.failure(format!("{what}: valid from {not_before} on only; is the clock of this host right?"));
    } else if now > certificate.not_after_seconds() {
        report.failure(format!("{what}: expired at {not_after}"));
    } else if now > certificate.not_after_seconds() - SOON_SECONDS {
        report.warning(format!("{what}: expires at {not_after}"));
    } else {
        report.good(format!("{what}: valid until {not_after}"));
    }
}

/// The servers of a comma separated list, with this port where none is given.
pub fn list(servers: &str, port: u16) -> Vec<String> {
    let servers = servers.split([',', ';']).map(str::trim).filter(|server| !server.is_empty());
    servers
        .map(|server| {
            let server = server.split_once("://").map_or(server, |(_, rest)| rest);
            let has_port = server.rsplit_once(':').is_some_and(|(host, port)| {
                port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']'))
            });
            if has_port { server.to_owned() } else { format!("{server}:{port}") }
        })
        .collect()
}

fn plan_etcd(keys: &EtcdKeys, values: &Values, plan: &mut Plan, report: &mut Report) {
    match keys.feature {
        Some(feature) if !values.is_on(feature) => {
            return report.good(format!("{feature} is off: not registered in etcd"));
        }
        None if values.text(keys.servers).is_empty() => {
            return report.good(format!("{} is empty: not registered in etcd", keys.servers));
        }
        _ => {}
    }
    let files = [keys.identity.ca, keys.identity.cert, keys.identity.key];
    if files.iter().any(|key| !values.text(key).is_empty()) {
        for key in files.into_iter().filter(|key| keys.wants_all_files && values.text(key).is_empty()) {
            report.failure(format!("{key} is not set, but others of the three TLS files of etcd are"));
        }
        check_identity(&keys.identity, values, report);
    }
    let servers = list(values.text(keys.servers), 2379);
    plan.add(Backend::Tcp { what: format!("etcd of {}", keys.servers), servers });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_get_the_default_port_where_they_have_none() {
        assert_eq!(list("a:1, b ,http://c:2", 9), ["a:1", "b:9", "c:2"]);
        assert_eq!(list("[::1]:5;[::1];", 9), ["[::1]:5", "[::1]:9"]);
        assert!(list(" ,", 9).is_empty());
    }

    #[test]
    fn the_end_of_a_certificate_is_seen_coming() {
        let keys = IdentityKeys {
            what: "server certificate",
            ca: "",
            cert: "server_cert_file",
            key: "",
            is_server: true,
            needs_ca: false,
        };
        let day = 24 * 3600;
        let certificate = Certificate::new("CN=bcs", 100 * day, 200 * day);
        for (now, wanted, failures) in
            [(99, "is the clock", 1), (150, "valid until", 0), (180, "expires at", 0), (201, "expired at", 1)]
        {
            let mut report = Report::default();
            judge(&keys, &certificate, now * day, &mut report);
            assert!(report.text().contains(wanted), "{now}: {}", report.text());
            assert_eq!(report.failures(), failures, "{now}");
        }
    }
}
