//! Bodies of the CIDR calls in XML (cluster-manager.md 9): elements are named as the fields of the original's types.

use quick_xml::DeError;
use quick_xml::de::from_str;
use quick_xml::escape::escape;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cidr::Count;

/// What bodies in XML are called.
pub(super) const MEDIA_TYPE: &str = "application/xml";

/// A request; each call uses some of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Form {
    vpc: Option<String>,
    cluster: Option<String>,
    cidr: Option<String>,
    #[serde(rename = "IPNumber")]
    ip_number: Option<String>,
    #[serde(default)]
    tke_cidrs: Vec<Entry>,
}

/// Not a [`Form`]: who nests more must not need more of the stack.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    cidr: Option<String>,
    #[serde(rename = "IPNumber")]
    ip_number: Option<String>,
    status: Option<String>,
}

/// The members that the same request in JSON has. The name of the outermost element means nothing.
pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, DeError> {
    let form: Form = from_str(&String::from_utf8_lossy(body))?;
    let texts = [("vpc", form.vpc), ("cluster", form.cluster), ("cidr", form.cidr)];
    let mut members = members(texts, form.ip_number);
    if !form.tke_cidrs.is_empty() {
        let entries = form.tke_cidrs.into_iter().map(|entry| {
            Value::Object(self::members([("cidr", entry.cidr), ("status", entry.status)], entry.ip_number))
        });
        members.insert("tke_cidrs".to_owned(), entries.collect());
    }
    Ok(members)
}

/// Without those that are missing, or of a wrong type.
fn members<const N: usize>(texts: [(&str, Option<String>); N], ip_number: Option<String>) -> Map<String, Value> {
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))));
    let number = ip_number.and_then(|text| text.trim().parse::<i64>().ok());
    texts.chain(number.map(|number| ("ip_number".to_owned(), number.into()))).collect()
}

/// One element each, without a common one around them.
pub(super) fn list(counts: &[Count]) -> String {
    let elements = counts.iter().map(|it| {
        format!(
            "<TkeCidrCount><Vpc>{}</Vpc><IPNumber>{}</IPNumber><Count>{}</Count><Status>{}</Status></TkeCidrCount>",
            escape(&it.vpc),
            it.ip_number,
            it.count,
            escape(&it.status),
        )
    });
    elements.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_those_of_json() {
        let body = b"<?xml version=\"1.0\"?><AddTkeCidrForm><Vpc>v&amp;1</Vpc><TkeCidrs><Cidr>10.0.0.0/24</Cidr>\
            <IPNumber> 256 </IPNumber></TkeCidrs><TkeCidrs><IPNumber>x</IPNumber><Status>used</Status></TkeCidrs>\
            <Other><Vpc>no</Vpc></Other></AddTkeCidrForm>";
        let entries = json!([{"cidr": "10.0.0.0/24", "ip_number": 256}, {"status": "used"}]);
        assert_eq!(Value::Object(read(body).unwrap()), json!({"vpc": "v&1", "tke_cidrs": entries}));
        let lower = read(b"<x><vpc>v</vpc><IPNumber>1</IPNumber></x>").unwrap();
        assert_eq!(Value::Object(lower), json!({"ip_number": 1}));
        for bad in [&b""[..], b"{}", b"<x><Vpc>v</x>"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        let deep = "<TkeCidrs>".repeat(200_000);
        assert!(read(format!("<x>{deep}").as_bytes()).is_err());
    }

    #[test]
    fn counts_are_elements() {
        let count = Count { vpc: "a<b".into(), ip_number: 256, status: "available".into(), count: 3 };
        let element = "<TkeCidrCount><Vpc>a&lt;b</Vpc><IPNumber>256</IPNumber><Count>3</Count><Status>available</Status></TkeCidrCount>";
        assert_eq!(list(&[count]), element);
        assert_eq!(list(&[]), "");
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in "[<>/a&;=\"VpcTkeCidrs ]{0,40}") {
            let _ = read(body.as_bytes());
        }
    }
}
