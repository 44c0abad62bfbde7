//! What can be found out on this host: certificates, encrypted values, INI files, ports.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bcs_cluster_manager::{OptionsError, Store};
use bcs_common::ini::Ini;
use bcs_common::tls::{self, ClientTls, ServerTls, Verify};
use bcs_common::{errors, secret};

use super::Values;
use super::backends::{Backend, Plan};
use super::report::Report;
use super::services::{EtcdKeys, IdentityKeys, ListenerKeys, Service};
use bcs_console::certificate::{self, Certificate};

/// A certificate that ends sooner is worth a warning.
const SOON_SECONDS: i64 = 30 * 24 * 3600;

/// Checks what needs no other host; returns what does.
pub fn check(service: &Service, values: &Values, report: &mut Report) -> Plan {
    for identity in service.identities {
        check_identity(identity, values, report);
    }
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
        plan_sql(key, values, &mut plan, report);
    }
    if service.has_database_files {
        plan_databases(values, &mut plan, report);
        plan_queue(values, &mut plan, report);
    }
    plan
}

/// Binds every port and gives it back.
pub fn check_ports(service: &Service, values: &Values, report: &mut Report) {
    for listener in service.listeners {
        let (address, port) = (values.text(listener.address), values.number(listener.port));
        if !is_used(listener, values) {
            report.good(format!("no listener for {}", listener.what));
            continue;
        }
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        match TcpListener::bind((bare, u16::try_from(port).unwrap_or_default())) {
            Ok(_) => report.good(format!("{} can listen on {address}:{port}", listener.what)),
            Err(error) => {
                let hint = match error.kind() {
                    ErrorKind::AddrInUse => "; if the service runs already, this is its own port",
                    ErrorKind::AddrNotAvailable => "; this host does not have the address",
                    ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
                    _ => "",
                };
                let line =
                    format!("{} cannot listen on {address}:{port} ({}): {error}{hint}", listener.what, listener.port);
                match error.kind() {
                    ErrorKind::AddrInUse => report.warning(line),
                    _ => report.failure(line),
                }
            }
        }
    }
}

fn is_used(listener: &ListenerKeys, values: &Values) -> bool {
    let has_certificate = !values.text("server_cert_file").is_empty() && !values.text("server_key_file").is_empty();
    !values.text(listener.address).is_empty()
        && values.number(listener.port) != 0
        && (has_certificate || !listener.needs_certificate)
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

/// Where the documents of bcs-cluster-manager are.
pub fn plan_store(store: Result<Store, OptionsError>, values: &Values, plan: &mut Plan, report: &mut Report) {
    match store {
        Ok(Store::Embedded) => report.good(format!("databases: embedded SQLite in {}", values.text("data_dir"))),
        Ok(Store::Mongo(mongo)) => plan.add(Backend::Mongo {
            what: "MongoDB of mongo.address".to_owned(),
            servers: list(&mongo.hosts.join(","), 27017),
            database: mongo.database,
            username: mongo.username,
            password: mongo.password,
        }),
        Err(error) => report.failure(error.to_string()),
    }
}

fn plan_sql(key: &str, values: &Values, plan: &mut Plan, report: &mut Report) {
    let value = values.text(key);
    // Base64, as the encrypted ones have it, has none of these characters. That of bcs-api is never encrypted.
    let is_clear = key == "bke.mysql_dsn" || ["sqlite:", "@tcp(", "@unix("].iter().any(|mark| value.contains(mark));
    let dsn = match is_clear {
        true => Ok(value.to_owned()),
        false => secret::decrypt(value),
    };
    let default_file = Path::new(values.text("data_dir")).join("the service's own file");
    match dsn.map(|dsn| bcs_sql::Dsn::parse(&dsn, &default_file)) {
        Ok(Ok(bcs_sql::Dsn::Sqlite(_))) => {
            report.good(format!("{key}: embedded SQLite in {}", values.text("data_dir")))
        }
        Ok(Ok(dsn)) => plan.add(Backend::Sql { key: key.to_owned(), dsn }),
        Ok(Err(error)) => report.failure(format!("{key}: {error}")),
        Err(error) => report.failure(format!("{key}: {error}; `bcs crypt encrypt` makes such values")),
    }
}

/// The INI file that a key names, or the one of that name in the working directory; none if there is none.
fn ini(values: &Values, key: &str, default: &str, report: &mut Report) -> Option<Ini> {
    let named = values.text(key);
    let path = Path::new(if named.is_empty() { default } else { named });
    if named.is_empty() && !path.exists() {
        return None;
    }
    match std::fs::read_to_string(path) {
        Ok(text) => {
            report.good(format!("{key}: {} is readable", path.display()));
            Some(Ini::parse(&text))
        }
        Err(error) => {
            report.failure(format!("{key}: {}: {error}", path.display()));
            None
        }
    }
}

fn plan_databases(values: &Values, plan: &mut Plan, report: &mut Report) {
    let Some(ini) = ini(values, "database_config_file", bcs_storage::DATABASE_FILE, report) else {
        if values.text("database_config_file").is_empty() {
            report.good(format!("databases: embedded SQLite in {}", values.text("data_dir")));
        }
        return;
    };
    for section in ini.sections() {
        let get = |key| section.get(key).unwrap_or_default();
        let servers = get("Addr");
        match section.name().split_once('/') {
            Some(("mongodb", _)) => match secret::decrypt(get("Password")) {
                Ok(password) => plan.add(Backend::Mongo {
                    what: format!("MongoDB of [{}]", section.name()),
                    servers: list(servers, 27017),
                    database: get("Database").to_owned(),
                    username: get("Username").to_owned(),
                    password,
                }),
                Err(error) => report.failure(format!("[{}] Password: {error}", section.name())),
            },
            Some(("zk", _)) => {
                plan.add(Backend::Tcp {
                    what: format!("ZooKeeper of [{}]", section.name()),
                    servers: list(servers, 2181),
                });
            }
            _ => report.warning(format!("section [{}] is of no known kind and ignored", section.name())),
        }
    }
}

fn plan_queue(values: &Values, plan: &mut Plan, report: &mut Report) {
    let ini = ini(values, "queue_config_file", bcs_storage::QUEUE_FILE, report);
    let section = ini.as_ref().and_then(|ini| ini.section("queue"));
    let get = |key| section.and_then(|section| section.get(key)).unwrap_or_default();
    if !matches!(get("QueueFlag"), "1" | "t" | "T" | "true" | "TRUE" | "True") {
        return report.good("no queue: nothing is published".to_owned());
    }
    let Some((_, server)) = get("Address").rsplit_once('@') else {
        return report
            .warning("QueueFlag is true, but [queue] Address has no user@host: nothing is published".to_owned());
    };
    let server = server.split('/').next().unwrap_or_default();
    plan.add(Backend::Tcp { what: "RabbitMQ of [queue]".to_owned(), servers: list(server, 5672) });
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
