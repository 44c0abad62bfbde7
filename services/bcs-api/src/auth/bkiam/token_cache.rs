//! The tokens of users of the IAM, in memory, and who was seen since they were written last.

use std::collections::{BTreeSet, HashMap};

use bcs_common::token;
use chrono::{DateTime, Duration, Utc};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// How long a token lasts after its user was seen.
const LIFE: Duration = Duration::hours(2);
/// Characters of the random part of a token.
const RANDOM: usize = 10;

/// A token as it is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    pub token: String,
    pub username: String,
    #[serde(default)]
    pub message: String,
    pub expire_time: DateTime<Utc>,
    pub create_time: DateTime<Utc>,
    pub update_time: DateTime<Utc>,
}

impl Record {
    /// A token for a new user: the seconds since 1970 and something random.
    pub fn new(username: &str, now: DateTime<Utc>) -> Self {
        Self {
            token: format!("{}_{}", now.timestamp(), token::generate(RANDOM)),
            username: username.to_owned(),
            message: String::new(),
            expire_time: later(now),
            create_time: now,
            update_time: now,
        }
    }

    /// The same after its user was seen again.
    pub fn extended(self, now: DateTime<Utc>) -> Self {
        Self { expire_time: later(now), update_time: now, ..self }
    }
}

fn later(now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_add_signed(LIFE).unwrap_or(now)
}

/// Tokens by user, as they were read last, and the users seen since.
#[derive(Default)]
pub(super) struct TokenCache {
    records: RwLock<HashMap<String, Record>>,
    seen: RwLock<BTreeSet<String>>,
}

impl TokenCache {
    /// The user of a token.
    pub fn user(&self, given: &str, now: DateTime<Utc>) -> Result<String, &'static str> {
        let records = self.records.read();
        let record = records.values().find(|record| token::same(&record.token, given)).ok_or("token not exists")?;
        if now > record.expire_time { Err("token expired") } else { Ok(record.username.clone()) }
    }

    /// A user called.
    pub fn see(&self, username: &str) {
        if !self.seen.read().contains(username) {
            self.seen.write().insert(username.to_owned());
        }
    }

    /// Replaces the tokens.
    pub fn replace(&self, records: Vec<Record>) {
        let records = records.into_iter().map(|record| (record.username.clone(), record)).collect();
        *self.records.write() = records;
    }

    /// The token of a user.
    pub fn of_user(&self, username: &str) -> Option<Record> {
        self.records.read().get(username).cloned()
    }

    /// Adds or replaces a token.
    pub fn put(&self, record: Record) {
        self.records.write().insert(record.username.clone(), record);
    }

    /// The users seen since the last call.
    pub fn take_seen(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.seen.write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_exactly_and_end() {
        let cache = TokenCache::default();
        let now = Utc::now();
        let record = Record::new("alice", now);
        let (seconds, random) = record.token.split_once('_').unwrap();
        assert_eq!((seconds.parse(), random.len()), (Ok(now.timestamp()), 10));
        cache.replace(vec![record.clone()]);
        assert_eq!(cache.user(&record.token, now).as_deref(), Ok("alice"));
        assert_eq!(cache.user("", now), Err("token not exists"));
        assert_eq!(cache.user(&record.token, now + Duration::hours(3)), Err("token expired"));
        let extended = record.clone().extended(now + Duration::hours(2));
        cache.put(extended);
        assert_eq!(cache.user(&record.token, now + Duration::hours(3)).as_deref(), Ok("alice"));
    }

    #[test]
    fn users_are_seen_once() {
        let cache = TokenCache::default();
        for name in ["b", "a", "b"] {
            cache.see(name);
        }
        assert_eq!(cache.take_seen().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(cache.take_seen().is_empty());
    }

    #[test]
    fn records_are_read_as_the_original_writes_them() {
        let json = r#"{"token":"1_a","username":"u","message":"","expire_time":"2026-01-02T03:04:05.123456789+08:00",
            "create_time":"2026-01-02T03:04:05Z","update_time":"2026-01-02T03:04:05Z"}"#;
        let record: Record = serde_json::from_str(json).unwrap();
        assert_eq!(record.expire_time.to_rfc3339(), "2026-01-01T19:04:05.123456789+00:00");
    }
}
