//! Configuration of a daemon: flags, config file, environment and defaults, with the original's rules (common.md 1.1).
//!
//! A service lists its options in a [`Spec`], mostly with the shared [`group`]s, and [`load`]s a struct that has a field for
//! each. Precedence: flag > key in the file > environment variable (only of our own keys) > default.
//!
//! ```
//! use bcs_common::config::{self, group, Opt, Spec};
//!
//! #[derive(serde::Deserialize)]
//! struct Options {
//!     #[serde(flatten)]
//!     service: group::ServiceOptions,
//!     event_max_day: i64,
//! }
//!
//! let spec = Spec {
//!     program: "bcs-storage",
//!     about: "Stores what the clusters report.",
//!     options: [group::file(), group::service(), vec![Opt::int64("event_max_day", 15, "days to keep events")]].concat(),
//! };
//! let args = ["bcs-storage", "--event-max-day=7", "-p", "50024"].map(Into::into);
//! let options: Options = config::load(&spec, args.into_iter()).map_err(|exit| exit.stderr)?;
//! assert_eq!((options.service.port, options.event_max_day), (50024, 7));
//! # Ok::<(), String>(())
//! ```

mod csv;
mod exit;
pub(crate) mod file;
mod flags;
pub mod group;
pub mod lenient;
pub mod number;
mod option;
mod similar;
mod usage;

use std::ffi::OsString;
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use exit::Exit;
pub use option::{Kind, Opt, Spec};

use file::File;
use flags::Given;

/// Exit code of a config file that cannot be read or used (common.md 9).
const CONFIG_ERROR: u8 = 1;
/// Exit code of a bad command line.
const FLAG_ERROR: u8 = 2;

/// Options and what is worth a warning once the log is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// The service's options.
    pub options: T,
    /// One line each: ignored keys of the config file that look like a slip.
    pub warnings: Vec<String>,
}

/// Load the options from the command line of the process (`std::env::args_os()`: the first argument is the program).
///
/// # Errors
/// The end of the process: `--help` and `--version` (code 0), a bad command line (2), a bad config file (1).
pub fn load<T: DeserializeOwned>(spec: &Spec, args: impl Iterator<Item = OsString>) -> Result<T, Exit> {
    load_with_warnings(spec, args).map(|loaded| loaded.options)
}

/// [`load`], with the warnings.
///
/// # Errors
/// As [`load`].
pub fn load_with_warnings<T: DeserializeOwned>(
    spec: &Spec,
    args: impl Iterator<Item = OsString>,
) -> Result<Loaded<T>, Exit> {
    load_from(spec, args, |name| std::env::var(name).ok())
}

fn load_from<T: DeserializeOwned>(
    spec: &Spec,
    args: impl Iterator<Item = OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Loaded<T>, Exit> {
    let given = flags::parse(spec, args.skip(1)).map_err(|error| flag_error(spec, &error))?;
    if given.help {
        return Err(Exit { stderr: format!("{}\n\n{}", spec.about, usage::text(spec)), ..Exit::default() });
    }
    if given.version {
        return Err(Exit { stdout: crate::version::text(), ..Exit::default() });
    }
    assemble(spec, &given, env).map_err(|error| Exit::failure(CONFIG_ERROR, error))
}

/// The original says it on both streams.
fn flag_error(spec: &Spec, error: &str) -> Exit {
    Exit { code: FLAG_ERROR, stdout: format!("{error}\n"), stderr: format!("{error}\n{}", usage::text(spec)) }
}

fn assemble<T: DeserializeOwned>(
    spec: &Spec,
    given: &Given,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Loaded<T>, String> {
    let name = given.values.get("file").and_then(Value::as_str).unwrap_or_default();
    let text = if name.is_empty() { None } else { Some(read(name)?) };
    let file = text.as_deref().map(|text| File::parse(name, text, spec)).transpose()?;
    let mut root = Map::new();
    for opt in &spec.options {
        insert(&mut root, opt, effective(opt, given, file.as_ref(), &env)?);
    }
    let options = serde_path_to_error::deserialize(Value::Object(root))
        .map_err(|error| mismatch(spec, file.as_ref(), error.path(), &error.inner().to_string()))?;
    let warnings = file.map(|file| warnings(spec, name, &file)).unwrap_or_default();
    Ok(Loaded { options, warnings })
}

fn effective(
    opt: &Opt,
    given: &Given,
    file: Option<&File<'_>>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Value, String> {
    if let Some(value) = given.values.get(opt.path) {
        return Ok(value.clone());
    }
    if let Some(value) = file.map(|file| file.value(opt)).transpose()?.flatten() {
        return Ok(value);
    }
    if let Some((name, text)) = opt.env.and_then(|name| Some((name, env(name).filter(|text| !text.is_empty())?))) {
        return flags::value(opt, &text).map_err(|_| format!("environment variable {name}: want {}", opt.want()));
    }
    Ok(opt.default.clone())
}

/// Put a value at its path. `Null` stays out: its field has a serde default.
fn insert(root: &mut Map<String, Value>, opt: &Opt, value: Value) {
    let mut object = root;
    let mut rest = opt.path;
    while let Some((parent, below)) = rest.split_once('.') {
        let inner = object.entry(parent).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        (object, rest) = (inner, below);
    }
    if !value.is_null() {
        object.insert(rest.to_owned(), value);
    }
}

fn read(name: &str) -> Result<String, String> {
    let bytes = fs::read(name).map_err(|error| {
        let call = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        format!("{call} {name}: {}", text.to_lowercase())
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        format!("{name}:{line}: not valid UTF-8")
    })
}

/// The error for a value that the service's type refuses: something inside a JSON option.
fn mismatch(spec: &Spec, file: Option<&File<'_>>, path: &serde_path_to_error::Path, message: &str) -> String {
    let text = path.to_string();
    let inside =
        |opt: &&Opt| text.strip_prefix(opt.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let opt = spec.options.iter().find(inside);
    let place = opt.and_then(|opt| file?.place(opt, path)).unwrap_or_else(|| format!("key \"{text}\": "));
    if opt.is_some_and(|opt| !opt.secret) {
        return format!("{place}{message}");
    }
    // serde repeats the refused value in front of what it expects.
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{place}want {expected}"),
        None if message.starts_with("missing field") => format!("{place}{message}"),
        None => format!("{place}unusable value"),
    }
}

fn warnings(spec: &Spec, name: &str, file: &File<'_>) -> Vec<String> {
    let unknown = file.unknown().iter();
    let similar = unknown.filter_map(|(key, line)| {
        let meant = similar::nearest(key, spec.options.iter().map(|opt| opt.path))?;
        Some(format!("{name}:{line}: key \"{key}\" is ignored; did you mean \"{meant}\"?"))
    });
    similar.collect()
}

#[cfg(test)]
mod tests;
