//! How flags, the file and the environment become options: this service's own rules (cluster-manager.md 2.1).
//!
//! Flags are Go's (`-name v`, `--name=v`). A value in the file wins over the flag, unless it is empty or zero. Then every
//! `${NAME}` in a value becomes that environment variable.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use bcs_common::config::Exit;
use bcs_common::config::number::parse_bool;
use bcs_common::version;
use serde_json::{Map, Value};

/// Exit code of a bad command line.
const FLAG_ERROR: u8 = 2;
/// Exit code of an unusable file or value.
const CONFIG_ERROR: u8 = 1;

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Number,
}

/// An option: a flag and the same key in the file, where `_` in the flag is a step into an object.
pub(crate) struct Opt {
    /// The path in the file, joined by dots.
    pub key: &'static str,
    /// Other spellings of the flag; the first one is in the usage text. Without any the key makes the flag.
    pub flags: &'static [&'static str],
    pub kind: Kind,
    pub default: &'static str,
    pub usage: &'static str,
    /// The environment variable behind flag and file.
    pub env: Option<&'static str>,
    /// The value is never printed.
    pub secret: bool,
}

impl Opt {
    fn flag(&self) -> String {
        self.flags.first().map_or_else(|| self.key.replace('.', "_"), |flag| (*flag).to_owned())
    }

    fn is_flag(&self, name: &str) -> bool {
        if self.flags.is_empty() { self.flag() == name } else { self.flags.contains(&name) }
    }

    fn want(&self) -> &'static str {
        match self.kind {
            Kind::Text => "a string",
            Kind::Bool => "true or false",
            Kind::Number => "a number",
        }
    }
}

/// The final values by key. All have the form their kind wants.
#[derive(Debug)]
pub(crate) struct Values {
    texts: BTreeMap<&'static str, String>,
    /// Keys that a flag, the file or the environment gave a value.
    given: BTreeSet<&'static str>,
}

impl Values {
    pub(crate) fn text(&self, key: &str) -> String {
        self.texts.get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn bool(&self, key: &str) -> bool {
        self.texts.get(key).and_then(|text| parse_bool(text)).unwrap_or_default()
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, key: &str) -> Result<T, String> {
        let number = self.texts.get(key).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
        T::try_from(number).map_err(|_| format!("key {key:?}: {number} is out of range"))
    }

    /// All of them as the file has them: objects by the parts of the keys.
    pub(crate) fn to_json(&self, options: &[Opt]) -> Value {
        let mut all = Value::Object(Map::new());
        for opt in options {
            let text = self.text(opt.key);
            let value = match opt.kind {
                Kind::Text => Value::String(text),
                Kind::Bool => self.bool(opt.key).into(),
                Kind::Number => text.parse::<i64>().unwrap_or_default().into(),
            };
            let mut place = &mut all;
            for part in opt.key.split('.') {
                place = match place {
                    Value::Object(members) => members.entry(part).or_insert_with(|| Value::Object(Map::new())),
                    // No key is the beginning of another one.
                    other => other,
                };
            }
            *place = value;
        }
        all
    }

    /// Whether something else than the default decided.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.given.contains(key)
    }
}

/// Loads the values; the first argument is the program.
///
/// # Errors
/// The end of the process: `-help` and `-version` (code 0), a bad command line (2), an unusable file or value (1).
pub(crate) fn load(
    program: &str,
    options: &[Opt],
    args: impl Iterator<Item = OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Values, Exit> {
    let usage = || usage(program, options);
    let flags = match flags(options, args.skip(1)) {
        Ok(Given::Flags(flags)) => flags,
        Ok(Given::Help) => return Err(Exit { stderr: usage(), ..Exit::default() }),
        Ok(Given::Version) => return Err(Exit { stdout: version::text(), ..Exit::default() }),
        Err(error) => {
            return Err(Exit { code: FLAG_ERROR, stderr: format!("{error}\n{}", usage()), ..Exit::default() });
        }
    };
    merge(options, &flags, env).map_err(|error| Exit::failure(CONFIG_ERROR, error))
}

type Flags = BTreeMap<&'static str, String>;

#[derive(Debug)]
enum Given {
    Flags(Flags),
    Help,
    Version,
}

/// The command line as Go's `flag` package reads it: it ends at the first argument that is no flag.
fn flags(options: &[Opt], args: impl Iterator<Item = OsString>) -> Result<Given, String> {
    let mut given = Flags::new();
    let mut args = args.map(|arg| arg.into_string().map_err(|_| "an argument is not valid UTF-8".to_owned()));
    while let Some(arg) = args.next().transpose()? {
        let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|flag| !flag.is_empty())
        else {
            break;
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        if name.is_empty() || name.starts_with('-') {
            return Err(format!("bad flag syntax: -{name}"));
        }
        match name {
            "help" | "h" => return Ok(Given::Help),
            "version" => return Ok(Given::Version),
            _ => {}
        }
        let Some(opt) = options.iter().find(|opt| opt.is_flag(name)) else {
            return Err(format!("flag provided but not defined: -{name}"));
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None if opt.kind == Kind::Bool => "true".to_owned(),
            None => args.next().transpose()?.ok_or_else(|| format!("flag needs an argument: -{name}"))?,
        };
        if !value.contains("${") && checked(opt, &value).is_none() {
            let shown = if opt.secret { "" } else { value.as_str() };
            return Err(format!("invalid value {shown:?} for flag -{name}: parse error"));
        }
        given.insert(opt.key, value);
    }
    Ok(Given::Flags(given))
}

fn merge(options: &[Opt], flags: &Flags, env: impl Fn(&str) -> Option<String>) -> Result<Values, String> {
    let file = match flags.get("conf").filter(|name| !name.is_empty()) {
        Some(name) => read(name)?,
        None => Map::new(),
    };
    let mut values = Values { texts: BTreeMap::new(), given: BTreeSet::new() };
    for opt in options {
        let in_file = file_value(opt, &file)?;
        let from_env = || opt.env.and_then(&env).filter(|text| !text.is_empty());
        let given = in_file.or_else(|| flags.get(opt.key).cloned()).or_else(from_env);
        if given.is_some() {
            values.given.insert(opt.key);
        }
        let text = expand(&given.unwrap_or_else(|| opt.default.to_owned()), &env);
        let text = checked(opt, &text).ok_or_else(|| format!("key {:?}: want {}", opt.key, opt.want()))?;
        values.texts.insert(opt.key, text);
    }
    Ok(values)
}

/// The keys of a file that mean nothing, joined by dots.
pub(crate) fn unknown_keys(options: &[Opt], name: &str) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    for (key, value) in read(name)? {
        match value {
            Value::Object(members) => unknown.extend(members.keys().map(|member| format!("{key}.{member}"))),
            _ => unknown.push(key),
        }
    }
    unknown.retain(|key| !options.iter().any(|opt| opt.key == key));
    Ok(unknown)
}

fn read(name: &str) -> Result<Map<String, Value>, String> {
    let bytes = std::fs::read(name).map_err(|error| format!("conf: open {name}: {error}"))?;
    let parsed: Value = serde_json::from_slice(&bytes).map_err(|error| format!("conf: {name}: {error}"))?;
    match parsed {
        Value::Object(members) => Ok(members),
        _ => Err(format!("conf: {name}: want a JSON object")),
    }
}

/// What the file says, unless that is empty or zero. A number may come as a string.
fn file_value(opt: &Opt, file: &Map<String, Value>) -> Result<Option<String>, String> {
    let mut parts = opt.key.split('.');
    let mut value = parts.next().and_then(|key| file.get(key));
    for part in parts {
        value = value.and_then(|value| value.get(part));
    }
    let text = match (value, opt.kind) {
        (None | Some(Value::Null | Value::Bool(false)), _) => return Ok(None),
        (Some(Value::String(text)), _) => text.clone(),
        (Some(Value::Number(number)), Kind::Number | Kind::Text) => number.to_string(),
        (Some(Value::Bool(true)), Kind::Bool) => "true".to_owned(),
        _ => return Err(format!("key {:?}: want {}", opt.key, opt.want())),
    };
    Ok(Some(text).filter(|text| !text.is_empty() && (opt.kind != Kind::Number || text != "0")))
}

/// The value in the form of its kind; an empty one is zero.
fn checked(opt: &Opt, text: &str) -> Option<String> {
    match opt.kind {
        Kind::Text => Some(text.to_owned()),
        Kind::Bool if text.is_empty() => Some("false".to_owned()),
        Kind::Bool => parse_bool(text).map(|value| value.to_string()),
        Kind::Number if text.is_empty() => Some("0".to_owned()),
        Kind::Number => text.trim().parse::<i64>().ok().map(|number| number.to_string()),
    }
}

/// Replaces every `${NAME}`; an unset variable is empty.
fn expand(text: &str, env: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let length = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let (name, tail) = after.split_at(length);
        match tail.strip_prefix('}').filter(|_| !name.is_empty()) {
            Some(tail) => {
                out.push_str(&env(name).unwrap_or_default());
                rest = tail;
            }
            None => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn usage(program: &str, options: &[Opt]) -> String {
    let mut lines: Vec<String> = options
        .iter()
        .map(|opt| {
            let kind = match opt.kind {
                Kind::Text => " string",
                Kind::Bool => "",
                Kind::Number => " int",
            };
            let default = match opt.default {
                "" | "0" | "false" => String::new(),
                text if opt.secret || opt.kind == Kind::Number => format!(" (default {text})"),
                text => format!(" (default {text:?})"),
            };
            format!("  -{}{kind}\n    \t{}{default}\n", opt.flag(), opt.usage)
        })
        .collect();
    lines.push("  -version\n    \tprint the version and exit\n".to_owned());
    lines.sort();
    format!("Usage of {program}:\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: &[Opt] = &[
        Opt { flags: &["conf", "f"], ..text("conf", "") },
        text("address", "127.0.0.1"),
        Opt { kind: Kind::Number, ..text("mongo.maxpoolsize", "7") },
        Opt { kind: Kind::Bool, ..text("debug", "false") },
        Opt { secret: true, ..text("mongo.password", "") },
        Opt { env: Some("DATA"), ..text("data_dir", "./data") },
    ];

    const fn text(key: &'static str, default: &'static str) -> Opt {
        Opt { key, flags: &[], kind: Kind::Text, default, usage: "what it is", env: None, secret: false }
    }

    fn loaded(args: &[&str], file: &str) -> Result<Values, Exit> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, file).unwrap();
        let conf = [OsString::from("-conf"), path.into_os_string()];
        let args = std::iter::once("program".into()).chain(conf).chain(args.iter().map(OsString::from));
        load("program", OPTIONS, args, |name| (name == "HOST_1").then(|| "10.0.0.1".to_owned()))
    }

    #[test]
    fn the_file_wins_unless_it_says_nothing() {
        let file = r#"{"address":"","mongo":{"maxpoolsize":0},"debug":false,"Address":"x","unknown":[1]}"#;
        let values = loaded(&["--address", "flag", "-mongo_maxpoolsize=9", "-debug"], file).unwrap();
        assert_eq!((values.text("address").as_str(), values.number("mongo.maxpoolsize")), ("flag", Ok(9_u32)));
        assert!(values.bool("debug") && !values.is_given("mongo.password"));
        let file = r#"{"address":"file","mongo":{"maxpoolsize":"5"},"data_dir":"d"}"#;
        let values = loaded(&["-address=flag", "-mongo_maxpoolsize", "9"], file).unwrap();
        assert_eq!((values.text("address").as_str(), values.number("mongo.maxpoolsize")), ("file", Ok(5_u16)));
        assert_eq!((values.text("data_dir").as_str(), values.bool("debug")), ("d", false));
    }

    #[test]
    fn values_and_slips_are_told() {
        let file = r#"{"Address":"x","mongo":{"maxpoolsize":5,"pool":1},"debug":true,"other":[1]}"#;
        let values = loaded(&[], file).unwrap().to_json(OPTIONS);
        assert_eq!((&values["mongo"]["maxpoolsize"], &values["debug"]), (&5.into(), &true.into()));
        assert_eq!((&values["address"], &values["mongo"]["password"]), (&"127.0.0.1".into(), &"".into()));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, file).unwrap();
        let unknown = unknown_keys(OPTIONS, path.to_str().unwrap()).unwrap();
        assert_eq!(unknown, ["Address", "mongo.pool", "other"]);
    }

    #[test]
    fn variables_are_replaced_everywhere() {
        let values =
            loaded(&[], r#"{"address":"a-${HOST_1}-${NONE}-${-}$","mongo":{"maxpoolsize":"${NONE}"}}"#).unwrap();
        assert_eq!(values.text("address"), "a-10.0.0.1--${-}$");
        assert_eq!(values.number("mongo.maxpoolsize"), Ok(0_u64));
        assert_eq!(loaded(&["-address", "${HOST_1}"], "{}").unwrap().text("address"), "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_used_ends_the_process() {
        for (args, file, code, words) in [
            (&["-nosuch"][..], "{}", 2, "flag provided but not defined: -nosuch\nUsage of program:\n"),
            (&["-address"], "{}", 2, "flag needs an argument: -address\n"),
            (&["-debug=maybe"], "{}", 2, "invalid value \"maybe\" for flag -debug: parse error\n"),
            (&["---x"], "{}", 2, "bad flag syntax"),
            (&["-h"], "{}", 0, "Usage of program:\n"),
            (&[], "{", 1, "c.json"),
            (&[], "[]", 1, "want a JSON object"),
            (&[], r#"{"address":["a"]}"#, 1, "key \"address\": want a string\n"),
            (&[], r#"{"debug":1}"#, 1, "key \"debug\": want true or false\n"),
            (&[], r#"{"mongo":{"maxpoolsize":"x"}}"#, 1, "key \"mongo.maxpoolsize\": want a number\n"),
        ] {
            let exit = loaded(args, file).unwrap_err();
            assert!(exit.code == code && exit.stderr.contains(words), "{args:?} {file}: {exit:?}");
        }
        let missing = ["program", "--conf=/nonexistent/c.json"].map(OsString::from);
        assert_eq!(load("program", OPTIONS, missing.into_iter(), |_| None).unwrap_err().code, 1);
    }

    #[test]
    fn usage_names_every_flag() {
        let text = usage("p", OPTIONS);
        for line in ["  -address string\n    \twhat it is (default \"127.0.0.1\")\n", "  -conf string\n", "  -debug\n"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_command_line_and_file_is_read_or_refused(args in prop::collection::vec("[-=a-z_$]{0,8}", 0..4), file in "[{}\":a,0]{0,12}") {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let _ = loaded(&args, &file);
        }
    }
}
