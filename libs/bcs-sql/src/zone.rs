//! The time zone of a MySQL connection: `DATETIME` columns hold its wall clock.

use chrono::{DateTime, Duration, FixedOffset, Local, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// The zone that `loc` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// `UTC`, the default.
    Utc,
    /// `Local`: the zone of this machine.
    Local,
    /// A name of the IANA database, such as `Asia/Shanghai`.
    Named(Tz),
}

impl Zone {
    /// Reads a name; none if there is no such zone.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" => Some(Self::Utc),
            "Local" => Some(Self::Local),
            name => name.parse().ok().map(Self::Named),
        }
    }

    /// The wall clock of the zone at a moment.
    pub fn wall_clock(self, moment: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Self::Utc => moment.naive_utc(),
            Self::Local => moment.with_timezone(&Local).naive_local(),
            Self::Named(zone) => moment.with_timezone(&zone).naive_local(),
        }
    }

    /// The moment at which the zone's wall clock shows a time; the first if there are two, an hour later if there is none.
    pub fn moment(self, wall_clock: NaiveDateTime) -> DateTime<FixedOffset> {
        match self {
            Self::Utc => wall_clock.and_utc().fixed_offset(),
            Self::Local => moment_in(&Local, wall_clock),
            Self::Named(zone) => moment_in(&zone, wall_clock),
        }
    }

    /// A moment with the zone's offset.
    pub fn show(self, moment: DateTime<Utc>) -> DateTime<FixedOffset> {
        match self {
            Self::Utc => moment.fixed_offset(),
            Self::Local => moment.with_timezone(&Local).fixed_offset(),
            Self::Named(zone) => moment.with_timezone(&zone).fixed_offset(),
        }
    }
}

fn moment_in<Z: TimeZone>(zone: &Z, wall_clock: NaiveDateTime) -> DateTime<FixedOffset> {
    let found = |result: LocalResult<DateTime<Z>>| result.earliest().map(|moment| moment.fixed_offset());
    found(zone.from_local_datetime(&wall_clock))
        .or_else(|| found(zone.from_local_datetime(&wall_clock.checked_add_signed(Duration::hours(1))?)))
        .unwrap_or_else(|| wall_clock.and_utc().with_timezone(&Utc.fix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn names() {
        assert_eq!(Zone::parse("UTC"), Some(Zone::Utc));
        assert_eq!(Zone::parse(""), Some(Zone::Utc));
        assert_eq!(Zone::parse("Local"), Some(Zone::Local));
        assert_eq!(Zone::parse("Asia/Shanghai"), Some(Zone::Named(Tz::Asia__Shanghai)));
        assert_eq!(Zone::parse("Asia/Nowhere"), None);
    }

    #[test]
    fn there_and_back() {
        let moment = "2026-07-01T16:30:00Z".parse::<DateTime<Utc>>().unwrap();
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        assert_eq!(zone.wall_clock(moment), naive("2026-07-02T00:30:00"));
        assert_eq!(zone.moment(naive("2026-07-02T00:30:00")).to_rfc3339(), "2026-07-02T00:30:00+08:00");
        assert_eq!(zone.show(moment).to_rfc3339(), "2026-07-02T00:30:00+08:00");
        for zone in [Zone::Utc, Zone::Local, zone] {
            assert_eq!(zone.moment(zone.wall_clock(moment)), moment);
        }
    }

    #[test]
    fn hours_that_do_not_exist_or_exist_twice() {
        let zone = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!(zone.moment(naive("2026-03-29T02:30:00")).to_rfc3339(), "2026-03-29T03:30:00+02:00");
        assert_eq!(zone.moment(naive("2026-10-25T02:30:00")).to_rfc3339(), "2026-10-25T02:30:00+02:00");
        for edge in [NaiveDateTime::MIN, NaiveDateTime::MAX] {
            assert!((zone.moment(edge).naive_utc() - edge).abs() <= Duration::hours(2));
        }
    }
}
