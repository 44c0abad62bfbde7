//! The JSON config file: values by the path of an option, with the line they are on (common.md 1.1).

use std::collections::BTreeMap;

use serde::de::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

use super::lenient::convert;
use super::option::{Opt, Spec};
use crate::json_members::Members;

/// Longest piece of a refused value that an error repeats, in characters.
const SHOWN: usize = 60;

/// A file that is JSON with an object on top. Text after that object is ignored, as in the original.
pub(crate) struct File<'a> {
    name: &'a str,
    text: &'a str,
    /// Every member that is an option or a parent of one, by path. The last of duplicate keys wins.
    members: BTreeMap<String, &'a RawValue>,
    unknown: Vec<(String, usize)>,
}

impl<'a> File<'a> {
    /// The error names file, line and column and holds no value of the file.
    pub(crate) fn parse(name: &'a str, text: &'a str, spec: &Spec) -> Result<Self, String> {
        let syntax = |error: serde_json::Error| {
            let full = error.to_string();
            let reason = full.split(" at line ").next().unwrap_or_default();
            format!("{name}:{}:{}: {reason}", error.line(), error.column())
        };
        let root = match <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(text)) {
            Ok(root) => root,
            // The full parser words the same error better, e.g. "trailing comma".
            Err(error) => {
                let worded = Value::deserialize(&mut serde_json::Deserializer::from_str(text)).err();
                return Err(syntax(worded.unwrap_or(error)));
            }
        };
        if !root.get().starts_with('{') {
            return Err(format!("{name}:{}: want an object, got {}", line(text, root), shown(root.get())));
        }
        let mut file = Self { name, text, members: BTreeMap::new(), unknown: Vec::new() };
        file.collect("", root, spec)?;
        Ok(file)
    }

    /// The value of an option, `None` if the file has none. `null`, also in place of a parent, is the zero value.
    pub(crate) fn value(&self, opt: &Opt) -> Result<Option<Value>, String> {
        for (end, _) in opt.path.match_indices('.') {
            let parent = opt.path.get(..end).unwrap_or_default();
            let Some(raw) = self.members.get(parent) else {
                return Ok(None);
            };
            match raw.get().as_bytes().first() {
                Some(b'{') => {}
                Some(b'n') => return Ok(Some(opt.kind.zero())),
                _ => return Err(self.wrong(opt, parent, raw, "an object")),
            }
        }
        let Some(raw) = self.members.get(opt.path) else {
            return Ok(None);
        };
        let value = convert(opt.kind, raw.get()).ok_or_else(|| self.wrong(opt, opt.path, raw, &opt.want()))?;
        opt.check_choice(&value).map_err(|want| self.wrong(opt, opt.path, raw, &want))?;
        Ok(Some(value))
    }

    /// `file:line: key "path": ` for an error inside the value of an option.
    pub(super) fn place(&self, opt: &Opt, path: &Path) -> Option<String> {
        let mut raw = *self.members.get(opt.path)?;
        for segment in path.iter().skip(opt.path.split('.').count()) {
            match inner(raw, segment) {
                Some(next) => raw = next,
                None => break,
            }
        }
        Some(format!("{}:{}: key \"{path}\": ", self.name, line(self.text, raw)))
    }

    /// The keys that belong to no option, with their lines.
    pub(super) fn unknown(&self) -> &[(String, usize)] {
        &self.unknown
    }

    fn collect(&mut self, prefix: &str, object: &'a RawValue, spec: &Spec) -> Result<(), String> {
        let Members::<&RawValue>(members) = serde_json::from_str(object.get()).map_err(|error| {
            let first = line(self.text, object) + error.line().saturating_sub(1);
            format!("{}:{first}: broken key", self.name)
        })?;
        for (key, raw) in members {
            let path = format!("{prefix}{key}");
            let below = format!("{path}.");
            let parent = spec.options.iter().any(|opt| opt.path.starts_with(&below));
            // A dot in a key is no way to reach into an object.
            if key.contains('.') || !(parent || spec.options.iter().any(|opt| opt.path == path)) {
                self.unknown.push((path, line(self.text, raw)));
                continue;
            }
            if self.members.insert(path, raw).is_some() {
                self.members.retain(|known, _| !known.starts_with(&below));
            }
            if parent && raw.get().starts_with('{') {
                self.collect(&below, raw, spec)?;
            }
        }
        Ok(())
    }

    fn wrong(&self, opt: &Opt, path: &str, raw: &RawValue, want: &str) -> String {
        let place = format!("{}:{}: key \"{path}\": want {want}", self.name, line(self.text, raw));
        if opt.secret || path != opt.path { place } else { format!("{place}, got {}", shown(raw.get())) }
    }
}

/// The number of the line where a value starts, from 1. The value is a part of the text.
fn line(text: &str, raw: &RawValue) -> usize {
    let offset = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn shown(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        _ if json.chars().count() > SHOWN => {
            format!("{}...", json.chars().take(SHOWN).collect::<String>())
        }
        _ => json.to_owned(),
    }
}

fn inner<'a>(raw: &'a RawValue, segment: &Segment) -> Option<&'a RawValue> {
    match segment {
        Segment::Map { key } => {
            let Members::<&RawValue>(members) = serde_json::from_str(raw.get()).ok()?;
            members.into_iter().rev().find(|(name, _)| name == key).map(|(_, raw)| raw)
        }
        Segment::Seq { index } => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            elements.get(*index).copied()
        }
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn spec() -> Spec {
        let options = vec![
            Opt::port("port", 8080, "port"),
            Opt::string("address", "127.0.0.1", "address"),
            Opt::string_list("allow", "networks"),
            Opt::boolean("etcdRegistry.etcd_feature", false, "etcd"),
            Opt::string("etcdRegistry.etcd_ca", "ca.pem", "etcd"),
            Opt::string("token", "", "token").secret(),
            Opt::string("tls_verify", "", "mode").choices(&["", "full"]),
            Opt::json("users", "users"),
        ];
        Spec { program: "bcs-x", about: "", options }
    }

    fn values(text: &str) -> Result<Value, String> {
        let spec = spec();
        let file = File::parse("x.json", text, &spec)?;
        let mut values = serde_json::Map::new();
        for opt in &spec.options {
            if let Some(value) = file.value(opt)? {
                values.insert(opt.path.to_owned(), value);
            }
        }
        Ok(values.into())
    }

    #[test]
    fn reads_what_the_original_reads() {
        for (text, want) in [
            ("{}", json!({})),
            (r#"{"port": "8080", "nonsense": {"port": 1}}"#, json!({"port": 8080})),
            (r#"{"Port": 1, "PORT": 2}"#, json!({})),
            (r#"{"port": 1, "port": 2}"#, json!({"port": 2})),
            (r#"{"port": 1} trailing {"#, json!({"port": 1})),
            ("\n\t{\"port\"\r\n: 1}", json!({"port": 1})),
            (r#"{"port": null, "address": null, "allow": null}"#, json!({"port": 0, "address": "", "allow": []})),
            (r#"{"address": 1.50, "token": false}"#, json!({"address": "1.50", "token": "false"})),
            (r#"{"etcdRegistry": {"etcd_feature": true, "x": 1}}"#, json!({"etcdRegistry.etcd_feature": true})),
            (r#"{"etcdRegistry": null}"#, json!({"etcdRegistry.etcd_feature": false, "etcdRegistry.etcd_ca": ""})),
            (
                r#"{"etcdRegistry": {"etcd_feature": true}, "etcdRegistry": {"etcd_ca": "b"}}"#,
                json!({"etcdRegistry.etcd_ca": "b"}),
            ),
            (r#"{"etcdRegistry.etcd_feature": true, "etcd_feature": true}"#, json!({})),
            (r#"{"users": [{"a": 1}], "\u0070ort": 3}"#, json!({"users": [{"a": 1}], "port": 3})),
        ] {
            assert_eq!(values(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, want) in [
            ("{\n \"port\":\n \"abc\"}", r#"x.json:3: key "port": want a port number (0 to 65535), got "abc""#),
            (r#"{"port": -1}"#, r#"x.json:1: key "port": want a port number (0 to 65535), got -1"#),
            (r#"{"port": {"a": 1}}"#, r#"x.json:1: key "port": want a port number (0 to 65535), got an object"#),
            (r#"{"allow": "a,b"}"#, r#"x.json:1: key "allow": want an array of strings, got "a,b""#),
            (
                "{\"etcdRegistry\": {\n\"etcd_feature\": \"true\"}}",
                r#"x.json:2: key "etcdRegistry.etcd_feature": want true or false, got "true""#,
            ),
            (r#"{"etcdRegistry": "x"}"#, r#"x.json:1: key "etcdRegistry": want an object"#),
            (r#"{"tls_verify": "x"}"#, r#"x.json:1: key "tls_verify": want one of "", "full", got "x""#),
            (r#"{"token": ["hunter2"]}"#, r#"x.json:1: key "token": want a string"#),
            ("[]", "x.json:1: want an object, got an array"),
            ("\n null", "x.json:2: want an object, got null"),
            ("", "x.json:1:0: EOF while parsing a value"),
            ("{\n \"port\": 1,\n}", "x.json:3:1: trailing comma"),
            ("{\n // why\n}", "x.json:2:2: key must be a string"),
            ("\u{feff}{}", "x.json:1:1: expected value"),
            (r#"{"alsologtostderr": ,}"#, "x.json:1:21: expected value"),
            ("{\n\"\\ud800\": 1}", "x.json:2: broken key"),
            ("{\"address\": \"\\ud800\"}", r#"x.json:1: key "address": want a string, got "\ud800""#),
        ] {
            assert_eq!(values(text), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn long_values_are_shortened() {
        let error = values(&format!(r#"{{"port": "{}"}}"#, "é".repeat(1000))).unwrap_err();
        assert!(error.chars().count() < 140 && error.ends_with("..."), "{error}");
    }

    #[test]
    fn unknown_keys_are_listed() {
        let spec = spec();
        let file = File::parse("x.json", "{\"Port\": 1,\n\"etcdRegistry\": {\"etcd_caa\": \"\"}}", &spec).unwrap();
        assert_eq!(file.unknown(), [("Port".to_owned(), 1), ("etcdRegistry.etcd_caa".to_owned(), 2)]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|\\{(\"(port|users|etcdRegistry|etcd_ca|token)\": ?[-0-9\"\\[\\]{}a-z\\\\\n]{0,9},?)*\\}") {
            let _ = values(&text);
        }

        #[test]
        fn deep_nesting_is_no_danger(depth in 1_usize..20_000) {
            let _ = values(&format!("{{\"users\": {}{}}}", "[".repeat(depth), "]".repeat(depth)));
        }
    }
}
