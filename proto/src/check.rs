//! Which values are refused, in the words of protoc-gen-validate 0.4.1.

use crate::view::{self, Found, View, WireError};
use crate::{Length, Message, Pattern, Rules};

/// The first violated rule of an encoded message as `invalid <Message>.<Field>: <reason>`; none if all hold.
///
/// # Errors
/// The bytes are no such message.
pub fn violation(message: &'static Message, bytes: &[u8]) -> Result<Option<String>, WireError> {
    if message.fields.iter().all(|field| matches!(field.rules, Rules::None)) {
        return Ok(None);
    }
    for (field, found) in View::of(message, bytes)?.fields() {
        let reason = match (&field.rules, found) {
            (Rules::None, _) => None,
            (Rules::Text(length, pattern), Found::Bytes(bytes)) => {
                text_violation(length, pattern.as_ref(), view::text(field.name, bytes)?)
            }
            (Rules::Text(length, pattern), _) => text_violation(length, pattern.as_ref(), ""),
            (Rules::AtMost(limit), Found::Number(number)) if number > limit => {
                Some(format!("value must be less than or equal to {limit}"))
            }
            (Rules::Items(limit), Found::Many(items)) if count(items.len()) > *limit => {
                Some(format!("value must contain no more than {limit} item(s)"))
            }
            (Rules::Pairs(limit), Found::Many(entries)) if count(different_keys(field.name, entries)?) > *limit => {
                Some(format!("value must contain no more than {limit} pair(s)"))
            }
            (Rules::AtMost(_) | Rules::Items(_) | Rules::Pairs(_), _) => None,
        };
        if let Some(reason) = reason {
            return Ok(Some(format!("invalid {}.{}: {reason}", message.short_name, capitalised(field.name))));
        }
    }
    Ok(None)
}

fn text_violation(length: &Length, pattern: Option<&Pattern>, text: &str) -> Option<String> {
    let runes = count(text.chars().count());
    match length {
        Length::AtMost(max) if runes > *max => return Some(format!("value length must be at most {max} runes")),
        Length::Between(min, max) if runes < *min || runes > *max => {
            return Some(format!("value length must be between {min} and {max} runes, inclusive"));
        }
        _ => {}
    }
    let pattern = pattern?;
    let allowed = |byte: u8| pattern.allowed.iter().any(|(first, last)| (*first..=*last).contains(&byte));
    (text.is_empty() || !text.bytes().all(allowed))
        .then(|| format!("value does not match regex pattern \"{}\"", pattern.text))
}

/// A key that comes twice is one pair.
fn different_keys(field: &str, entries: &[&[u8]]) -> Result<usize, WireError> {
    let keys = entries.iter().map(|entry| view::entry(field, entry).map(|(key, _)| key));
    Ok(keys.collect::<Result<std::collections::BTreeSet<_>, _>>()?.len())
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::messages::{CreateClusterReq, ListClusterReq, UpdateClusterCredentialReq};
    use crate::tables::{
        ADD_FEDERATED_CLUSTER_REQ, CREATE_CLUSTER_REQ, LIST_CLUSTER_REQ, UPDATE_CLUSTER_CREDENTIAL_REQ,
    };

    fn good() -> CreateClusterReq {
        let text = || "aB-_9".to_owned();
        CreateClusterReq {
            cluster_id: text(),
            cluster_name: "日本".into(),
            region: text(),
            project_id: "p".into(),
            business_id: "1".into(),
            environment: text(),
            engine_type: text(),
            cluster_type: text(),
            ..CreateClusterReq::default()
        }
    }

    fn refusal(request: &CreateClusterReq) -> String {
        violation(&CREATE_CLUSTER_REQ, &request.encode_to_vec()).unwrap().unwrap_or_default()
    }

    #[test]
    fn the_words_of_every_rule() {
        assert_eq!(refusal(&good()), "");
        let labels = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
        let pattern = "value does not match regex pattern \"^[0-9a-zA-Z-_]+$\"";
        for (request, words) in [
            (
                CreateClusterReq { cluster_id: "x".into(), cluster_name: String::new(), ..good() },
                "ClusterID: value length must be between 2 and 100 runes, inclusive".to_owned(),
            ),
            (CreateClusterReq { cluster_id: "a.b".into(), ..good() }, format!("ClusterID: {pattern}")),
            (CreateClusterReq { cluster_id: "aé".into(), ..good() }, format!("ClusterID: {pattern}")),
            (CreateClusterReq { project_id: String::new(), ..good() }, format!("ProjectID: {pattern}")),
            (
                CreateClusterReq { provider: "ß".repeat(101), ..good() },
                "Provider: value length must be at most 100 runes".to_owned(),
            ),
            (
                CreateClusterReq { labels: labels(21), ..good() },
                "Labels: value must contain no more than 20 pair(s)".to_owned(),
            ),
            (
                CreateClusterReq { operators: vec![String::new(); 101], ..good() },
                "Operators: value must contain no more than 100 item(s)".to_owned(),
            ),
        ] {
            assert_eq!(refusal(&request), format!("invalid CreateClusterReq.{words}"));
        }
        let limits = CreateClusterReq {
            provider: "ß".repeat(100),
            labels: labels(20),
            operators: vec![String::new(); 100],
            ..good()
        };
        assert_eq!(refusal(&limits), "");
    }

    #[test]
    fn other_messages() {
        let list = ListClusterReq { limit: 1001, offset: u64::MAX, ..ListClusterReq::default() };
        assert_eq!(
            violation(&LIST_CLUSTER_REQ, &list.encode_to_vec()).unwrap().unwrap(),
            "invalid ListClusterReq.Limit: value must be less than or equal to 1000"
        );
        let credential = UpdateClusterCredentialReq { server_key: "k.".into(), ..Default::default() };
        assert_eq!(
            violation(&UPDATE_CLUSTER_CREDENTIAL_REQ, &credential.encode_to_vec()).unwrap().unwrap(),
            "invalid UpdateClusterCredentialReq.ClusterID: value length must be between 2 and 100 runes, inclusive"
        );
        assert_eq!(violation(&ADD_FEDERATED_CLUSTER_REQ, &[]).unwrap(), None);
        assert!(violation(&LIST_CLUSTER_REQ, &[0xff]).is_err());
    }
}
