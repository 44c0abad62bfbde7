//! Times of rows.

use chrono::{DateTime, FixedOffset, SecondsFormat, SubsecRound, Utc};
use serde::{Serialize, Serializer};

/// The present, as a row can hold it: without fractions of a second.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(0)
}

/// The time of a row as JSON: RFC 3339 as Go writes it, and Go's zero time for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Option<DateTime<FixedOffset>>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_str("0001-01-01T00:00:00Z"),
            Some(time) => serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json() {
        let time = |text: &str| serde_json::to_string(&Time(text.parse().ok())).unwrap();
        assert_eq!(time("2026-01-02T03:04:05+08:00"), r#""2026-01-02T03:04:05+08:00""#);
        assert_eq!(time("2026-01-02T03:04:05Z"), r#""2026-01-02T03:04:05Z""#);
        assert_eq!(time(""), r#""0001-01-01T00:00:00Z""#);
    }
}
