//! Instants as text: RFC 3339 in the server's local zone, as the original writes dates (storage.md 4.4).

use std::cell::Cell;

use chrono::{DateTime, FixedOffset, Local, Offset, TimeZone};

/// Zone offsets are looked up once for each quarter of an hour; no zone changes within one.
const QUARTER: i64 = 900;

/// Appends `millis` (since 1970, UTC) as `2021-06-02T10:00:00.97+08:00`: no trailing zeros, `Z` in UTC.
pub(crate) fn write_local(millis: i64, out: &mut Vec<u8>) {
    write_with_offset(millis, local_offset(millis.div_euclid(1000)), out);
}

fn local_offset(seconds: i64) -> i64 {
    thread_local!(static LAST: Cell<(i64, i64)> = const { Cell::new((i64::MIN, 0)) });
    let quarter = seconds.div_euclid(QUARTER);
    let (cached, offset) = LAST.get();
    if cached == quarter {
        return offset;
    }
    let offset = DateTime::from_timestamp(seconds, 0)
        .map_or(0, |utc| i64::from(Local.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()));
    LAST.set((quarter, offset));
    offset
}

fn write_with_offset(millis: i64, offset: i64, out: &mut Vec<u8>) {
    write_clock(millis.saturating_add(offset * 1000), b'T', out);
    if offset == 0 {
        out.push(b'Z');
    } else {
        out.push(if offset < 0 { b'-' } else { b'+' });
        push_digits(out, offset.abs() / 3600, 2);
        out.push(b':');
        push_digits(out, offset.abs() / 60 % 60, 2);
    }
}

/// Appends date and time of day with this byte in between: `2021-06-02T10:00:00.97`, without trailing zeros.
///
/// ```
/// let mut out = Vec::new();
/// bcs_docstore::time::write_clock(1_622_628_000_970, b' ', &mut out);
/// assert_eq!(out, b"2021-06-02 10:00:00.97");
/// ```
pub fn write_clock(millis: i64, between: u8, out: &mut Vec<u8>) {
    let seconds = millis.div_euclid(1000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    if (0..=9999).contains(&year) {
        push_digits(out, year, 4);
    } else {
        out.extend_from_slice(year.to_string().as_bytes());
    }
    for (sign, value) in [
        (b'-', month),
        (b'-', day),
        (between, second_of_day / 3600),
        (b':', second_of_day / 60 % 60),
        (b':', second_of_day % 60),
    ] {
        out.push(sign);
        push_digits(out, value, 2);
    }
    let fraction = millis.rem_euclid(1000);
    if fraction != 0 {
        out.push(b'.');
        push_digits(out, fraction, 3);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

fn push_digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Year, month and day of a count of days since 1970, by the calendar's 400-year cycle.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01, so that a leap day ends its year
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Nanoseconds since 1970 of a text with zone (`Z`, `±hh:mm` or `±hhmm`).
pub(crate) fn parse_nanos(text: &str) -> Option<i128> {
    let time: DateTime<FixedOffset> = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()?;
    Some(i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(millis: i64, offset: i64) -> String {
        let mut out = Vec::new();
        write_with_offset(millis, offset, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fractions_lose_their_trailing_zeros() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_622_628_000_100, 0), "2021-06-02T10:00:00.1Z");
        assert_eq!(text(1_622_628_000_970, 8 * 3600), "2021-06-02T18:00:00.97+08:00");
        assert_eq!(text(1_622_628_000_007, -(3 * 3600 + 1800)), "2021-06-02T06:30:00.007-03:30");
    }

    #[test]
    fn agrees_with_chrono_over_the_calendar() {
        for day in (-719_000..2_932_000).step_by(97) {
            let millis = day * 86_400_000 + 12_345_678;
            let expected = DateTime::from_timestamp_millis(millis).unwrap();
            assert_eq!(text(millis, 0)[..19], expected.format("%Y-%m-%dT%H:%M:%S").to_string(), "{day}");
        }
    }

    #[test]
    fn zones_are_read_with_and_without_colon() {
        let zulu = parse_nanos("2021-06-02T09:00:01Z").unwrap();
        assert_eq!(parse_nanos("2021-06-02T17:00:01+08:00"), Some(zulu));
        assert_eq!(parse_nanos("2021-06-02T17:00:01+0800"), Some(zulu));
        assert_eq!(parse_nanos("2021-06-02T09:00:01.5Z"), Some(zulu + 500_000_000));
        assert_eq!(parse_nanos("yesterday"), None);
    }
}
