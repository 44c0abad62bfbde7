//! The text of a Kubernetes v1 ResourceQuota. It is decoded and sent on as Go's types do it: names match in any case,
//! unknown fields are left out, quantities get their canonical form.

use std::collections::BTreeMap;

use bcs_common::go::{json_error, kind};
use serde_json::{Map, Value};

use super::quantity::Quantity;

/// A decoded quota.
#[derive(Debug)]
pub(crate) struct ResourceQuota {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `spec.hard`.
    pub hard: BTreeMap<String, Quantity>,
    /// What is sent to an API server.
    object: Map<String, Value>,
}

/// The Go type of a field.
#[derive(Clone, Copy)]
enum Type {
    Text(&'static str),
    Integer,
    Bool,
    Time,
    Texts,
    TextMap,
    Quantities,
    Struct(&'static Struct),
    /// A list of structs, with the name of its Go type.
    Structs(&'static str, &'static Struct),
    Any,
}

struct Struct {
    name: &'static str,
    fields: &'static [(&'static str, Type)],
}

const TEXT: Type = Type::Text("string");

const QUOTA: Struct = Struct {
    name: "ResourceQuota",
    fields: &[
        ("kind", TEXT),
        ("apiVersion", TEXT),
        ("metadata", Type::Struct(&METADATA)),
        ("spec", Type::Struct(&SPEC)),
        ("status", Type::Struct(&STATUS)),
    ],
};
const METADATA: Struct = Struct {
    name: "ObjectMeta",
    fields: &[
        ("name", TEXT),
        ("generateName", TEXT),
        ("namespace", TEXT),
        ("selfLink", TEXT),
        ("uid", Type::Text("types.UID")),
        ("resourceVersion", TEXT),
        ("generation", Type::Integer),
        ("creationTimestamp", Type::Time),
        ("deletionTimestamp", Type::Time),
        ("deletionGracePeriodSeconds", Type::Integer),
        ("labels", Type::TextMap),
        ("annotations", Type::TextMap),
        ("ownerReferences", Type::Structs("[]v1.OwnerReference", &OWNER)),
        ("finalizers", Type::Texts),
        ("clusterName", TEXT),
        ("managedFields", Type::Structs("[]v1.ManagedFieldsEntry", &MANAGED)),
    ],
};
const OWNER: Struct = Struct {
    name: "OwnerReference",
    fields: &[
        ("apiVersion", TEXT),
        ("kind", TEXT),
        ("name", TEXT),
        ("uid", Type::Text("types.UID")),
        ("controller", Type::Bool),
        ("blockOwnerDeletion", Type::Bool),
    ],
};
const MANAGED: Struct = Struct {
    name: "ManagedFieldsEntry",
    fields: &[
        ("manager", TEXT),
        ("operation", Type::Text("v1.ManagedFieldsOperationType")),
        ("apiVersion", TEXT),
        ("time", Type::Time),
        ("fieldsType", TEXT),
        ("fieldsV1", Type::Any),
    ],
};
const SPEC: Struct = Struct {
    name: "ResourceQuotaSpec",
    fields: &[("hard", Type::Quantities), ("scopes", Type::Texts), ("scopeSelector", Type::Struct(&SELECTOR))],
};
const SELECTOR: Struct = Struct {
    name: "ScopeSelector",
    fields: &[("matchExpressions", Type::Structs("[]v1.ScopedResourceSelectorRequirement", &REQUIREMENT))],
};
const REQUIREMENT: Struct = Struct {
    name: "ScopedResourceSelectorRequirement",
    fields: &[
        ("scopeName", Type::Text("v1.ResourceQuotaScope")),
        ("operator", Type::Text("v1.ScopeSelectorOperator")),
        ("values", Type::Texts),
    ],
};
const STATUS: Struct =
    Struct { name: "ResourceQuotaStatus", fields: &[("hard", Type::Quantities), ("used", Type::Quantities)] };

/// Decodes a quota.
///
/// # Errors
/// Why it is none, for the client.
pub(crate) fn decode(text: &str) -> Result<ResourceQuota, String> {
    if let Some(error) = json_error(text.as_bytes()) {
        return Err(error);
    }
    let object = match serde_json::from_str(text).map_err(|error| error.to_string())? {
        Value::Object(object) => typed(&QUOTA, object, "")?,
        Value::Null => Map::new(),
        other => {
            return Err(format!("json: cannot unmarshal {} into Go value of type v1.ResourceQuota", kind(&other)));
        }
    };
    let text_at = |pointer: [&str; 2]| {
        let [outer, inner] = pointer;
        object.get(outer).and_then(|value| value.get(inner)?.as_str()).unwrap_or_default().to_owned()
    };
    let hard = object.get("spec").and_then(|spec| spec.get("hard")?.as_object());
    let hard = hard.into_iter().flatten().map(|(resource, value)| Ok((resource.clone(), Quantity::of(value)?)));
    Ok(ResourceQuota {
        name: text_at(["metadata", "name"]),
        namespace: text_at(["metadata", "namespace"]),
        hard: hard.collect::<Result<_, String>>()?,
        object,
    })
}

/// The fields of an object that its Go type has, without zero values. `at` is the path to it, for messages.
fn typed(of: &'static Struct, object: Map<String, Value>, at: &str) -> Result<Map<String, Value>, String> {
    let mut known = Map::new();
    for (key, value) in object {
        let Some((name, shape)) = of.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key)) else { continue };
        let path = if at.is_empty() { (*name).to_owned() } else { format!("{at}.{name}") };
        let wrong = |value: &Value, wanted: &str| {
            format!("json: cannot unmarshal {} into Go struct field {}.{path} of type {wanted}", kind(value), of.name)
        };
        if let Some(value) = converted(*shape, value, &path, &wrong)? {
            known.insert((*name).to_owned(), value);
        }
    }
    Ok(known)
}

/// A value as its Go type would be written; none for zero values.
fn converted(
    shape: Type,
    value: Value,
    path: &str,
    wrong: &dyn Fn(&Value, &str) -> String,
) -> Result<Option<Value>, String> {
    Ok(Some(match (shape, value) {
        (Type::Quantities, Value::Object(quantities)) if !quantities.is_empty() => {
            let canonical = quantities.iter().map(|(key, value)| Ok((key.clone(), Quantity::of(value)?.text().into())));
            Value::Object(canonical.collect::<Result<_, String>>()?)
        }
        (_, Value::Null) => return Ok(None),
        (Type::Any, value) => value,
        (Type::Text(_), Value::String(text)) => {
            return Ok((!text.is_empty()).then_some(Value::String(text)));
        }
        (Type::Text(wanted), value) => return Err(wrong(&value, wanted)),
        (Type::Integer, value) if value.is_i64() => value,
        // Here the number is named, too.
        (Type::Integer, Value::Number(number)) => {
            return Err(wrong(&Value::Null, "int64").replacen("null", &format!("number {number}"), 1));
        }
        (Type::Integer, value) => return Err(wrong(&value, "int64")),
        (Type::Bool, value) if value.is_boolean() => value,
        (Type::Bool, value) => return Err(wrong(&value, "bool")),
        (Type::Time, value) => Value::String(time(&value)?),
        (Type::Texts, Value::Array(values)) => match values.iter().find(|value| !value.is_string() && !value.is_null())
        {
            Some(other) => return Err(wrong(other, "string")),
            None => return Ok((!values.is_empty()).then(|| values.into_iter().map(text).collect())),
        },
        (Type::Texts, value) => return Err(wrong(&value, "[]string")),
        (Type::TextMap, Value::Object(values)) => {
            match values.values().find(|value| !value.is_string() && !value.is_null()) {
                Some(other) => return Err(wrong(other, "string")),
                None => {
                    let texts: Map<_, _> = values.into_iter().map(|(key, value)| (key, text(value))).collect();
                    return Ok((!texts.is_empty()).then_some(Value::Object(texts)));
                }
            }
        }
        (Type::TextMap, value) => return Err(wrong(&value, "map[string]string")),
        (Type::Quantities, Value::Object(_)) => return Ok(None),
        (Type::Quantities, value) => return Err(wrong(&value, "v1.ResourceList")),
        (Type::Struct(inner), Value::Object(object)) => Value::Object(typed(inner, object, path)?),
        (Type::Struct(inner), value) => return Err(wrong(&value, &format!("v1.{}", inner.name))),
        (Type::Structs(_, inner), Value::Array(values)) => {
            let structs = values.into_iter().map(|value| match value {
                Value::Object(object) => typed(inner, object, path).map(Value::Object),
                Value::Null => Ok(Value::Object(Map::new())),
                other => Err(wrong(&other, &format!("v1.{}", inner.name))),
            });
            let structs: Vec<Value> = structs.collect::<Result<_, String>>()?;
            return Ok((!structs.is_empty()).then_some(Value::Array(structs)));
        }
        (Type::Structs(wanted, _), value) => return Err(wrong(&value, wanted)),
    }))
}

/// `null` in a list of texts is the empty one.
fn text(value: Value) -> Value {
    if value.is_null() { Value::String(String::new()) } else { value }
}

/// A time as Kubernetes writes it: RFC 3339 in UTC, without a fraction.
fn time(value: &Value) -> Result<String, String> {
    let Value::String(text) = value else {
        return Err(format!("json: cannot unmarshal {} into Go value of type string", kind(value)));
    };
    let time = chrono::DateTime::parse_from_rfc3339(text);
    let time =
        time.map_err(|_| format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"))?;
    Ok(time.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

impl ResourceQuota {
    /// What is sent to an API server; with the version of the stored object it replaces it.
    pub(crate) fn to_send(&self, resource_version: Option<&Value>) -> Value {
        let mut object = self.object.clone();
        object.insert("kind".to_owned(), "ResourceQuota".into());
        object.insert("apiVersion".to_owned(), "v1".into());
        if let Some(version) = resource_version
            && let Some(Value::Object(metadata)) = object.get_mut("metadata")
        {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_a_quota() {
        let quota = decode(
            r#"{"Metadata":{"NAME":"a","namespace":"b","labels":{"x":null}},"zzz":1,
            "spec":{"hard":{"cpu":1,"memory":"1024Mi"},"scopes":[],"more":2}}"#,
        );
        let quota = quota.unwrap();
        assert_eq!((quota.name.as_str(), quota.namespace.as_str()), ("a", "b"));
        assert!((quota.hard["cpu"].value() - 1.0).abs() < f64::EPSILON);
        assert_eq!(
            quota.to_send(Some(&json!("7"))),
            json!({
                "kind": "ResourceQuota", "apiVersion": "v1",
                "metadata": {"name": "a", "namespace": "b", "labels": {"x": ""}, "resourceVersion": "7"},
                "spec": {"hard": {"cpu": "1", "memory": "1Gi"}},
            })
        );
        for empty in ["{}", "null", r#"{"spec":null,"metadata":{"name":null}}"#, r#"{"spec":{"hard":{}}}"#] {
            let quota = decode(empty).unwrap();
            assert!(quota.name.is_empty() && quota.hard.is_empty(), "{empty}");
        }
    }

    #[test]
    fn everything_of_a_quota_is_sent_on() {
        let whole = json!({
            "kind": "ResourceQuota", "apiVersion": "v1",
            "metadata": {
                "name": "a", "generation": 3, "annotations": {"k": "v"}, "finalizers": ["f"],
                "creationTimestamp": "2021-06-02T00:00:00Z",
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true}],
                "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {
                "hard": {"pods": "10"}, "scopes": ["Terminating"],
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]},
            },
            "status": {"hard": {"pods": "10"}, "used": {"pods": "1"}},
        });
        assert_eq!(decode(&whole.to_string()).unwrap().to_send(None), whole);
    }

    #[test]
    fn what_is_none() {
        let field = |what: &str, field: &str, wanted: &str| {
            format!("json: cannot unmarshal {what} into Go struct field {field} of type {wanted}")
        };
        let quantity = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        for (text, words) in [
            ("", "unexpected end of JSON input".to_owned()),
            ("{bad", "invalid character 'b' looking for beginning of object key string".to_owned()),
            ("{} x", "invalid character 'x' after top-level value".to_owned()),
            ("[]", "json: cannot unmarshal array into Go value of type v1.ResourceQuota".to_owned()),
            (r#"{"kind":5}"#, field("number", "ResourceQuota.kind", "string")),
            (r#"{"spec":[]}"#, field("array", "ResourceQuota.spec", "v1.ResourceQuotaSpec")),
            (r#"{"spec":{"hard":5}}"#, field("number", "ResourceQuotaSpec.spec.hard", "v1.ResourceList")),
            (r#"{"spec":{"hard":{"cpu":"x"}}}"#, quantity.to_owned()),
            (r#"{"metadata":{"name":1}}"#, field("number", "ObjectMeta.metadata.name", "string")),
            (r#"{"metadata":{"labels":{"a":1}}}"#, field("number", "ObjectMeta.metadata.labels", "string")),
            (r#"{"metadata":{"generation":1.5}}"#, field("number 1.5", "ObjectMeta.metadata.generation", "int64")),
        ] {
            assert_eq!(decode(text).unwrap_err(), words, "{text}");
        }
        assert!(decode(r#"{"metadata":{"creationTimestamp":"yesterday"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in r#"[{}\[\]":a-z0-9.+-]{0,40}"#) {
            let _ = decode(&text);
        }
    }
}
