//! What a key of the registry holds: go-micro's description of a service (common.md 4.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::{Node, ServerInfo, ServiceRegistration};
use super::messages::KeyValue;

/// Prefix of all keys of the registry.
const PREFIX: &str = "/micro/registry/";
/// End of every service name.
const DOMAIN: &str = "bkbcs.tencent.com";

/// Text to text, written with sorted keys as the original does.
type Metadata = BTreeMap<String, String>;

/// The value of a key. All fields are always written, in this order.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Service {
    name: String,
    version: String,
    metadata: Option<Metadata>,
    endpoints: Option<Box<RawValue>>,
    nodes: Option<Vec<ServiceNode>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ServiceNode {
    id: String,
    address: String,
    metadata: Option<Metadata>,
}

/// A key and its value.
pub(super) struct Record {
    pub key: String,
    pub id: String,
    pub value: String,
}

/// Full name of the service of a module.
fn service_name(module: &str) -> String {
    format!("{module}.{DOMAIN}")
}

/// Prefix of the keys of a module's service.
pub(super) fn prefix(module: &str) -> String {
    format!("{PREFIX}{}/", service_name(module).replace('/', "-"))
}

impl Record {
    /// The record of one instance.
    pub(super) fn new(service: &ServiceRegistration) -> Self {
        let name = service_name(&service.module);
        let id = format!("{name}-{}", service.uuid);
        let key = format!("{}{}", prefix(&service.module), id.replace('/', "-"));
        let info = &service.info;
        let host = if info.ip.contains(':') { format!("[{}]", info.ip) } else { info.ip.clone() };
        let node = ServiceNode {
            id: id.clone(),
            address: format!("{host}:{}", info.port),
            metadata: service.metadata.clone(),
        };
        let service = Service {
            name,
            version: service.version.clone(),
            metadata: None,
            endpoints: service.endpoints.clone(),
            nodes: Some(vec![node]),
        };
        // A struct of texts has no state that fails to serialise.
        let value = serde_json::to_string(&service).unwrap_or_default();
        Self { key, id, value }
    }
}

/// The nodes a key holds; one for keys written by the BCS services.
///
/// # Errors
/// The value is not the description of a service.
pub(super) fn nodes(kv: &KeyValue) -> Result<Vec<Node>, serde_json::Error> {
    let service: Service = serde_json::from_slice(&kv.value)?;
    let data = String::from_utf8_lossy(&kv.value);
    let node = |node: ServiceNode| Node {
        name: node.id,
        sequence: u64::try_from(kv.create_revision).unwrap_or_default(),
        data: data.clone().into_owned(),
        info: server_info(&node.address, &service.version),
        metadata: node.metadata.unwrap_or_default(),
    };
    Ok(service.nodes.unwrap_or_default().into_iter().map(node).collect())
}

fn server_info(address: &str, version: &str) -> Option<ServerInfo> {
    let (host, port) = address.rsplit_once(':')?;
    let ip = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok()?;
    Some(ServerInfo { ip: ip.to_owned(), port, version: version.to_owned(), ..ServerInfo::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const STORAGE: &str = r#"{"name":"storage.bkbcs.tencent.com","version":"1.20.0-21.06.02","metadata":null,"endpoints":null,"nodes":[{"id":"storage.bkbcs.tencent.com-0c7e5a9e-9f0b-4c53-8f6f-0d9f8f6f2a11","address":"127.0.0.1:50024","metadata":{"UUID":"0c7e5a9e-9f0b-4c53-8f6f-0d9f8f6f2a11"}}]}"#;

    fn storage() -> ServiceRegistration {
        let uuid = Uuid::parse_str("0c7e5a9e-9f0b-4c53-8f6f-0d9f8f6f2a11").unwrap();
        let info = ServerInfo { ip: "127.0.0.1".into(), port: 50024, ..ServerInfo::default() };
        let mut service = ServiceRegistration::new("storage", "127.0.0.1", info);
        service.version = "1.20.0-21.06.02".into();
        service.uuid = uuid;
        service.metadata = Some(Metadata::from([("UUID".into(), uuid.to_string())]));
        service
    }

    fn key_value(value: &[u8]) -> KeyValue {
        KeyValue { value: value.to_vec(), create_revision: 7, ..KeyValue::default() }
    }

    #[test]
    fn writes_the_documented_example() {
        let record = Record::new(&storage());
        assert_eq!(
            record.key,
            "/micro/registry/storage.bkbcs.tencent.com/storage.bkbcs.tencent.com-0c7e5a9e-9f0b-4c53-8f6f-0d9f8f6f2a11"
        );
        assert_eq!(record.value, STORAGE);
    }

    #[test]
    fn metadata_is_null_without_any() {
        let service = ServiceRegistration { metadata: None, ..storage() };
        assert!(Record::new(&service).value.ends_with(r#""address":"127.0.0.1:50024","metadata":null}]}"#));
    }

    #[test]
    fn endpoints_are_written_as_they_are() {
        let endpoints = RawValue::from_string(r#"[{"name":"A.B"}]"#.to_owned()).unwrap();
        let record = Record::new(&ServiceRegistration { endpoints: Some(endpoints), ..storage() });
        assert_eq!(record.value, STORAGE.replace(r#""endpoints":null"#, r#""endpoints":[{"name":"A.B"}]"#));
    }

    #[test]
    fn reads_what_go_micro_writes() {
        let nodes = nodes(&key_value(STORAGE.as_bytes())).unwrap();
        let [node] = nodes.as_slice() else { panic!("{nodes:?}") };
        assert_eq!(node.sequence, 7);
        assert_eq!(node.metadata["UUID"], "0c7e5a9e-9f0b-4c53-8f6f-0d9f8f6f2a11");
        let info = node.info.clone().unwrap();
        assert_eq!((info.ip.as_str(), info.port), ("127.0.0.1", 50024));
    }

    #[test]
    fn reads_ipv6_and_tolerates_nodes_without_address() {
        let value = br#"{"nodes":[{"id":"a","address":"[::1]:80"},{"id":"b"}],"endpoints":[{"name":"X.Y"}]}"#;
        let nodes = nodes(&key_value(value)).unwrap();
        assert_eq!(nodes[0].info.clone().unwrap().ip, "::1");
        assert_eq!(nodes[1].info, None);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = nodes(&key_value(&value));
        }
    }
}
