//! Values that go into statements, and rows that come out.

use std::error::Error as StdError;

use chrono::{DateTime, FixedOffset, NaiveDateTime, SubsecRound, Utc};
use rusqlite::types::Value;
use sqlx::Row as _;
use sqlx::mysql::MySqlRow;

use crate::error::SqlError;
use crate::zone::Zone;

/// How times are kept in SQLite: UTC.
const SQLITE_TIME: &str = "%Y-%m-%d %H:%M:%S";

/// The value of one `?`.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// A text.
    Text(&'a str),
    /// An unsigned number.
    Uint(u32),
    /// A time; fractions of a second are cut.
    Time(DateTime<Utc>),
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Param<'_> {
    fn from(number: u32) -> Self {
        Self::Uint(number)
    }
}

impl From<DateTime<Utc>> for Param<'_> {
    fn from(time: DateTime<Utc>) -> Self {
        Self::Time(time)
    }
}

/// Whether a text has at most so many characters, as a `varchar` counts them. SQLite does not look at lengths, MySQL only
/// when it is strict: who wants both to answer alike asks this.
pub fn fits(text: &str, length: usize) -> bool {
    text.len() <= length || text.chars().count() <= length
}

/// What MySQL keeps for a time.
pub(crate) fn to_mysql_time(time: DateTime<Utc>, zone: &Zone) -> NaiveDateTime {
    zone.wall_clock(time.trunc_subsecs(0))
}

/// What SQLite keeps for a time.
pub(crate) fn to_sqlite_time(time: DateTime<Utc>) -> String {
    time.format(SQLITE_TIME).to_string()
}

/// A row of a result. Columns are numbered as in the statement, from 0.
#[derive(Debug)]
pub struct Row(Kind);

#[derive(Debug)]
enum Kind {
    MySql(MySqlRow, Zone),
    Sqlite(Vec<Value>),
}

impl Row {
    pub(crate) fn of_mysql(row: MySqlRow, zone: Zone) -> Self {
        Self(Kind::MySql(row, zone))
    }

    pub(crate) fn of_sqlite(row: Vec<Value>) -> Self {
        Self(Kind::Sqlite(row))
    }

    /// A text; NULL is empty.
    ///
    /// # Errors
    /// There is no such column, or it holds no text.
    pub fn text(&self, column: usize) -> Result<String, SqlError> {
        match &self.0 {
            Kind::MySql(row, _) => {
                let text: Option<String> = row.try_get_unchecked(column).map_err(|error| unusable(column, error))?;
                Ok(text.unwrap_or_default())
            }
            Kind::Sqlite(row) => match row.get(column) {
                Some(Value::Null) => Ok(String::new()),
                Some(Value::Text(text)) => Ok(text.clone()),
                Some(Value::Integer(number)) => Ok(number.to_string()),
                other => Err(unusable(column, kind(other))),
            },
        }
    }

    /// An unsigned number; NULL is 0.
    ///
    /// # Errors
    /// There is no such column, or it holds no number of that range.
    pub fn uint(&self, column: usize) -> Result<u32, SqlError> {
        match &self.0 {
            Kind::MySql(row, _) => {
                let number: Option<u32> = row.try_get_unchecked(column).map_err(|error| unusable(column, error))?;
                Ok(number.unwrap_or_default())
            }
            Kind::Sqlite(row) => match row.get(column) {
                Some(Value::Null) => Ok(0),
                Some(Value::Integer(number)) => u32::try_from(*number).map_err(|error| unusable(column, error)),
                other => Err(unusable(column, kind(other))),
            },
        }
    }

    /// A time with the offset of the data source's `loc`, in SQLite with that of UTC. None: NULL, the zero date of MySQL,
    /// or a text that is no time.
    ///
    /// # Errors
    /// There is no such column.
    pub fn time(&self, column: usize) -> Result<Option<DateTime<FixedOffset>>, SqlError> {
        match &self.0 {
            Kind::MySql(row, zone) => match row.try_get_unchecked::<Option<NaiveDateTime>, _>(column) {
                Ok(time) => Ok(time.map(|time| zone.moment(time))),
                Err(sqlx::Error::ColumnDecode { .. }) => Ok(None),
                Err(error) => Err(unusable(column, error)),
            },
            Kind::Sqlite(_) => Ok(parse_sqlite_time(&self.text(column)?)),
        }
    }
}

fn unusable(column: usize, source: impl Into<Box<dyn StdError + Send + Sync>>) -> SqlError {
    SqlError::Column { column, source: source.into() }
}

/// What SQLite has there instead.
fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "no such column",
        Some(Value::Null) => "NULL",
        Some(Value::Integer(_)) => "a whole number",
        Some(Value::Real(_)) => "a fraction",
        Some(Value::Text(_)) => "a text",
        Some(Value::Blob(_)) => "bytes",
    }
}

/// Also with a `T`, a fraction or an offset, as people write it by hand.
fn parse_sqlite_time(text: &str) -> Option<DateTime<FixedOffset>> {
    let with_t = text.replacen(' ', "T", 1);
    let utc = || with_t.parse::<NaiveDateTime>().ok().map(|time| time.and_utc().fixed_offset());
    DateTime::parse_from_rfc3339(&with_t).ok().or_else(utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_sqlite() {
        for (text, want) in [
            ("2026-01-02 03:04:05", Some("2026-01-02T03:04:05+00:00")),
            ("2026-01-02T03:04:05.25", Some("2026-01-02T03:04:05.250+00:00")),
            ("2026-01-02 03:04:05+08:00", Some("2026-01-02T03:04:05+08:00")),
            ("", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_sqlite_time(text).map(|time| time.to_rfc3339()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn lengths_are_characters() {
        assert!(fits("ééé", 3) && !fits("éééé", 3));
    }

    #[test]
    fn fractions_are_cut() {
        let time = "2026-01-02T03:04:05.999Z".parse().unwrap();
        assert_eq!(to_sqlite_time(time), "2026-01-02 03:04:05");
        let shanghai = Zone::parse("Asia/Shanghai").unwrap();
        assert_eq!(to_mysql_time(time, &shanghai).to_string(), "2026-01-02 11:04:05");
    }
}
