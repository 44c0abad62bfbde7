//! What subscribers are told (storage.md 9.1).

use bcs_docstore::json::{FULL_WIDTH_DOLLAR, write_bson};
use bcs_docstore::{Bson, Document};

use crate::dynamic::Target;
use crate::events::Event;

/// The type of resource that events are published as.
pub const EVENT: &str = "Event";

const UPDATE: &str = "update";
const DELETE: &str = "delete";

/// One message: headers and the JSON of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The type of the resource.
    pub routing_key: String,
    /// All AMQP long strings.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl Message {
    /// A resource was written. `data` has its keys as the client wrote them.
    pub fn updated(target: &Target, data: &Bson) -> Self {
        let mut headers = vec![("clusterId", target.cluster.clone())];
        headers.extend(target.namespace.clone().map(|namespace| ("namespace", namespace)));
        headers.push(("resourceType", target.collection().to_owned()));
        headers.extend(target.name.clone().map(|name| ("resourceName", name)));
        headers.push(("event", UPDATE.to_owned()));
        Self { routing_key: target.collection().to_owned(), headers, body: json(data) }
    }

    /// A resource was deleted. `document` is what was stored: its data, and its name and namespace, which a batch
    /// delete does not know from its path.
    pub fn deleted(target: &Target, document: &Document) -> Self {
        let stored = |key| document.get_str(key).ok().map(str::to_owned);
        let namespace = if target.name.is_some() { target.namespace.clone() } else { stored("namespace") };
        let name = target.name.clone().or_else(|| stored("resourceName"));
        let mut headers = vec![("clusterId", target.cluster.clone())];
        headers.extend(namespace.map(|namespace| ("namespace", namespace)));
        headers.push(("resourceType", target.collection().to_owned()));
        headers.extend(name.map(|name| ("resourceName", name)));
        headers.push(("event", DELETE.to_owned()));
        let body = restored(json(document.get("data").unwrap_or(&Bson::Null)));
        Self { routing_key: target.collection().to_owned(), headers, body }
    }

    /// An event was reported. All headers are there, empty ones too. `data` has its keys as the client wrote them.
    pub fn event(event: &Event, data: &Bson) -> Self {
        let kind = match event.env.as_str() {
            "k8s" => event.kind.clone(),
            "mesos" => event.object.kind.clone(),
            _ => String::new(),
        };
        let headers = vec![
            ("id", event.id.clone()),
            ("env", event.env.clone()),
            ("kind", event.kind.clone()),
            ("level", event.level.clone()),
            ("component", event.component.clone()),
            ("type", event.event_type.clone()),
            ("clusterId", event.cluster_id.clone()),
            ("namespace", event.object.namespace.clone()),
            ("resourceType", EVENT.to_owned()),
            ("resourceKind", kind),
            ("resourceName", event.object.name.clone()),
            ("event", UPDATE.to_owned()),
        ];
        Self { routing_key: EVENT.to_owned(), headers, body: json(data) }
    }
}

fn json(value: &Bson) -> Vec<u8> {
    let mut out = Vec::new();
    write_bson(value, &mut out);
    out
}

/// The text with `$` for every stored `＄`, as reads give it.
fn restored(json: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(json) {
        Ok(text) if text.contains(FULL_WIDTH_DOLLAR) => text.replace(FULL_WIDTH_DOLLAR, "$").into_bytes(),
        Ok(text) => text.into_bytes(),
        Err(bytes) => bytes.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use bson::{bson, doc};

    use super::*;

    fn target(kind: &str, namespace: Option<&str>, name: Option<&str>) -> Target {
        Target {
            cluster: "BCS-Q".into(),
            namespace: namespace.map(str::to_owned),
            kind: kind.into(),
            name: name.map(str::to_owned),
        }
    }

    /// The message as `routing key | headers in order of their names | body`.
    fn shown(mut message: Message) -> String {
        message.headers.sort();
        let headers: Vec<_> = message.headers.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} | {} | {}", message.routing_key, headers.join(" "), String::from_utf8(message.body).unwrap())
    }

    #[test]
    fn written_resources() {
        assert_eq!(
            shown(Message::updated(
                &target("Pod", Some("ns1"), Some("p1")),
                &bson!({ "f": 3.0, "h": "<a>", "$ref": 1 })
            )),
            r#"Pod | clusterId=BCS-Q event=update namespace=ns1 resourceName=p1 resourceType=Pod | {"f":3.0,"h":"\u003ca\u003e","$ref":1}"#
        );
        assert_eq!(
            shown(Message::updated(&target("Node", None, Some("n1")), &Bson::Null)),
            "Node | clusterId=BCS-Q event=update resourceName=n1 resourceType=Node | null"
        );
        assert_eq!(
            shown(Message::updated(&target("process", Some("ns"), Some("p")), &"text".into())),
            "application | clusterId=BCS-Q event=update namespace=ns resourceName=p resourceType=application | \"text\""
        );
    }

    #[test]
    fn deleted_resources() {
        let stored = doc! { "namespace": "ns1", "resourceName": "d1", "data": { "\u{ff04}ref": "\u{ff04}" } };
        let batch = "Deployment | clusterId=BCS-Q event=delete namespace=ns1 resourceName=d1 resourceType=Deployment | {\"$ref\":\"$\"}";
        assert_eq!(shown(Message::deleted(&target("Deployment", None, None), &stored)), batch);
        assert_eq!(shown(Message::deleted(&target("Deployment", Some("ns1"), None), &stored)), batch);
        assert_eq!(
            shown(Message::deleted(&target("Node", None, Some("n1")), &doc! { "resourceName": "n1" })),
            "Node | clusterId=BCS-Q event=delete resourceName=n1 resourceType=Node | null"
        );
    }

    #[test]
    fn events() {
        let event = |body: &str| {
            let event = Event::decode(body.as_bytes()).unwrap();
            shown(Message::event(&event, &event.data))
        };
        assert_eq!(
            event(
                r#"{"id":"e","env":"k8s","kind":"Pod","level":"l","component":"c","type":"t","clusterId":"B","extraInfo":{"namespace":"ns","name":"p","kind":"RS"},"data":{"n":1}}"#
            ),
            r#"Event | clusterId=B component=c env=k8s event=update id=e kind=Pod level=l namespace=ns resourceKind=Pod resourceName=p resourceType=Event type=t | {"n":1}"#
        );
        assert_eq!(
            event(r#"{"env":"mesos","kind":"task","extraInfo":{"kind":"rc"}}"#),
            "Event | clusterId= component= env=mesos event=update id= kind=task level= namespace= resourceKind=rc resourceName= resourceType=Event type= | null"
        );
        assert_eq!(
            event(r#"{"clusterId":"BCS-Q","kind":"x"}"#),
            "Event | clusterId=BCS-Q component= env= event=update id= kind=x level= namespace= resourceKind= resourceName= resourceType=Event type= | null"
        );
    }
}
