//! Points in time: TOML dates with an offset, or the same form as a string.

use std::time::{Duration, SystemTime};

use toml::de::DeValue;
use toml::value::{Date, Datetime, Offset, Time};

use crate::config::node::Node;

const EXPECTED: &str = "a point in time like 2027-01-01T00:00:00Z";

/// Reads a point in time.
pub(in crate::config) fn instant(node: &Node<'_, '_>) -> Option<SystemTime> {
    let datetime = match node.value.get_ref() {
        DeValue::Datetime(datetime) => {
            node.doc.publish(node.place());
            Some(*datetime)
        }
        _ => node.text_or(EXPECTED)?.value.parse::<Datetime>().ok(),
    };
    match datetime.and_then(|datetime| Some((datetime.date?, datetime.time?, datetime.offset?))) {
        Some((date, time, offset)) => unix(date, time, offset),
        None => node.refuse_with(
            format!("expected {EXPECTED}"),
            "write date, time and offset; `Z` is UTC",
        ),
    }
}

/// Converts a date to system time. Years have four digits, so no sum here can overflow.
fn unix(date: Date, time: Time, offset: Offset) -> Option<SystemTime> {
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let of_day = i64::from(time.hour) * 3600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0));
    let seconds = days(date) * 86_400 + of_day - minutes * 60;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// Counts the days from 1970-01-01 in the Gregorian calendar. The year is taken to begin in March,
/// so that a leap day is its last day.
fn days(date: Date) -> i64 {
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> u64 {
        let datetime: Datetime = text.parse().unwrap();
        let at = unix(
            datetime.date.unwrap(),
            datetime.time.unwrap(),
            datetime.offset.unwrap(),
        )
        .unwrap();
        at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn dates_convert_to_unix_seconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2027-01-01T00:00:00Z", 1_798_761_600),
            ("2027-01-01T02:00:00+02:00", 1_798_761_600),
            ("2026-12-31T19:00:00-05:00", 1_798_761_600),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
