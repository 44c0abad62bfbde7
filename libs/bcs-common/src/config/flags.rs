//! The command line, GNU style as pflag 1.0.5 reads it (common.md 1.1), with its error texts.

use std::collections::HashMap;
use std::ffi::OsString;

use serde_json::Value;

use super::csv;
use super::number::{parse_bool, parse_int, parse_uint};
use super::option::{Kind, Opt, Spec, normalise};

/// What the command line says.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The values by the path of the option.
    pub values: HashMap<&'static str, Value>,
    pub help: bool,
    pub version: bool,
}

/// The two flags that every program has.
pub(super) fn builtin() -> [Opt; 2] {
    [
        Opt::boolean("help", false, "print this help and exit").short('h'),
        Opt::boolean("version", false, "print the version and exit"),
    ]
}

/// Parse the arguments after the program name. Positional arguments are ignored, `--` ends the flags.
///
/// The error is pflag's text, with the values of secret options left out.
pub(super) fn parse(spec: &Spec, args: impl Iterator<Item = OsString>) -> Result<Given, String> {
    let builtin = builtin();
    let mut parser = Parser { options: spec.options.iter().chain(&builtin).collect(), values: HashMap::new() };
    let mut args = args.map(|arg| {
        arg.into_string()
            .map_err(|arg| format!("argument is not valid UTF-8: {:?}", before_value(&arg.to_string_lossy())))
    });
    while let Some(arg) = args.next() {
        let arg = arg?;
        if arg == "--" {
            break;
        } else if let Some(long) = arg.strip_prefix("--") {
            parser.long(long, &mut args)?;
        } else if let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            parser.letters(letters, &mut args)?;
        }
    }
    let mut values = parser.values;
    let mut taken = |name| values.remove(name) == Some(Value::Bool(true));
    let (help, version) = (taken("help"), taken("version"));
    Ok(Given { values, help, version })
}

struct Parser<'a> {
    options: Vec<&'a Opt>,
    values: HashMap<&'static str, Value>,
}

impl<'a> Parser<'a> {
    /// `--name=value`, `--name value` or, for a bool, `--name`.
    fn long(&mut self, text: &str, rest: &mut impl Iterator<Item = Result<String, String>>) -> Result<(), String> {
        if text.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: --{}", before_value(text)));
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let opt = self.named(name).ok_or_else(|| format!("unknown flag: --{name}"))?;
        let value = match value {
            Some(value) => value,
            None if opt.kind == Kind::Bool => "true".to_owned(),
            None => rest.next().ok_or_else(|| format!("flag needs an argument: --{name}"))??,
        };
        self.set(opt, &value, opt.secret)
    }

    /// `-abc`: letters of bools, the last one may take a value: `-p8080`, `-p=8080`, `-p 8080`.
    fn letters(&mut self, text: &str, rest: &mut impl Iterator<Item = Result<String, String>>) -> Result<(), String> {
        // A secret option written with one dash is read as letters; its value is still not for printing.
        let secret = self.named(before_value(text)).is_some_and(|opt| opt.secret);
        let mut letters = text;
        while let Some(letter) = letters.chars().next() {
            let shown = if secret { before_value(letters) } else { letters };
            let unknown = || format!("unknown shorthand flag: {letter:?} in -{shown}");
            let opt = self.lettered(letter).ok_or_else(unknown)?;
            let after = letters.get(letter.len_utf8()..).unwrap_or_default();
            if let Some(value) = after.strip_prefix('=').filter(|value| !value.is_empty()) {
                return self.set(opt, value, secret || opt.secret);
            }
            if opt.kind == Kind::Bool {
                self.set(opt, "true", secret)?;
                letters = after;
                continue;
            }
            if !after.is_empty() {
                return self.set(opt, after, secret || opt.secret);
            }
            let value = rest.next().ok_or_else(|| format!("flag needs an argument: {letter:?} in -{shown}"))??;
            return self.set(opt, &value, opt.secret);
        }
        Ok(())
    }

    fn named(&self, name: &str) -> Option<&'a Opt> {
        let name = normalise(name);
        self.options.iter().copied().find(|opt| opt.flag_name().as_deref() == Some(name.as_str()))
    }

    fn lettered(&self, letter: char) -> Option<&'a Opt> {
        self.options.iter().copied().find(|opt| opt.short == Some(letter))
    }

    fn set(&mut self, opt: &Opt, text: &str, secret: bool) -> Result<(), String> {
        let mut value = value(opt, text).map_err(|reason| invalid(opt, text, &reason, secret))?;
        if let (Some(Value::Array(before)), Value::Array(new)) = (self.values.get_mut(opt.path), &mut value) {
            before.append(new);
            return Ok(());
        }
        self.values.insert(opt.path, value);
        Ok(())
    }
}

/// Everything before the value of a `name=value` argument.
fn before_value(text: &str) -> &str {
    text.split_once('=').map_or(text, |(name, _)| name)
}

fn invalid(opt: &Opt, text: &str, reason: &str, secret: bool) -> String {
    let name = opt.flag_name().unwrap_or_default();
    let flag = opt.short.map_or_else(|| format!("--{name}"), |letter| format!("-{letter}, --{name}"));
    if secret {
        return format!("invalid argument for {flag:?} flag: want {}", opt.want());
    }
    format!("invalid argument {text:?} for {flag:?} flag: {reason}")
}

/// The value of a flag or environment variable; the error is Go's text.
pub(super) fn value(opt: &Opt, text: &str) -> Result<Value, String> {
    let int = |min, max| match parse_int(text, min, max) {
        Ok(value) => Ok(Value::from(value)),
        Err(error) => Err(format!("strconv.ParseInt: parsing {text:?}: {error}")),
    };
    let uint = |max| match parse_uint(text, max) {
        Ok(value) => Ok(Value::from(value)),
        Err(error) => Err(format!("strconv.ParseUint: parsing {text:?}: {error}")),
    };
    let value = match opt.kind {
        Kind::Bool => parse_bool(text)
            .map(Value::Bool)
            .ok_or_else(|| format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))?,
        Kind::Int32 => int(i32::MIN.into(), i32::MAX.into())?,
        Kind::Int64 => int(i64::MIN, i64::MAX)?,
        Kind::Uint | Kind::Uint64 => uint(u64::MAX)?,
        Kind::Port => uint(u16::MAX.into())?,
        Kind::String => Value::from(text),
        Kind::StringList => csv::fields(text)?.into(),
        Kind::Json => serde_json::from_str(text).map_err(|error| error.to_string())?,
    };
    opt.check_choice(&value).map_err(|want| format!("want {want}"))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn spec() -> Spec {
        let options = vec![
            Opt::string("file", "", "config file").short('f'),
            Opt::port("port", 8080, "port").short('p'),
            Opt::int32("v", 0, "verbosity"),
            Opt::boolean("logtostderr", false, "to stderr"),
            Opt::boolean("quick", false, "quick").short('q'),
            Opt::string("log_dir", "./logs", "directory"),
            Opt::string("bke.mysql_dsn", "", "database").secret(),
            Opt::string("password", "", "password").secret(),
            Opt::uint("secret_number", 0, "number").secret().short('n'),
            Opt::string_list("allow", "list"),
            Opt::string("tls_verify", "", "mode").choices(&["", "full"]),
            Opt::string("hidden", "", "only in the file").file_only(),
            Opt::json("users", "users"),
        ];
        Spec { program: "bcs-x", about: "x", options }
    }

    fn run(args: &[&str]) -> Result<Value, String> {
        let given = parse(&spec(), args.iter().map(OsString::from))?;
        Ok(given
            .values
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<serde_json::Map<_, _>>()
            .into())
    }

    #[test]
    fn accepted_forms() {
        for (args, want) in [
            (&["--log_dir=a"][..], json!({"log_dir": "a"})),
            (&["--log-dir", "a"], json!({"log_dir": "a"})),
            (&["--log_dir="], json!({"log_dir": ""})),
            (&["--log_dir", "--port"], json!({"log_dir": "--port"})),
            (&["--log-dir=a=b"], json!({"log_dir": "a=b"})),
            (&["--log-dir=a", "--log_dir=b"], json!({"log_dir": "b"})),
            (&["-p", "80"], json!({"port": 80})),
            (&["-p80"], json!({"port": 80})),
            (&["-p=80"], json!({"port": 80})),
            (&["-qp", "0x50"], json!({"quick": true, "port": 80})),
            (&["-q=false"], json!({"quick": false})),
            (&["--quick", "false"], json!({"quick": true})),
            (&["--quick=F"], json!({"quick": false})),
            (&["--v", "-3"], json!({"v": -3})),
            (&["a", "-", "--v=1", "b"], json!({"v": 1})),
            (&["--v=1", "--", "--v=2", "--nonsense"], json!({"v": 1})),
            (&["--mysql-dsn=x"], json!({"bke.mysql_dsn": "x"})),
            (&["--allow=a,b", "--allow=c"], json!({"allow": ["a", "b", "c"]})),
            (&["--allow="], json!({"allow": []})),
            (&["--tls_verify=full"], json!({"tls_verify": "full"})),
            (&[], json!({})),
        ] {
            assert_eq!(run(args), Ok(want), "{args:?}");
        }
    }

    #[test]
    fn error_texts() {
        for (args, want) in [
            (&["--xyz"][..], "unknown flag: --xyz"),
            (&["--xyz=secret"], "unknown flag: --xyz"),
            (&["--hidden=1"], "unknown flag: --hidden"),
            (&["--users=[]"], "unknown flag: --users"),
            (&["--bke.mysql_dsn=1"], "unknown flag: --bke.mysql_dsn"),
            (&["-x"], "unknown shorthand flag: 'x' in -x"),
            (&["-qx1"], "unknown shorthand flag: 'x' in -x1"),
            (&["-log_dir"], "unknown shorthand flag: 'l' in -log_dir"),
            (&["-v"], "unknown shorthand flag: 'v' in -v"),
            (&["---a"], "bad flag syntax: ---a"),
            (&["--=a"], "bad flag syntax: --"),
            (&["--port"], "flag needs an argument: --port"),
            (&["-qp"], "flag needs an argument: 'p' in -p"),
            (
                &["--port=a"],
                r#"invalid argument "a" for "-p, --port" flag: strconv.ParseUint: parsing "a": invalid syntax"#,
            ),
            (&["-p="], r#"invalid argument "=" for "-p, --port" flag: strconv.ParseUint: parsing "=": invalid syntax"#),
            (
                &["--port=65536"],
                r#"invalid argument "65536" for "-p, --port" flag: strconv.ParseUint: parsing "65536": value out of range"#,
            ),
            (&["--v=x"], r#"invalid argument "x" for "--v" flag: strconv.ParseInt: parsing "x": invalid syntax"#),
            (
                &["--logtostderr=yes"],
                r#"invalid argument "yes" for "--logtostderr" flag: strconv.ParseBool: parsing "yes": invalid syntax"#,
            ),
            (&["--tls-verify=x"], r#"invalid argument "x" for "--tls-verify" flag: want one of "", "full""#),
        ] {
            assert_eq!(run(args), Err(want.to_owned()), "{args:?}");
        }
    }

    #[test]
    fn secrets_are_not_repeated() {
        for args in [
            &["--secret-number=hunter2"][..],
            &["-nhunter2"],
            &["-n=hunter2"],
            &["-mysql_dsn=hunter2"],
            &["-password=hunter2"],
            &["--=hunter2"],
        ] {
            let error = run(args).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn help_and_version() {
        let given = |args: &[&str]| parse(&spec(), args.iter().map(OsString::from)).unwrap();
        assert!(given(&["-h"]).help && given(&["--help"]).help && given(&["--version"]).version);
        assert!(!given(&["--help=false"]).help && given(&["--help=false"]).values.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn arguments_must_be_text() {
        use std::os::unix::ffi::OsStringExt;
        let arg = OsString::from_vec(b"--log_dir=\xff".to_vec());
        assert!(parse(&spec(), [arg].into_iter()).unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn never_panics(args in proptest::collection::vec("\\PC*|--?[a-z_=-]{0,9}|-[fpqné=]{0,4}", 0..5)) {
            let _ = parse(&spec(), args.into_iter().map(OsString::from));
        }
    }
}
