//! One log line: the original's text form or a JSON object.

use std::fmt::{self, Write};
use std::path::Path;

use chrono::{DateTime, Local};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

use super::severity::Severity;
use crate::config::group::LogFormat;

/// Where a message comes from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub line: u32,
}

/// The message of an event and its other fields.
#[derive(Default)]
pub(super) struct Message {
    pub text: String,
    fields: Vec<(&'static str, Value)>,
}

impl Message {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.text = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { text, fields: Vec::new() }
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

/// The finished line, with its newline.
pub(super) fn render(
    format: LogFormat,
    severity: Severity,
    time: DateTime<Local>,
    source: Source<'_>,
    message: &Message,
) -> String {
    let file = Path::new(source.file).file_name().and_then(|name| name.to_str()).unwrap_or("???");
    match format {
        LogFormat::Text => {
            let mut line = String::with_capacity(64 + message.text.len());
            // Writing to a String cannot fail.
            let _ = write!(
                line,
                "{}{} {:>7} {file}:{}] ",
                severity.letter(),
                time.format("%m%d %H:%M:%S%.6f"),
                std::process::id(),
                source.line
            );
            push_body(&mut line, message);
            line.push('\n');
            line
        }
        LogFormat::Json => {
            let mut object = Map::new();
            object.insert("time".to_owned(), time.format("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string().into());
            object.insert("level".to_owned(), severity.name().into());
            object.insert("pid".to_owned(), std::process::id().into());
            object.insert("source".to_owned(), format!("{file}:{}", source.line).into());
            object.insert("message".to_owned(), message.text.trim_end().into());
            for (name, value) in &message.fields {
                object.entry(*name).or_insert_with(|| value.clone());
            }
            format!("{}\n", Value::Object(object))
        }
    }
}

fn push_body(line: &mut String, message: &Message) {
    push_visible(line, message.text.trim_end());
    for (name, value) in &message.fields {
        line.push(' ');
        line.push_str(name);
        line.push('=');
        match value {
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => push_visible(line, text),
            value => push_visible(line, &value.to_string()),
        }
    }
}

/// A message may hold what a client sent: it must not be able to forge a line or drive a terminal. Lines after the first
/// are indented, other control characters are escaped.
fn push_visible(line: &mut String, text: &str) {
    if !text.contains(char::is_control) {
        line.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\n\t"),
            '\t' => line.push('\t'),
            control if control.is_control() => line.extend(control.escape_default()),
            other => line.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn rendered(format: LogFormat, message: &Message) -> String {
        let time = Local.with_ymd_and_hms(2021, 6, 2, 14, 1, 2).unwrap() + chrono::Duration::microseconds(123_456);
        render(format, Severity::Info, time, Source { file: "a/b/server.rs", line: 45 }, message)
    }

    #[test]
    fn text_line() {
        let message = Message {
            text: "listening\n".into(),
            fields: vec![("port", 80.into()), ("name", "a".into()), ("why", "b c".into()), ("on", true.into())],
        };
        let want = format!(
            "I0602 14:01:02.123456 {:>7} server.rs:45] listening port=80 name=a why=\"b c\" on=true\n",
            std::process::id()
        );
        assert_eq!(rendered(LogFormat::Text, &message), want);
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        let message =
            Message { text: "a\nI0602 14:01:02.123456 x\r\u{1b}[2J\té".into(), fields: vec![("f", "x\ny".into())] };
        let line = rendered(LogFormat::Text, &message);
        assert!(line.ends_with("] a\n\tI0602 14:01:02.123456 x\\r\\u{1b}[2J\té f=x\n\ty\n"), "{line}");
    }

    #[test]
    fn json_line() {
        let message = Message { text: "say \"hi\"\n".into(), fields: vec![("port", 80.into()), ("level", "x".into())] };
        let line = rendered(LogFormat::Json, &message);
        assert_eq!(line.lines().count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["message"], &object["port"], &object["level"]),
            (&"say \"hi\"".into(), &80.into(), &"INFO".into())
        );
        assert_eq!(object["source"], "server.rs:45");
        assert!(object["time"].as_str().unwrap().starts_with("2021-06-02T14:01:02.123456"));
    }
}
