//! What bcs-check reads of a task node (check.md 4.2). All other keys are ignored, whatever they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Types of checks that are probed from here begin with it.
const REMOTE: &[u8] = b"REMOTE_";

/// What a task node says.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// A task with entries that may be probed from here.
    Task(Box<Task>),
    /// A task whose checks are all done by its executor.
    Local,
    /// A task without checks. The scheduler never adds any to an existing task.
    Unchecked,
}

/// The used keys of a task.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Task {
    /// Id in reports; the node name is not looked at.
    #[serde(rename = "ID", deserialize_with = "nullable")]
    pub id: String,
    /// Only `Running` tasks are probed.
    #[serde(rename = "Status", deserialize_with = "nullable")]
    pub status: String,
    /// `process` for tasks of the process executor.
    #[serde(rename = "Kind", deserialize_with = "nullable")]
    pub kind: String,
    /// Address of the agent.
    #[serde(rename = "AgentIPAddress", deserialize_with = "nullable")]
    pub agent_address: String,
    /// `host`, `bridge` or the name of a network, in any case.
    #[serde(rename = "Network", deserialize_with = "nullable")]
    pub network: String,
    /// Ports by name.
    #[serde(rename = "PortMappings", deserialize_with = "nullable")]
    pub port_mappings: Vec<Option<Object<PortMapping>>>,
    /// The checks, of all types.
    #[serde(rename = "HealthChecks", deserialize_with = "nullable")]
    pub health_checks: Vec<Option<Object<HealthCheck>>>,
    /// JSON text of the executor; see [`StatusData`].
    #[serde(rename = "StatusData", deserialize_with = "nullable")]
    pub status_data: String,
}

/// One entry of `PortMappings`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct PortMapping {
    /// What `portName` of a check refers to.
    #[serde(rename = "Name", deserialize_with = "nullable")]
    pub name: String,
    /// Port in the container.
    #[serde(rename = "ContainerPort", deserialize_with = "nullable")]
    pub container_port: i32,
    /// Port on the node; 0: not mapped.
    #[serde(rename = "HostPort", deserialize_with = "nullable")]
    pub host_port: i32,
}

/// One entry of `HealthChecks`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `REMOTE_HTTP`, `REMOTE_TCP`, or a local type.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub kind: String,
    /// Seconds before the first interval begins.
    #[serde(rename = "gracePeriodSeconds", deserialize_with = "nullable")]
    pub grace: i64,
    /// Seconds between two rounds.
    #[serde(rename = "intervalSeconds", deserialize_with = "nullable")]
    pub interval: i64,
    /// Seconds for one attempt.
    #[serde(rename = "timeoutSeconds", deserialize_with = "nullable")]
    pub timeout: i64,
    /// Has no effect on remote checks (check.md 9, Q13), so it may hold anything.
    #[serde(rename = "delaySeconds")]
    pub delay: Value,
    /// Has no effect on remote checks, either.
    #[serde(rename = "consecutiveFailures")]
    pub consecutive_failures: Value,
    /// Of `REMOTE_HTTP`.
    pub http: Option<Object<HttpCheck>>,
    /// Of `REMOTE_TCP`.
    pub tcp: Option<Object<TcpCheck>>,
}

/// The object `http` of a check.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct HttpCheck {
    /// Literal port; 0 or less: look up the name.
    #[serde(deserialize_with = "nullable")]
    pub port: i32,
    /// Name in `PortMappings`.
    #[serde(rename = "portName", deserialize_with = "nullable")]
    pub port_name: String,
    /// `http` or `https`.
    #[serde(deserialize_with = "nullable")]
    pub scheme: String,
    /// Path and query, with or without leading slashes.
    #[serde(deserialize_with = "nullable")]
    pub path: String,
    /// Headers to send.
    #[serde(deserialize_with = "nullable")]
    pub headers: BTreeMap<String, Option<String>>,
}

/// The object `tcp` of a check.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct TcpCheck {
    /// Literal port; 0 or less: look up the name.
    #[serde(deserialize_with = "nullable")]
    pub port: i32,
    /// Name in `PortMappings`.
    #[serde(rename = "portName", deserialize_with = "nullable")]
    pub port_name: String,
}

/// What the executor reports about a container: the JSON inside of `StatusData`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct StatusData {
    /// Address of the container.
    #[serde(rename = "IPAddress", deserialize_with = "nullable")]
    pub ip_address: String,
    /// Address of its node.
    #[serde(rename = "NodeAddress", deserialize_with = "nullable")]
    pub node_address: String,
    #[serde(rename = "Ports", deserialize_with = "nullable")]
    ports: Vec<Option<Object<Port>>>,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
struct Port {
    /// A text in what executors write; numbers are taken too.
    #[serde(rename = "hostPort")]
    host_port: Value,
}

impl StatusData {
    /// Reads the text; none if it is empty or not what an executor writes.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Object<Self>>(text).ok().map(|object| object.0)
    }

    /// Host port of the first port, 0 without one.
    pub fn first_host_port(&self) -> i64 {
        let first = self.ports.first().and_then(Option::as_ref).map(|port| &port.0.host_port);
        match first {
            Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
            Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Reads the data of a task node. Bytes that are not UTF-8 are replaced, as Go does.
///
/// # Errors
/// It is not JSON, no object, or a used key has the wrong type.
pub fn parse(data: &[u8]) -> Result<Node, serde_json::Error> {
    let text = String::from_utf8_lossy(data);
    // Most tasks have no remote check: look at the bytes before anything is allocated. An escaped `REMOTE_` does not
    // occur, Go writes plain letters.
    if memchr::memmem::find(data, REMOTE).is_none() {
        return Ok(if local(&text)? { Node::Local } else { Node::Unchecked });
    }
    let Object(task) = serde_json::from_str::<Object<Task>>(&text)?;
    Ok(if task.health_checks.is_empty() { Node::Unchecked } else { Node::Task(Box::new(task)) })
}

/// Whether there are checks at all.
fn local(text: &str) -> Result<bool, serde_json::Error> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Checks {
        #[serde(rename = "HealthChecks", deserialize_with = "nullable")]
        checks: Vec<IgnoredAny>,
    }
    let Object(found) = serde_json::from_str::<Object<Checks>>(text)?;
    Ok(!found.checks.is_empty())
}

/// `null` is the zero value, as in Go.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A JSON object; serde's own structs would also take an array of the values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(OnlyMaps(PhantomData)).map(Object)
    }
}

/// Decodes JSON that must be an object.
///
/// # Errors
/// It is not JSON, no object, or does not fit.
pub fn object<T: DeserializeOwned>(data: &[u8]) -> Result<T, serde_json::Error> {
    let text = std::str::from_utf8(data).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<Object<T>>(text).map(|object| object.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(json: &Value) -> Node {
        parse(json.to_string().as_bytes()).unwrap()
    }

    fn task(json: &Value) -> Task {
        match read(json) {
            Node::Task(task) => *task,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_the_used_keys_and_nothing_else() {
        let task = task(&json!({
            "ID": "1.0.0.web.ns.1", "Status": "Running", "Network": "BRIDGE", "Kind": null, "Cpuset": "yes",
            "PortMappings": [{"Name": "web", "ContainerPort": 80, "HostPort": null, "Protocol": 7}, null],
            "HealthChecks": [null, {"type": "REMOTE_HTTP", "gracePeriodSeconds": 1, "intervalSeconds": 3,
                "consecutiveFailures": -1.5, "http": {"portName": "web", "scheme": "http", "headers": {"A": "b", "C": null}}}],
            "StatusData": "{}", "Volumes": {"deep": [[[{}]]]},
        }));
        assert_eq!((task.id.as_str(), task.kind.as_str(), task.port_mappings.len()), ("1.0.0.web.ns.1", "", 2));
        let check = &task.health_checks[1].as_ref().unwrap().0;
        assert_eq!((check.grace, check.interval, check.timeout), (1, 3, 0));
        assert_eq!(check.http.as_ref().unwrap().0.headers.len(), 2);
    }

    #[test]
    fn tells_local_checks_from_none() {
        for local in [json!([{"type": "HTTP"}]), json!([null])] {
            assert_eq!(read(&json!({"HealthChecks": local})), Node::Local, "{local}");
        }
        for without in
            [json!({}), json!({"HealthChecks": null}), json!({"HealthChecks": []}), json!({"Env": "REMOTE_X"})]
        {
            assert_eq!(read(&without), Node::Unchecked, "{without}");
        }
    }

    #[test]
    fn refuses_what_is_no_task() {
        let wrong = [
            "",
            "null",
            "5",
            "[]",
            "{not json",
            "{\"HealthChecks\":[{\"type\":\"REMOTE_TCP\",\"intervalSeconds\":\"3\"}]}",
            "{\"StatusData\":{},\"HealthChecks\":[{\"type\":\"REMOTE_TCP\"}]}",
            "{\"HealthChecks\":{\"REMOTE_\":1}}",
            "{\"HealthChecks\":{}}",
            "{\"HealthChecks\":\"none\"}",
            "{\"HealthChecks\":[{\"type\":\"REMOTE_HTTP\",\"http\":[80]}]}",
        ];
        for text in wrong {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        let mut data = br#"{"ID":"a","Message":"x"#.to_vec();
        data.extend_from_slice(b"\xff\xfe");
        data.extend_from_slice(br#"","HealthChecks":[{"type":"REMOTE_TCP","tcp":{}}]}"#);
        assert!(matches!(parse(&data), Ok(Node::Task(_))));
    }

    #[test]
    fn host_ports_are_texts_or_numbers() {
        let port = |port: Value| {
            let text = json!({"Ports": [{"hostPort": port}], "StartAt": "yesterday"}).to_string();
            StatusData::parse(&text).unwrap().first_host_port()
        };
        assert_eq!(
            (port(json!("31000")), port(json!(31000)), port(json!("x")), port(json!(null))),
            (31000, 31000, 0, 0)
        );
        assert_eq!(StatusData::parse(r#"{"Ports":null}"#).unwrap().first_host_port(), 0);
        for text in ["", "not json", "null", "[]", r#"{"IPAddress":1}"#] {
            assert_eq!(StatusData::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&data);
        }

        #[test]
        fn any_shape_is_read_or_refused(
            key in prop::sample::select(vec!["ID", "HealthChecks", "StatusData", "PortMappings", "Status", "Network"]),
            value in prop::sample::select(vec!["null", "1", "-1e999", "\"\"", "[]", "[null]", "[[]]", "{}", "true", "[{}]"]),
        ) {
            let text = format!(r#"{{"{key}":{value},"x":"REMOTE_"}}"#);
            let _ = parse(text.as_bytes());
        }
    }
}
