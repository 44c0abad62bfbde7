//! The table of options that drives flags, the config file and `--help` (common.md 1.1).

use serde_json::Value;

/// Everything a program accepts on its command line and in its config file.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The program name in the usage text, e.g. `bcs-storage`.
    pub program: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// All options. `--help` and `--version` are added to them; `file` comes from [`super::group::file`].
    pub options: Vec<Opt>,
}

/// The type of an option, named after the Go types it has to accept the values of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bool; as a flag it needs no value.
    Bool,
    /// A signed 32-bit integer.
    Int32,
    /// A signed 64-bit integer.
    Int64,
    /// A `uint`, 64 bits wide.
    Uint,
    /// A `uint64`.
    Uint64,
    /// A `uint` of which only 0–65535 can work.
    Port,
    /// A text.
    String,
    /// A JSON array of texts, a comma separated flag.
    StringList,
    /// Any JSON, only in the config file; the service's type decides (see [`super::lenient`] for its fields).
    Json,
}

/// One option: a JSON key and, unless it is only for the file, a flag.
#[derive(Clone, Debug)]
pub struct Opt {
    /// Where the value is in the config file: keys joined by dots, e.g. `etcdRegistry.etcd_feature`.
    pub path: &'static str,
    /// The type.
    pub kind: Kind,
    /// The value if neither a flag nor the file nor the environment has one. `Null`: the key is then left out.
    pub default: Value,
    /// The explanation in `--help`.
    pub usage: &'static str,
    /// The one-letter flag.
    pub short: Option<char>,
    /// The value is never printed.
    pub secret: bool,
    /// There is no flag.
    pub file_only: bool,
    /// The environment variable that comes after the file and before the default.
    pub env: Option<&'static str>,
    /// The texts that are allowed; any if empty.
    pub choices: &'static [&'static str],
}

impl Opt {
    fn new(path: &'static str, kind: Kind, default: Value, usage: &'static str) -> Self {
        let file_only = kind == Kind::Json;
        Self { path, kind, default, usage, short: None, secret: false, file_only, env: None, choices: &[] }
    }

    /// A bool.
    #[must_use]
    pub fn boolean(path: &'static str, default: bool, usage: &'static str) -> Self {
        Self::new(path, Kind::Bool, default.into(), usage)
    }

    /// A signed 32-bit integer.
    #[must_use]
    pub fn int32(path: &'static str, default: i32, usage: &'static str) -> Self {
        Self::new(path, Kind::Int32, default.into(), usage)
    }

    /// A signed 64-bit integer.
    #[must_use]
    pub fn int64(path: &'static str, default: i64, usage: &'static str) -> Self {
        Self::new(path, Kind::Int64, default.into(), usage)
    }

    /// An unsigned integer.
    #[must_use]
    pub fn uint(path: &'static str, default: u64, usage: &'static str) -> Self {
        Self::new(path, Kind::Uint, default.into(), usage)
    }

    /// An unsigned integer that the original declares as `uint64`.
    #[must_use]
    pub fn uint64(path: &'static str, default: u64, usage: &'static str) -> Self {
        Self::new(path, Kind::Uint64, default.into(), usage)
    }

    /// A TCP port.
    #[must_use]
    pub fn port(path: &'static str, default: u16, usage: &'static str) -> Self {
        Self::new(path, Kind::Port, default.into(), usage)
    }

    /// A text.
    #[must_use]
    pub fn string(path: &'static str, default: &str, usage: &'static str) -> Self {
        Self::new(path, Kind::String, default.into(), usage)
    }

    /// A list of texts, empty by default.
    #[must_use]
    pub fn string_list(path: &'static str, usage: &'static str) -> Self {
        Self::new(path, Kind::StringList, Value::Array(Vec::new()), usage)
    }

    /// Any JSON, only in the file; left out if the file has none, so its field wants `#[serde(default)]`.
    #[must_use]
    pub fn json(path: &'static str, usage: &'static str) -> Self {
        Self::new(path, Kind::Json, Value::Null, usage)
    }

    /// Give it a one-letter flag.
    #[must_use]
    pub fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Never print its value: passwords, tokens, DSNs, keys.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Take the flag away.
    #[must_use]
    pub fn file_only(mut self) -> Self {
        self.file_only = true;
        self
    }

    /// Read an environment variable if neither the command line nor the file has a value.
    #[must_use]
    pub fn env(mut self, name: &'static str) -> Self {
        self.env = Some(name);
        self
    }

    /// Allow only these texts.
    #[must_use]
    pub fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// The long flag without dashes, in the `-` form: the last key of the path.
    #[must_use]
    pub fn flag_name(&self) -> Option<String> {
        (!self.file_only).then(|| normalise(self.path.rsplit('.').next().unwrap_or_default()))
    }

    /// Refuse a text that is not among the choices; the error says what is wanted.
    pub(super) fn check_choice(&self, value: &Value) -> Result<(), String> {
        match value.as_str() {
            Some(text) if !self.choices.is_empty() && !self.choices.contains(&text) => Err(self.want()),
            _ => Ok(()),
        }
    }

    /// What the option accepts, after the word "want".
    pub(super) fn want(&self) -> String {
        if !self.choices.is_empty() {
            let quoted: Vec<_> = self.choices.iter().map(|choice| format!("{choice:?}")).collect();
            return format!("one of {}", quoted.join(", "));
        }
        self.kind.want().to_owned()
    }
}

impl Kind {
    /// What `null` in the file means: Go's zero value, not the default.
    pub(super) fn zero(self) -> Value {
        match self {
            Self::Bool => false.into(),
            Self::Int32 | Self::Int64 | Self::Uint | Self::Uint64 | Self::Port => 0.into(),
            Self::String => "".into(),
            Self::StringList => Value::Array(Vec::new()),
            Self::Json => Value::Null,
        }
    }

    /// The type's name in the usage text.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool | Self::Json => "",
            Self::Int32 => "int32",
            Self::Int64 => "int",
            Self::Uint | Self::Uint64 | Self::Port => "uint",
            Self::String => "string",
            Self::StringList => "strings",
        }
    }

    fn want(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int32 => "a 32-bit integer",
            Self::Int64 => "an integer",
            Self::Uint | Self::Uint64 => "an unsigned integer",
            Self::Port => "a port number (0 to 65535)",
            Self::String => "a string",
            Self::StringList => "an array of strings",
            Self::Json => "valid JSON",
        }
    }
}

/// `_` and `-` are the same in flag names; `-` is the printed form.
pub(super) fn normalise(flag: &str) -> String {
    flag.replace('_', "-")
}
