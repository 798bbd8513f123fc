//! Points in time: TOML dates with an offset, or the same form as a string.

use std::time::{Duration, SystemTime};

use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};
use toml::de::DeValue;
use toml::value::{Datetime, Offset};

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
    datetime
        .and_then(|it| unix(it.date?, it.time?, it.offset?))
        .or_else(|| {
            node.refuse_with(
                format!("expected {EXPECTED}"),
                "write date, time and offset; `Z` is UTC",
            )
        })
}

/// Converts a date to system time; `None` if the calendar has no such day or time.
fn unix(date: toml::value::Date, time: toml::value::Time, offset: Offset) -> Option<SystemTime> {
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let month = Month::try_from(date.month).ok()?;
    let date = Date::from_calendar_date(date.year.into(), month, date.day).ok()?;
    let minute = Time::from_hms(time.hour, time.minute, 0).ok()?;
    let offset = UtcOffset::from_whole_seconds(i32::from(minutes) * 60).ok()?;
    // TOML allows a second 60, which the type for a time of day does not.
    let second = Duration::from_secs(time.second.unwrap_or(0).into());
    SystemTime::from(PrimitiveDateTime::new(date, minute).assume_offset(offset)).checked_add(second)
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
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("2027-01-01T00:00:00.9+23:59", 1_798_675_260),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
