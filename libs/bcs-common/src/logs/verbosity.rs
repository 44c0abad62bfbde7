//! Which messages are written: `v` and `vmodule` (common.md 1.6).

use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};

/// The verbosity from which debug messages of BCS code are written, the original's `Debug`.
const DEBUG: i32 = 3;
/// The same for trace messages.
const TRACE: i32 = 5;
/// Libraries talk more than operators of the original are used to: they start later.
const LIBRARY_INFO: i32 = 3;
const LIBRARY_DEBUG: i32 = 8;
const LIBRARY_TRACE: i32 = 10;

/// The verbosity, changeable at run time, and its exceptions by source file.
pub(super) struct Verbosity {
    v: AtomicI32,
    modules: Vec<Module>,
}

/// `pattern=N`: files whose name without suffix matches have at least verbosity N.
struct Module {
    pattern: Vec<char>,
    v: i32,
}

impl Verbosity {
    /// The second result lists the parts of `vmodule` that are not `pattern=N`.
    pub fn new(v: i32, vmodule: &str) -> (Self, Vec<String>) {
        let (mut modules, mut bad) = (Vec::new(), Vec::new());
        for part in vmodule.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let module = part.split_once('=').and_then(|(pattern, v)| {
                let pattern: Vec<char> = pattern.trim().chars().collect();
                Some(Module { pattern, v: v.trim().parse().ok()? })
            });
            match module {
                Some(module) => modules.push(module),
                None => bad.push(part.to_owned()),
            }
        }
        (Self { v: AtomicI32::new(v), modules }, bad)
    }

    pub fn get(&self) -> i32 {
        self.v.load(Ordering::Relaxed)
    }

    pub fn set(&self, v: i32) {
        self.v.store(v, Ordering::Relaxed);
    }

    /// Is an event of this kind written? Spans never are, so they cost nothing.
    pub fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let source = metadata.module_path().unwrap_or(metadata.target());
        metadata.is_event()
            && needed(*metadata.level(), source.starts_with("bcs")).is_none_or(|v| v <= self.of(metadata.file()))
    }

    /// The level above which no event is written, whatever its source.
    pub fn most(&self) -> LevelFilter {
        let v = self.modules.iter().map(|module| module.v).fold(self.get(), i32::max);
        match v {
            TRACE.. => LevelFilter::TRACE,
            DEBUG.. => LevelFilter::DEBUG,
            _ => LevelFilter::INFO,
        }
    }

    fn of(&self, file: Option<&str>) -> i32 {
        let v = self.get();
        let Some(stem) = file.and_then(|file| Path::new(file).file_stem()?.to_str()) else {
            return v;
        };
        // The first match counts.
        let module = self.modules.iter().find(|module| matches(&module.pattern, &stem.chars().collect::<Vec<_>>()));
        module.map_or(v, |module| v.max(module.v))
    }
}

/// The verbosity that an event needs, `None` if it is always written.
fn needed(level: Level, own: bool) -> Option<i32> {
    match (level, own) {
        (Level::ERROR | Level::WARN, _) | (Level::INFO, true) => None,
        (Level::INFO, false) => Some(LIBRARY_INFO),
        (Level::DEBUG, true) => Some(DEBUG),
        (Level::DEBUG, false) => Some(LIBRARY_DEBUG),
        (Level::TRACE, true) => Some(TRACE),
        (Level::TRACE, false) => Some(LIBRARY_TRACE),
    }
}

/// Glob with `*` (any text) and `?` (any character).
fn matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), None) => matches(rest, text),
        (Some(('*', rest)), Some((_, shorter))) => matches(rest, text) || matches(pattern, shorter),
        (Some((wanted, rest)), Some((found, shorter))) => (wanted == found || *wanted == '?') && matches(rest, shorter),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let glob = |pattern: &str, text: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
        };
        for (pattern, text, want) in [
            ("server", "server", true),
            ("server", "servers", false),
            ("ser*", "server", true),
            ("*v*", "server", true),
            ("s?rver", "server", true),
            ("?", "", false),
            ("*", "", true),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn modules_raise_the_verbosity_of_their_files() {
        let (verbosity, bad) = Verbosity::new(1, "watch*=5, mod=0,broken,x=y");
        assert_eq!(bad, ["broken", "x=y"]);
        let of = |file| verbosity.of(Some(file));
        assert_eq!((of("src/watch_feed.rs"), of("src/mod.rs"), of("src/other.rs")), (5, 1, 1));
        assert_eq!((verbosity.of(None), verbosity.most()), (1, LevelFilter::TRACE));
    }

    #[test]
    fn libraries_need_more() {
        assert_eq!((needed(Level::WARN, false), needed(Level::INFO, true)), (None, None));
        assert_eq!((needed(Level::DEBUG, true), needed(Level::TRACE, true)), (Some(3), Some(5)));
        assert_eq!((needed(Level::INFO, false), needed(Level::DEBUG, false)), (Some(3), Some(8)));
    }
}
