//! `queue.conf` (storage.md 9).

use std::collections::BTreeSet;

use bcs_common::http::query::Query;
use bcs_common::ini::{Ini, Section};
use bcs_common::secret::{self, SecretError};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};

/// How long the broker may be silent before the connection counts as lost, in seconds.
const HEARTBEAT: u16 = 10;

/// What and how to publish.
#[derive(Clone)]
pub struct QueueConfig {
    /// Where the broker is, and who we are there.
    pub uri: AMQPUri,
    /// Types of resources to publish, as they are in routes: case and blanks count.
    pub resources: BTreeSet<String>,
    /// Name of the topic exchange.
    pub exchange: String,
    /// Whether the exchange outlives the broker.
    pub durable: bool,
    /// Prefetch count, for the sake of equality with other publishers.
    pub prefetch: u16,
    /// Whether it is for the whole connection.
    pub prefetch_global: bool,
    /// AMQP delivery mode; 2 = persistent.
    pub delivery_mode: u8,
}

/// Why there is no queue although it is switched on.
#[derive(Debug, thiserror::Error)]
pub enum QueueConfigError {
    /// A key is missing or holds what it must not.
    #[error("queue: key {key} must be {wanted}")]
    Key {
        /// The key.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The password in the address cannot be decrypted.
    #[error("queue: the password in Address cannot be decrypted")]
    Password(#[source] SecretError),
    /// NATS Streaming, which is no more.
    #[error("nats-streaming is not supported, use rabbitmq")]
    Nats,
}

impl QueueConfig {
    /// Reads the section `[queue]`; none if it is not there or its `QueueFlag` is not true.
    ///
    /// # Errors
    /// [`QueueConfigError`] for the first key that cannot be used.
    pub fn read(ini: &Ini) -> Result<Option<Self>, QueueConfigError> {
        let Some(section) = ini.section("queue") else { return Ok(None) };
        if section.get("QueueFlag").and_then(parse_bool) != Some(true) {
            return Ok(None);
        }
        match section.get("QueueKind") {
            Some("rabbitmq") => {}
            Some("nats-streaming") => return Err(QueueConfigError::Nats),
            _ => return Err(wrong("QueueKind", "rabbitmq")),
        }
        check_unused(section)?;
        Ok(Some(Self {
            uri: address(section.get("Address").unwrap_or_default())?,
            resources: section.get("Resource").unwrap_or_default().split(',').map(str::to_owned).collect(),
            exchange: section.get("ExchangeName").ok_or(wrong("ExchangeName", "a name"))?.to_owned(),
            durable: boolean(section, "ExchangeDurable")?,
            prefetch: number(section, "ExchangePrefetchCount")?,
            prefetch_global: boolean(section, "ExchangePrefetchGlobal")?,
            delivery_mode: number(section, "PublishDelivery")?,
        }))
    }
}

/// Keys without a use here that the original refuses to start without: a file must mean the same to both.
fn check_unused(section: &Section) -> Result<(), QueueConfigError> {
    let booleans = [
        "ConnectRetry",
        "SubDurable",
        "SubDisableAutoAck",
        "SubAckOnSuccess",
        "SubRequeueOnError",
        "SubDeliverAllMessage",
        "SubManualAckMode",
        "SubEnableAckWait",
    ];
    for key in booleans {
        boolean(section, key)?;
    }
    for key in ["ConnectTimeout", "SubAckWaitDuration", "SubMaxInFlight"] {
        number::<i64>(section, key)?;
    }
    Ok(())
}

fn wrong(key: &'static str, wanted: &'static str) -> QueueConfigError {
    QueueConfigError::Key { key, wanted }
}

fn boolean(section: &Section, key: &'static str) -> Result<bool, QueueConfigError> {
    section.get(key).and_then(parse_bool).ok_or(wrong(key, "true or false"))
}

fn number<T: std::str::FromStr>(section: &Section, key: &'static str) -> Result<T, QueueConfigError> {
    section.get(key).and_then(|text| text.parse().ok()).ok_or(wrong(key, "a number that fits"))
}

/// The texts that Go takes for booleans.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `amqp://user:<encrypted password>@host:port[/vhost]`.
fn address(text: &str) -> Result<AMQPUri, QueueConfigError> {
    let malformed = || wrong("Address", "amqp://user:password@host:port/vhost");
    let once = |text: &str, mark: &str| {
        let (before, after) = text.split_once(mark)?;
        (!after.contains(mark)).then(|| (before.to_owned(), after.to_owned()))
    };
    let (scheme, rest) = once(text, "//").ok_or_else(malformed)?;
    let (credentials, place) = once(&rest, "@").ok_or_else(malformed)?;
    let (username, password) = once(&credentials, ":").ok_or_else(malformed)?;
    let scheme = match scheme.as_str() {
        "amqp:" => AMQPScheme::AMQP,
        "amqps:" => AMQPScheme::AMQPS,
        _ => return Err(malformed()),
    };
    let (place, vhost) = place.split_once('/').unwrap_or((&place, ""));
    let default_port = if scheme == AMQPScheme::AMQP { 5672 } else { 5671 };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| malformed())?),
        None => (place, default_port),
    };
    if host.is_empty() {
        return Err(malformed());
    }
    let password = secret::decrypt(&password).map_err(QueueConfigError::Password)?;
    Ok(AMQPUri {
        scheme,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: decoded(&username), password },
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
        },
        vhost: if vhost.is_empty() { "/".to_owned() } else { decoded(vhost) },
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT), ..AMQPQueryString::default() },
    })
}

/// The percent-decoded text.
fn decoded(text: &str) -> String {
    // A value of a query string, in which + would be a blank.
    let query = Query::parse(&format!("v={}", text.replace('+', "%2B")));
    query.get("v").map_or_else(|| text.to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEMPLATE: &str = "[queue]
QueueFlag = true
QueueKind = rabbitmq
Resource = Pod,Event
Address = amqp://bcs:LK9s4asAj80=@127.0.0.1:5673/%2Fv+h
ExchangeName = bcs-storage
ExchangeDurable = true
ExchangePrefetchCount = 30
ExchangePrefetchGlobal = true
ClusterId =
ConnectTimeout = 300
ConnectRetry = true
PublishDelivery = 2
SubDurable = true
SubDisableAutoAck = true
SubAckOnSuccess = true
SubRequeueOnError = true
SubDeliverAllMessage = true
SubManualAckMode = true
SubEnableAckWait = true
SubAckWaitDuration = 30
SubMaxInFlight = 0
";

    fn read(text: &str) -> Result<Option<QueueConfig>, QueueConfigError> {
        QueueConfig::read(&Ini::parse(text))
    }

    #[test]
    fn the_template() {
        let config = read(TEMPLATE).unwrap().unwrap();
        assert_eq!(config.resources, BTreeSet::from(["Event".to_owned(), "Pod".to_owned()]));
        assert_eq!((config.exchange.as_str(), config.durable), ("bcs-storage", true));
        assert_eq!((config.prefetch, config.prefetch_global, config.delivery_mode), (30, true, 2));
        let AMQPUri { scheme, authority, vhost, .. } = config.uri;
        assert_eq!((scheme, vhost.as_str()), (AMQPScheme::AMQP, "/v+h"));
        assert_eq!((authority.host.as_str(), authority.port), ("127.0.0.1", 5673));
        assert_eq!((authority.userinfo.username.as_str(), authority.userinfo.password.as_str()), ("bcs", "bcs"));
    }

    #[test]
    fn off_unless_switched_on() {
        for text in [
            "",
            "[other]\nQueueFlag=true",
            "[queue]\nQueueKind=rabbitmq",
            "[queue]\nQueueFlag=yes",
            "[queue]\nQueueFlag=0",
        ] {
            assert!(read(text).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn every_key_counts() {
        for line in TEMPLATE.lines().skip(2) {
            let key = line.split_once(" =").unwrap().0;
            let outcome = read(&TEMPLATE.replace(line, ""));
            if ["Resource", "ClusterId"].contains(&key) {
                assert!(outcome.is_ok(), "{key}");
            } else {
                assert!(outcome.is_err(), "{key}");
            }
        }
        assert!(matches!(read(&TEMPLATE.replace("rabbitmq", "nats-streaming")), Err(QueueConfigError::Nats)));
        assert!(read(&TEMPLATE.replace("Count = 30", "Count = many")).is_err());
    }

    #[test]
    fn addresses() {
        for good in ["amqp://u:@h", "amqps://u:@h:5671", "amqp://:@h/", "amqp://u:@[::1]:5672/v"] {
            assert!(address(good).is_ok(), "{good}");
        }
        assert_eq!(address("amqps://u:@h").unwrap().authority.port, 5671);
        assert_eq!(address("amqp://u:@h/").unwrap().vhost, "/");
        for bad in [
            "",
            "amqp:/u:@h",
            "http://u:@h",
            "amqp://u@h",
            "amqp://u:p:q@h",
            "amqp://u:@h@i",
            "amqp://u:@h//v",
            "amqp://u:@:5672",
            "amqp://u:@h:port",
            "amqp://u:plain@h",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_password_is_in_no_error() {
        let error = address("amqp://u:hunter2@h").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}|amqps?://[a-c:@/%+\\[\\]0-9]{0,30}") {
            let _ = address(&text);
            let _ = read(&text);
        }
    }
}
