//! Where a service keeps its data and where it publishes to: what the configuration says of it.

use std::path::Path;

use bcs_cluster_manager::{OptionsError, Store};
use bcs_common::http::server::host_port;
use bcs_common::ini::{Ini, Section};
use bcs_common::{errors, secret};
use bcs_storage::{QueueConfig, QueueConfigError};

use super::Values;
use super::backends::{Backend, Plan};
use super::directory::check_embedded;
use super::files::list;
use super::report::Report;

/// Where the documents of bcs-cluster-manager are.
pub fn plan_store(store: Result<Store, OptionsError>, values: &Values, plan: &mut Plan, report: &mut Report) {
    match store {
        Ok(Store::Embedded) => check_embedded("databases", data_dir(values), report),
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

pub fn plan_sql(key: &str, values: &Values, plan: &mut Plan, report: &mut Report) {
    let value = values.text(key);
    // Base64, as the encrypted ones have it, has none of these characters. That of bcs-api is never encrypted.
    let is_clear = key == "bke.mysql_dsn" || ["sqlite:", "@tcp(", "@unix("].iter().any(|mark| value.contains(mark));
    let dsn = match is_clear {
        true => Ok(value.to_owned()),
        false => secret::decrypt(value),
    };
    let default_file = data_dir(values).join("the service's own file");
    match dsn.map(|dsn| bcs_sql::Dsn::parse(&dsn, &default_file)) {
        Ok(Ok(bcs_sql::Dsn::Sqlite(file))) => check_embedded(key, file.parent().unwrap_or(&file), report),
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
    match std::fs::read(path) {
        Ok(bytes) => {
            report.good(format!("{key}: {} is readable", path.display()));
            Some(Ini::parse(&String::from_utf8_lossy(&bytes)))
        }
        Err(error) => {
            report.failure(format!("{key}: {}: {error}", path.display()));
            None
        }
    }
}

pub fn plan_databases(values: &Values, plan: &mut Plan, report: &mut Report) {
    let Some(ini) = ini(values, "database_config_file", bcs_storage::DATABASE_FILE, report) else {
        if values.text("database_config_file").is_empty() {
            check_embedded("databases", data_dir(values), report);
        }
        return;
    };
    for section in ini.sections() {
        if !bcs_storage::SECTIONS.contains(&section.name()) {
            report.warning(format!("section [{}] is for nothing known and ignored", section.name()));
            continue;
        }
        let what = |server| format!("{server} of [{}]", section.name());
        if section.name() == "zk/watch" {
            let servers = list(section.get("Addr").unwrap_or_default(), 2181);
            plan.add(Backend::Tcp { what: what("ZooKeeper"), servers });
            continue;
        }
        match mongo(section, what("MongoDB")) {
            Ok(backend) => plan.add(backend),
            Err(reason) => report.failure(format!("[{}] {reason}", section.name())),
        }
    }
}

/// What the service reads of a section of MongoDB.
fn mongo(section: &Section, what: String) -> Result<Backend, String> {
    // The service goes on with an empty one, which is not what anybody wants.
    secret::decrypt(section.get("Password").unwrap_or_default())
        .map_err(|error| format!("Password: {error}; `bcs crypt encrypt` makes such values"))?;
    let options = bcs_storage::mongo_options(section)?;
    Ok(Backend::Mongo {
        what,
        servers: list(&options.hosts.join(","), 27017),
        database: options.database,
        username: options.username,
        password: options.password,
    })
}

/// The queue, as the service reads it.
pub fn plan_queue(values: &Values, plan: &mut Plan, report: &mut Report) {
    let queue = ini(values, "queue_config_file", bcs_storage::QUEUE_FILE, report).map(|ini| {
        let has_address = ini.section("queue").is_some_and(|section| section.get("Address").is_some());
        (QueueConfig::read(&ini), has_address)
    });
    match queue {
        None | Some((Ok(None), _)) => report.good("no queue: nothing is published".to_owned()),
        Some((Ok(Some(config)), _)) => {
            let authority = config.uri.authority;
            let servers = vec![host_port(&authority.host, authority.port)];
            plan.add(Backend::Tcp { what: "RabbitMQ of [queue]".to_owned(), servers });
        }
        // As the charts have it until somebody names a broker.
        Some((Err(QueueConfigError::Key { .. }), false)) => {
            report.warning("QueueFlag is true, but [queue] has no Address: nothing is published".to_owned());
        }
        Some((Err(error), _)) => report.failure(format!("nothing is published: {}", errors::chain(&error))),
    }
}

fn data_dir(values: &Values) -> &Path {
    Path::new(values.text("data_dir"))
}
