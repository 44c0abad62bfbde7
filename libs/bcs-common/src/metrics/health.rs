//! Readiness of the parts of a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// What works and what does not, by part (`store`, `registry`, ...). Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Parts>>);

type Parts = BTreeMap<&'static str, Result<(), String>>;

impl Health {
    /// Without parts: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how a part is; the error text is shown to whoever asks, so it holds no secret. A part that must work
    /// before the service is ready is set to an error first.
    pub fn set(&self, part: &'static str, state: Result<(), String>) {
        self.0.lock().insert(part, state);
    }

    /// Whether no part has an error.
    pub fn is_ready(&self) -> bool {
        self.0.lock().values().all(Result::is_ok)
    }

    /// Whether all is ready, and the JSON that tells it: `{"ready":false,"parts":{"store":"ok","registry":"..."}}`.
    pub fn report(&self) -> (bool, Vec<u8>) {
        #[derive(Serialize)]
        struct Report<'a> {
            ready: bool,
            parts: BTreeMap<&'static str, &'a str>,
        }
        let parts = self.0.lock();
        let ready = parts.values().all(Result::is_ok);
        let texts = parts.iter().map(|(part, state)| (*part, state.as_ref().map_or_else(String::as_str, |()| "ok")));
        let report = Report { ready, parts: texts.collect() };
        // Strings and a bool: there is nothing that could fail.
        (ready, serde_json::to_vec(&report).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(health: &Health) -> String {
        String::from_utf8(health.report().1).unwrap()
    }

    #[test]
    fn one_bad_part_is_not_ready() {
        let health = Health::new();
        assert_eq!(json(&health), r#"{"ready":true,"parts":{}}"#);
        health.set("store", Err("no connection".to_owned()));
        health.set("queue", Ok(()));
        assert!(!health.is_ready());
        assert_eq!(json(&health), r#"{"ready":false,"parts":{"queue":"ok","store":"no connection"}}"#);
        health.clone().set("store", Ok(()));
        assert!(health.is_ready());
        assert!(health.report().0);
    }
}
