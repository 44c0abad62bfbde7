//! What is to be probed, derived from a task (check.md 4.4, 4.5, 5.1).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::task::{HealthCheck, HttpCheck, StatusData, Task};

/// Time limit of an attempt if none is set: the driver's default.
const DEFAULT_TIMEOUT: i64 = 20;
/// Longer times are cut to this, so that sums of them stay in range: a year.
const LONGEST: i64 = 365 * 24 * 3600;

/// One check: what, when, and whether it can run. Two equal ones need no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Position in `HealthChecks`, local types included.
    pub index: usize,
    /// Id of the task.
    pub task: Arc<str>,
    /// What is done at the target.
    pub kind: Kind,
    /// The address; anything, if the check is not ready.
    pub ip: String,
    /// The port; anything, if the check is not ready.
    pub port: i32,
    /// When.
    pub timing: Timing,
    /// What changes nothing but restarts the check when it changes.
    pub inert: Inert,
    /// Whether it can run.
    pub readiness: Readiness,
}

/// What is done at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `REMOTE_HTTP`
    Http(HttpTarget),
    /// `REMOTE_TCP`
    Tcp,
}

impl Kind {
    /// The type in task nodes and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "REMOTE_HTTP",
            Self::Tcp => "REMOTE_TCP",
        }
    }

    /// The word in messages and the label in metrics: `http`, `https` or `tcp`.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Http(target) => &target.scheme,
            Self::Tcp => "tcp",
        }
    }
}

/// The request of an HTTP check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpTarget {
    /// `http` or `https`, if the check is ready.
    pub scheme: String,
    /// As configured.
    pub path: String,
    /// As configured.
    pub headers: BTreeMap<String, String>,
}

/// The times of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// No probe before it has passed.
    pub grace: Duration,
    /// Between the starts of two rounds.
    pub interval: Duration,
    /// For one attempt.
    pub timeout: Duration,
}

/// Settings of local checks that remote ones carry along (check.md 4.5). What is no number counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inert {
    /// `delaySeconds`
    pub delay: i64,
    /// `consecutiveFailures`
    pub consecutive_failures: i64,
}

/// Whether a check can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is probed at this address.
    Ready(SocketAddrV4),
    /// Something may still come that makes it ready; it is not reported.
    Held(Held),
    /// It can never be probed, for this reason; reported as unhealthy.
    Invalid(String),
}

/// Why a check is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The task is not `Running`.
    NotRunning,
    /// The executor has not reported an address yet.
    NoStatusData,
    /// `portName` is in no port mapping.
    UnknownPortName,
}

impl Held {
    /// What to tell an operator.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotRunning => "the task is not running",
            Self::NoStatusData => "StatusData holds no address yet",
            Self::UnknownPortName => "portName is in no port mapping",
        }
    }
}

impl Definition {
    /// `<ip>:<port>` of messages.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }
}

/// The remote checks of a task, and what is wrong with the entries that are skipped.
pub fn definitions(task: &Task) -> (Vec<Definition>, Vec<String>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    if task.id.is_empty() {
        return (found, vec!["it has no ID".to_owned()]);
    }
    let id: Arc<str> = task.id.as_str().into();
    for (index, entry) in task.health_checks.iter().enumerate() {
        let Some(entry) = entry else {
            problems.push(format!("HealthChecks[{index}] is null"));
            continue;
        };
        match definition(task, &id, index, &entry.0) {
            Ok(definition) => found.extend(definition),
            Err(problem) => problems.push(format!("HealthChecks[{index}] {problem}")),
        }
    }
    (found, problems)
}

fn definition(task: &Task, id: &Arc<str>, index: usize, check: &HealthCheck) -> Result<Option<Definition>, String> {
    let (kind, port, port_name) = match check.kind.as_str() {
        "REMOTE_HTTP" => {
            let http = &check.http.as_ref().ok_or("has no object http")?.0;
            (Kind::Http(http_target(http)), http.port, http.port_name.as_str())
        }
        "REMOTE_TCP" => {
            let tcp = &check.tcp.as_ref().ok_or("has no object tcp")?.0;
            (Kind::Tcp, tcp.port, tcp.port_name.as_str())
        }
        // The executor's work.
        "COMMAND" | "HTTP" | "TCP" => return Ok(None),
        other => return Err(format!("has the unknown type {other:?}")),
    };
    let address = if task.status == "Running" { address(task, port, port_name) } else { Err(Held::NotRunning) };
    let (ip, port, readiness) = match address {
        Err(held) => (String::new(), 0, Readiness::Held(held)),
        Ok((ip, port)) => {
            let readiness = match valid(check, &kind, &ip, port) {
                Ok(address) => Readiness::Ready(address),
                Err(reason) => Readiness::Invalid(reason),
            };
            (ip, port, readiness)
        }
    };
    let (task, timing, inert) = (Arc::clone(id), timing(check), inert(check));
    Ok(Some(Definition { index, task, kind, ip, port, timing, inert, readiness }))
}

fn http_target(http: &HttpCheck) -> HttpTarget {
    let headers = http.headers.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()));
    HttpTarget { scheme: http.scheme.clone(), path: http.path.clone(), headers: headers.collect() }
}

/// Where the task listens (the table of check.md 4.4).
fn address(task: &Task, port: i32, port_name: &str) -> Result<(String, i32), Held> {
    let mapping = || {
        let mut mappings = task.port_mappings.iter().flatten().map(|mapping| &mapping.0);
        mappings.find(|mapping| mapping.name == port_name).ok_or(Held::UnknownPortName)
    };
    if task.kind.eq_ignore_ascii_case("process") {
        // Its executor reports no StatusData, and maps only host ports.
        let port = if port > 0 {
            port
        } else {
            let mapping = mapping()?;
            if mapping.container_port != 0 { mapping.container_port } else { mapping.host_port }
        };
        return Ok((task.agent_address.clone(), port));
    }
    let status = StatusData::parse(&task.status_data).ok_or(Held::NoStatusData)?;
    let on_node = |port| Ok((status.node_address.clone(), port));
    let in_container = |port| Ok((status.ip_address.clone(), port));
    match (task.network.to_ascii_lowercase().as_str(), port > 0) {
        ("host", true) => on_node(port),
        ("host", false) => on_node(mapping()?.container_port),
        ("bridge", true) if status.first_host_port() > 0 => on_node(port),
        ("bridge", false) => match mapping()? {
            mapping if mapping.host_port > 0 => on_node(mapping.host_port),
            mapping => in_container(mapping.container_port),
        },
        (_, true) => in_container(port),
        (_, false) => in_container(mapping()?.container_port),
    }
}

/// The rules of check.md 5.1.
fn valid(check: &HealthCheck, kind: &Kind, ip: &str, port: i32) -> Result<SocketAddrV4, String> {
    let (interval, timeout) = (check.interval, check.timeout);
    if interval <= 0 {
        return Err(format!("intervalSeconds {interval} must be greater than 0"));
    }
    if interval <= timeout {
        return Err(format!("intervalSeconds {interval} must be greater than timeoutSeconds {timeout}"));
    }
    if let Kind::Http(target) = kind
        && !matches!(target.scheme.as_str(), "http" | "https")
    {
        return Err(format!("http scheme {:?} is invalid", target.scheme));
    }
    let ip: Ipv4Addr = ip.parse().map_err(|_| format!("ipAddr {ip:?} is invalid"))?;
    match u16::try_from(port) {
        Ok(port) if port > 0 => Ok(SocketAddrV4::new(ip, port)),
        _ => Err(format!("port {port} is invalid")),
    }
}

fn inert(check: &HealthCheck) -> Inert {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    Inert { delay: number(&check.delay), consecutive_failures: number(&check.consecutive_failures) }
}

fn timing(check: &HealthCheck) -> Timing {
    let seconds = |value: i64| Duration::from_secs(value.clamp(0, LONGEST).unsigned_abs());
    let interval = check.interval.clamp(1, LONGEST);
    // Without a limit a hanging target would hold its attempt for ever (check.md 8).
    let timeout = if check.timeout > 0 { check.timeout } else { (interval - 1).clamp(1, DEFAULT_TIMEOUT) };
    Timing { grace: seconds(check.grace), interval: seconds(interval), timeout: seconds(timeout) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::{self, Node};

    fn base() -> Value {
        json!({
            "ID": "t", "Status": "Running", "Network": "USER",
            "PortMappings": [{"Name": "web", "ContainerPort": 80, "HostPort": 31080}, {"Name": "in", "ContainerPort": 81}],
            "HealthChecks": [{"type": "REMOTE_TCP", "intervalSeconds": 3, "timeoutSeconds": 1, "tcp": {"port": 8080}}],
            "StatusData": json!({"IPAddress": "10.0.0.1", "NodeAddress": "10.9.9.9", "Ports": [{"hostPort": "0"}]}).to_string(),
        })
    }

    fn of(task: &Value) -> (Vec<Definition>, Vec<String>) {
        match task::parse(task.to_string().as_bytes()).unwrap() {
            Node::Task(task) => definitions(&task),
            other => panic!("{other:?}"),
        }
    }

    fn only(task: &Value) -> Definition {
        let (mut found, problems) = of(task);
        assert_eq!((found.len(), problems), (1, vec![]));
        found.remove(0)
    }

    fn with(path: &[&str], value: Value) -> Value {
        let mut task = base();
        let mut place = &mut task;
        for key in path {
            place = match key.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[*key],
            };
        }
        *place = value;
        task
    }

    #[test]
    fn address_by_network() {
        let cases = [
            ("host", "0", json!({"port": 8080}), "10.9.9.9:8080"),
            ("HOST", "0", json!({"portName": "web"}), "10.9.9.9:80"),
            ("bridge", "31000", json!({"port": 8080}), "10.9.9.9:8080"),
            ("Bridge", "0", json!({"port": 8080}), "10.0.0.1:8080"),
            ("bridge", "0", json!({"portName": "web"}), "10.9.9.9:31080"),
            ("bridge", "0", json!({"portName": "in"}), "10.0.0.1:81"),
            ("cni-x", "0", json!({"port": 8080, "portName": "web"}), "10.0.0.1:8080"),
            ("", "0", json!({"port": -1, "portName": "web"}), "10.0.0.1:80"),
        ];
        for (network, host_port, tcp, expected) in cases {
            let mut task = with(&["Network"], json!(network));
            task["HealthChecks"][0]["tcp"] = tcp.clone();
            task["StatusData"] = json!(
                json!({"IPAddress": "10.0.0.1", "NodeAddress": "10.9.9.9", "Ports": [{"hostPort": host_port}]})
                    .to_string()
            );
            assert_eq!(only(&task).endpoint(), expected, "{network} {tcp}");
        }
    }

    #[test]
    fn processes_have_the_agents_address() {
        let mut task = with(&["Kind"], json!("process"));
        task["AgentIPAddress"] = json!("10.7.7.7");
        task["StatusData"] = json!("");
        task["PortMappings"] = json!([{"Name": "web", "HostPort": 31080}]);
        assert_eq!(only(&task).endpoint(), "10.7.7.7:8080");
        task["HealthChecks"][0]["tcp"] = json!({"portName": "web"});
        assert_eq!(only(&task).endpoint(), "10.7.7.7:31080");
    }

    #[test]
    fn every_setting_of_a_check_makes_a_difference_and_nothing_else_does() {
        let before = only(&base());
        let settings = [
            ("gracePeriodSeconds", json!(9)),
            ("intervalSeconds", json!(9)),
            ("timeoutSeconds", json!(2)),
            ("delaySeconds", json!(9)),
            ("consecutiveFailures", json!(9)),
            ("tcp", json!({"port": 9})),
        ];
        for (key, value) in settings {
            assert_ne!(only(&with(&["HealthChecks", "0", key], value)), before, "{key}");
        }
        for (key, value) in [("consecutiveFailures", json!(0.5)), ("delaySeconds", json!("x")), ("http", json!({}))] {
            assert_eq!(only(&with(&["HealthChecks", "0", key], value)), before, "{key}");
        }
        for (key, value) in [("LastUpdateTime", json!(9)), ("HealthCheckStatus", json!([])), ("Message", json!("x"))] {
            assert_eq!(only(&with(&[key], value)), before, "{key}");
        }
    }

    #[test]
    fn held_until_it_can_be_known() {
        let held = |task: &Value| only(task).readiness;
        assert_eq!(held(&with(&["Status"], json!("running"))), Readiness::Held(Held::NotRunning));
        assert_eq!(held(&with(&["StatusData"], json!(""))), Readiness::Held(Held::NoStatusData));
        let unknown = with(&["HealthChecks", "0", "tcp"], json!({"portName": "nosuch"}));
        assert_eq!(held(&unknown), Readiness::Held(Held::UnknownPortName));
    }

    #[test]
    fn invalid_definitions_say_why() {
        let reason = |task: &Value| match only(task).readiness {
            Readiness::Invalid(reason) => reason,
            other => panic!("{other:?}"),
        };
        let check = |key: &str, value: Value| with(&["HealthChecks", "0", key], value);
        assert!(reason(&check("timeoutSeconds", json!(3))).contains("greater than timeoutSeconds 3"));
        assert!(reason(&check("intervalSeconds", json!(-1))).contains("greater than 0"));
        assert!(reason(&check("tcp", json!({"port": 65536}))).contains("port 65536"));
        assert!(reason(&with(&["StatusData"], json!(r#"{"IPAddress":"localhost"}"#))).contains("localhost"));
        for scheme in ["", "HTTP", "ftp"] {
            let mut task = check("type", json!("REMOTE_HTTP"));
            task["HealthChecks"][0]["http"] = json!({"port": 1, "scheme": scheme});
            assert!(reason(&task).contains("scheme"), "{scheme}");
        }
    }

    #[test]
    fn local_types_count_in_the_index_and_broken_entries_are_named() {
        let task = with(
            &["HealthChecks"],
            json!([
                {"type": "COMMAND"}, null, {"type": "MESOS"}, {"type": "REMOTE_HTTP"},
                {"type": "REMOTE_TCP", "intervalSeconds": 2, "tcp": {"port": 1}},
            ]),
        );
        let (found, problems) = of(&task);
        assert_eq!((found.len(), found[0].index, problems.len()), (1, 4, 3));
        let (found, problems) = of(&with(&["ID"], json!(null)));
        assert_eq!((found.len(), problems.len()), (0, 1));
    }

    #[test]
    fn a_missing_timeout_gets_a_limit() {
        let limit = |interval: i64, timeout: i64| {
            let check = HealthCheck { interval, timeout, ..HealthCheck::default() };
            super::timing(&check).timeout.as_secs()
        };
        assert_eq!((limit(60, 0), limit(3, 0), limit(1, 0), limit(3, -5), limit(60, 30)), (20, 2, 1, 2, 30));
        assert_eq!(limit(i64::MAX, i64::MAX), LONGEST as u64);
    }
}
