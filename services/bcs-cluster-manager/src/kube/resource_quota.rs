//! The text of a Kubernetes v1 ResourceQuota, as far as this service looks into it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A decoded quota.
#[derive(Debug)]
pub(crate) struct ResourceQuota {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `spec.hard`.
    pub hard: BTreeMap<String, Quantity>,
    /// The whole text.
    object: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Typed {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    #[serde(rename = "labels")]
    _labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "annotations")]
    _annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    hard: Option<BTreeMap<String, Value>>,
    #[serde(rename = "scopes")]
    _scopes: Option<Vec<String>>,
}

/// Decodes a quota.
///
/// # Errors
/// Why it is none, for the client.
pub(crate) fn decode(text: &str) -> Result<ResourceQuota, String> {
    if text.trim_ascii().is_empty() {
        return Err("unexpected end of JSON input".to_owned());
    }
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let object = match value {
        Value::Object(object) => object,
        Value::Null => Map::new(),
        _ => {
            return Err(
                "json: cannot unmarshal a value that is no object into Go value of type v1.ResourceQuota".into()
            );
        }
    };
    let typed: Typed = serde_json::from_value(Value::Object(object.clone())).map_err(|error| error.to_string())?;
    let metadata = typed.metadata.unwrap_or_default();
    let hard = typed.spec.unwrap_or_default().hard.unwrap_or_default();
    let hard = hard.into_iter().map(|(resource, value)| Ok((resource, Quantity::of(&value)?)));
    Ok(ResourceQuota {
        name: metadata.name.unwrap_or_default(),
        namespace: metadata.namespace.unwrap_or_default(),
        hard: hard.collect::<Result<_, String>>()?,
        object,
    })
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

/// A Kubernetes quantity: `2`, `1500m`, `20Gi`, `1e3`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantity(f64);

impl Quantity {
    /// A quantity in JSON: a string, or a number.
    ///
    /// # Errors
    /// The words of Kubernetes.
    pub(crate) fn of(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::Null => Ok(Self(0.0)),
            _ => Err(refusal()),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let length =
            text.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-')).count();
        let (number, suffix) = text.split_at(length);
        let number: f64 = number.parse().map_err(|_| refusal())?;
        let kibi = |power| 1024_f64.powi(power);
        let factor = match suffix {
            "" => 1.0,
            "n" => 1e-9,
            "u" => 1e-6,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "P" => 1e15,
            "E" => 1e18,
            "Ki" => kibi(1),
            "Mi" => kibi(2),
            "Gi" => kibi(3),
            "Ti" => kibi(4),
            "Pi" => kibi(5),
            "Ei" => kibi(6),
            exponent => {
                let digits = exponent.strip_prefix(['e', 'E']).ok_or_else(refusal)?;
                10_f64.powi(digits.parse::<i32>().ok().filter(|power| power.abs() < 300).ok_or_else(refusal)?)
            }
        };
        Ok(Self(number * factor))
    }

    /// Its value.
    pub(crate) fn value(self) -> f64 {
        self.0
    }
}

fn refusal() -> String {
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_of_every_form() {
        for (text, value) in [
            ("2", 2.0),
            ("1500m", 1.5),
            ("+0.5", 0.5),
            ("-1", -1.0),
            ("20Gi", 20.0 * 1024.0 * 1024.0 * 1024.0),
            ("1e3", 1000.0),
            ("2E-2", 0.02),
            ("3k", 3000.0),
            ("1E", 1e18),
        ] {
            assert_eq!(Quantity::of(&json!(text)), Ok(Quantity(value)), "{text}");
        }
        assert_eq!(Quantity::of(&json!(1)), Ok(Quantity(1.0)));
        for bad in [json!(""), json!("x"), json!("1x"), json!("1 "), json!("1e"), json!("."), json!(true), json!([])] {
            assert_eq!(Quantity::of(&bad), Err(refusal()), "{bad}");
        }
    }

    #[test]
    fn what_is_a_quota() {
        let quota =
            decode(r#"{"metadata":{"name":"a","namespace":"b"},"spec":{"hard":{"cpu":1,"memory":"1Gi"}},"zzz":1}"#);
        let quota = quota.unwrap();
        assert_eq!((quota.name.as_str(), quota.namespace.as_str(), quota.hard["cpu"]), ("a", "b", Quantity(1.0)));
        let sent = quota.to_send(Some(&json!("7")));
        assert_eq!(sent["metadata"], json!({"name": "a", "namespace": "b", "resourceVersion": "7"}));
        assert_eq!((&sent["kind"], &sent["apiVersion"]), (&json!("ResourceQuota"), &json!("v1")));
        assert_eq!(decode("").unwrap_err(), "unexpected end of JSON input");
        for empty in ["{}", "null", r#"{"spec":null,"metadata":{"name":null}}"#, r#"{"spec":{"hard":null}}"#] {
            assert_eq!(decode(empty).unwrap().name, "", "{empty}");
        }
        for bad in [
            "{bad",
            "[]",
            "5",
            r#"{"spec":{"hard":5}}"#,
            r#"{"spec":{"hard":{"cpu":"x"}}}"#,
            r#"{"metadata":{"name":1}}"#,
        ] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in r#"[{}\[\]":a-z0-9.+-]{0,40}"#) {
            let _ = decode(&text);
            let _ = Quantity::parse(&text);
        }
    }
}
