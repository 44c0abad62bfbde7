//! The contract for others: as go-micro puts it into etcd, and as an OpenAPI (swagger 2) document.

use bcs_common::http::json::write_string;

use crate::{CLUSTER_MANAGER, Field, METHODS, Message, Method, Rules, Segment, Shape};

/// How deep go-micro looks into messages.
const DEEPEST: usize = 2;

/// The `endpoints` of a registration: a JSON array, one object an rpc, by name.
pub fn endpoints() -> String {
    let mut methods: Vec<&Method> = METHODS.iter().collect();
    methods.sort_by_key(|method| method.name);
    let endpoints: Vec<String> = methods
        .iter()
        .map(|method| {
            let name = format!("{CLUSTER_MANAGER}.{}", method.name);
            format!(
                r#"{{"name":"{name}","request":{},"response":{},"metadata":{{"endpoint":"{name}","handler":"rpc","method":"{}","path":"{}"}}}}"#,
                message_value("", method.request, 0),
                message_value("", method.response, 0),
                method.verb,
                method.path,
            )
        })
        .collect();
    format!("[{}]", endpoints.join(","))
}

/// A message as go-micro describes the Go type; without a name of its own it has that of its type.
fn message_value(name: &str, message: &Message, depth: usize) -> String {
    let name = if name.is_empty() { message.short_name } else { name };
    let values: Vec<String> = match depth < DEEPEST {
        true => message.fields.iter().map(|field| field_value(field, depth + 1)).collect(),
        false => Vec::new(),
    };
    let values = if values.is_empty() { "null".to_owned() } else { format!("[{}]", values.join(",")) };
    format!(r#"{{"name":"{name}","type":"{}","values":{values}}}"#, message.short_name)
}

fn field_value(field: &Field, depth: usize) -> String {
    let name = field.name;
    let leaf = |kind: &str| format!(r#"{{"name":"{name}","type":"{kind}","values":null}}"#);
    match &field.shape {
        Shape::Text => leaf("string"),
        Shape::Bool => leaf("bool"),
        Shape::Uint64 => leaf("uint64"),
        Shape::TextList => leaf("[]string"),
        Shape::TextMap => leaf(""),
        Shape::MessageList(inner) => leaf(&format!("[]{}", inner.short_name)),
        Shape::Message(inner) => message_value(name, inner, depth),
    }
}

/// The HTTP API as a swagger 2 document.
pub fn swagger(version: &str) -> String {
    let mut out = br#"{"swagger":"2.0","info":{"title":"bcs-cluster-manager","version":"#.to_vec();
    write_string(&mut out, version);
    out.extend_from_slice(br#"},"consumes":["application/json"],"produces":["application/json"],"paths":{"#);
    let mut paths: Vec<&str> = Vec::new();
    for method in METHODS {
        if !paths.contains(&method.path) {
            paths.push(method.path);
        }
    }
    let paths = paths.iter().map(|path| {
        let operations = METHODS.iter().filter(|method| method.path == *path).map(operation);
        format!(r#""{path}":{{{}}}"#, operations.collect::<Vec<_>>().join(","))
    });
    out.extend_from_slice(paths.collect::<Vec<_>>().join(",").as_bytes());
    out.extend_from_slice(br#"},"definitions":{"#);
    out.extend_from_slice(definitions().join(",").as_bytes());
    out.extend_from_slice(b"}}");
    String::from_utf8_lossy(&out).into_owned()
}

fn operation(method: &Method) -> String {
    let mut parameters: Vec<String> = method
        .segments
        .iter()
        .filter_map(|segment| match segment {
            Segment::Variable(field) => {
                Some(format!(r#"{{"name":"{}","in":"path","required":true,"type":"string"}}"#, field.name))
            }
            Segment::Literal(_) => None,
        })
        .collect();
    if method.whole_body {
        let reference = reference(method.request);
        parameters.push(format!(r#"{{"name":"body","in":"body","required":true,"schema":{reference}}}"#));
    } else {
        let query = method.request.fields.iter().filter(|field| !method.in_path(field));
        parameters.extend(query.map(|field| {
            format!(r#"{{"name":"{}","in":"query","required":false,{}}}"#, field.name, members(&field.shape))
        }));
    }
    format!(
        r#""{}":{{"operationId":"{}","tags":["{CLUSTER_MANAGER}"],"parameters":[{}],"responses":{{"200":{{"description":"The code in the answer says how it went.","schema":{}}}}}}}"#,
        method.verb.to_ascii_lowercase(),
        method.name,
        parameters.join(","),
        reference(method.response),
    )
}

fn reference(message: &Message) -> String {
    format!(r##"{{"$ref":"#/definitions/{}"}}"##, message.short_name)
}

/// The members of a schema object.
fn members(shape: &Shape) -> String {
    match shape {
        Shape::Text => r#""type":"string""#.to_owned(),
        Shape::Bool => r#""type":"boolean""#.to_owned(),
        Shape::Uint64 => r#""type":"string","format":"uint64""#.to_owned(),
        Shape::TextList => r#""type":"array","items":{"type":"string"}"#.to_owned(),
        Shape::TextMap => r#""type":"object","additionalProperties":{"type":"string"}"#.to_owned(),
        Shape::Message(inner) => format!(r##""$ref":"#/definitions/{}""##, inner.short_name),
        Shape::MessageList(inner) => format!(r#""type":"array","items":{}"#, reference(inner)),
    }
}

/// Every message that an rpc takes or gives, once.
fn definitions() -> Vec<String> {
    let mut known: Vec<&Message> = Vec::new();
    let mut waiting: Vec<&Message> =
        METHODS.iter().rev().flat_map(|method| [method.response, method.request]).collect();
    while let Some(message) = waiting.pop() {
        if known.iter().any(|it| it.name == message.name) {
            continue;
        }
        known.push(message);
        waiting.extend(message.fields.iter().filter_map(|field| match &field.shape {
            Shape::Message(inner) | Shape::MessageList(inner) => Some(*inner),
            _ => None,
        }));
    }
    known.iter().map(|message| definition(message)).collect()
}

fn definition(message: &Message) -> String {
    let properties = message.fields.iter().map(|field| {
        let mut schema = members(&field.shape);
        if let Rules::Text(length, _) = &field.rules {
            let (min, max) = match length {
                crate::Length::AtMost(max) => (0, max),
                crate::Length::Between(min, max) => (*min, max),
            };
            schema.push_str(&format!(r#","minLength":{min},"maxLength":{max}"#));
        }
        format!(r#""{}":{{{schema}}}"#, field.name)
    });
    let properties = properties.collect::<Vec<_>>().join(",");
    format!(r#""{}":{{"type":"object","properties":{{{properties}}}}}"#, message.short_name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn endpoints_are_those_of_go_micro() {
        let text = endpoints();
        assert!(text.starts_with(
            r#"[{"name":"ClusterManager.AddFederatedCluster","request":{"name":"AddFederatedClusterReq","type":"AddFederatedClusterReq","values":[{"name":"federationClusterID","type":"string","values":null},{"name":"clusterID","type":"string","values":null}]},"response":{"name":"AddFederatedClusterResp","type":"AddFederatedClusterResp","values":[{"name":"code","type":"uint64","values":null},"#
        ));
        let endpoints: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(endpoints.len(), 22);
        let named = |name: &str| endpoints.iter().find(|it| it["name"] == format!("ClusterManager.{name}")).unwrap();
        let create = named("CreateCluster");
        assert_eq!(create["metadata"]["path"], "/clustermanager/v1/cluster/{clusterID}");
        assert_eq!(create["request"]["values"][11], json!({"name": "labels", "type": "", "values": null}));
        assert_eq!(create["request"]["values"][12], json!({"name": "operators", "type": "[]string", "values": null}));
        assert_eq!(named("ListCluster")["response"]["values"][3]["type"], "[]Cluster");
        let nested = &named("CreateNamespaceQuota")["response"]["values"][3];
        assert_eq!(nested["type"], "CreateNamespaceQuotaResp_CreateNamespaceQuotaRespData");
        assert_eq!((&nested["name"], &nested["values"][0]["name"]), (&json!("data"), &json!("clusterID")));
        assert_eq!(named("GetCluster")["response"]["values"][3]["values"][13]["type"], "[]string");
        assert_eq!(named("InitFederationCluster")["request"]["values"], Value::Null);
    }

    #[test]
    fn swagger_describes_every_route() {
        let document: Value = serde_json::from_str(&swagger("1.2\"3")).unwrap();
        assert_eq!(document["info"]["version"], "1.2\"3");
        for method in METHODS {
            let operation = &document["paths"][method.path][method.verb.to_ascii_lowercase()];
            assert_eq!(operation["operationId"], method.name);
            let response = operation["responses"]["200"]["schema"]["$ref"].as_str().unwrap();
            let definition = response.strip_prefix("#/definitions/").unwrap();
            assert!(document["definitions"][definition].is_object(), "{definition}");
        }
        let delete = &document["paths"]["/clustermanager/v1/cluster/{clusterID}"]["delete"]["parameters"];
        assert_eq!(delete[1], json!({"name": "isForced", "in": "query", "required": false, "type": "boolean"}));
    }
}
