//! Calendar days and months in UTC, the periods of budgets and of the ledger's files.
//!
//! Times are milliseconds since 1970.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

const DAY_MS: u64 = 86_400_000;
/// Day 0, 1970-01-01, as a Julian day number.
const EPOCH: i32 = OffsetDateTime::UNIX_EPOCH.date().to_julian_day();

/// Returns the current time, milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A calendar day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// A calendar month, counted from January of the year 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

impl Day {
    /// Returns the day of a time, milliseconds since 1970.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX))
    }

    /// Returns the time from `ms` until the next day begins.
    #[must_use]
    pub const fn until_next(ms: u64) -> Duration {
        Duration::from_millis(DAY_MS - ms % DAY_MS)
    }

    /// Returns the time at which the day begins, milliseconds since 1970.
    #[must_use]
    pub const fn start_ms(self) -> u64 {
        self.0 as u64 * DAY_MS
    }

    /// Returns the month of the day.
    #[must_use]
    pub fn month(self) -> Month {
        Month::from_ms(self.start_ms())
    }
}

impl Month {
    /// Returns the month of a time, milliseconds since 1970.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        let date =
            OffsetDateTime::from_unix_timestamp(i64::try_from(ms / 1000).unwrap_or(i64::MAX))
                .map(OffsetDateTime::date);
        // A time beyond the calendar is later than every month.
        date.map_or(Self(u32::MAX), |date| {
            Self(date.year().unsigned_abs() * 12 + u32::from(u8::from(date.month())) - 1)
        })
    }

    /// Returns the time at which the month begins, or `None` beyond the range of calendars.
    #[must_use]
    pub fn start_ms(self) -> Option<u64> {
        let month = u8::try_from(self.0 % 12 + 1)
            .ok()
            .and_then(|month| time::Month::try_from(month).ok())?;
        let date = Date::from_calendar_date(i32::try_from(self.0 / 12).ok()?, month, 1).ok()?;
        u64::try_from(date.to_julian_day() - EPOCH)
            .ok()
            .map(|day| day * DAY_MS)
    }

    /// Returns the time from `ms` until the next month begins.
    #[must_use]
    pub fn until_next(ms: u64) -> Duration {
        let next = Self(Self::from_ms(ms).0.saturating_add(1)).start_ms();
        Duration::from_millis(next.unwrap_or(u64::MAX).saturating_sub(ms))
    }
}

impl fmt::Display for Month {
    /// Writes `2026-11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl fmt::Display for Day {
    /// Writes `2026-11-26`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = i32::try_from(self.0)
            .ok()
            .and_then(|day| Date::from_julian_day(day.checked_add(EPOCH)?).ok());
        // A day beyond the calendar is written as the last one with four digits.
        let (year, month, day) = date.map_or((9999, 12, 31), |date| {
            (date.year(), u8::from(date.month()), date.day())
        });
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// The error for a text that is not a day or a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a day like 2026-11-26")]
pub struct InvalidDate;

impl FromStr for Month {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        // A month is valid if its first day is.
        format!("{text}-01").parse().map(Day::month)
    }
}

impl FromStr for Day {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        // The parser of RFC 3339 accepts no sign and demands every zero.
        let midnight = OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339);
        let date = midnight.map_err(|_| InvalidDate)?.date();
        // Days before 1970 are rejected.
        u32::try_from(date.to_julian_day() - EPOCH)
            .map(Self)
            .map_err(|_| InvalidDate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the milliseconds since 1970 of a time on that day.
    fn at(day: &str, hour: u64, minute: u64) -> u64 {
        day.parse::<Day>().unwrap().start_ms() + (hour * 60 + minute) * 60_000
    }

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        for (day, month, next) in [
            ("2026-11-26", "2026-11", "2026-12-01"),
            ("2026-12-31", "2026-12", "2027-01-01"),
            ("2028-02-29", "2028-02", "2028-03-01"),
            ("2027-02-28", "2027-02", "2027-03-01"),
            ("2000-02-29", "2000-02", "2000-03-01"),
            ("1970-01-01", "1970-01", "1970-02-01"),
        ] {
            let last = at(day, 23, 59) + 59_999;
            assert_eq!(
                (
                    Day::from_ms(last).to_string(),
                    Month::from_ms(last).to_string()
                ),
                (day.to_owned(), month.to_owned())
            );
            assert_eq!(Day::until_next(last), Duration::from_millis(1));
            assert_eq!(
                Day::until_next(at(day, 0, 0)),
                Duration::from_millis(DAY_MS),
                "a whole day remains at its first moment"
            );
            assert_eq!(
                Month::until_next(last),
                Duration::from_millis(at(next, 0, 0) - last)
            );
            assert_eq!(Day::from_ms(last + 1), Day(Day::from_ms(last).0 + 1));
            assert_eq!(
                Month::from_ms(at(next, 0, 0)).start_ms(),
                Some(at(next, 0, 0))
            );
        }
        assert_eq!(
            "2028-02".parse::<Month>().unwrap(),
            Month::from_ms(at("2028-02-29", 12, 0))
        );
    }

    #[test]
    fn invalid_dates_are_rejected() {
        for text in [
            "",
            "2026-11",
            "2026-11-31",
            "2027-02-29",
            "2026-13-01",
            "26-11-01",
            "2026/11/01",
            "+026-11-01",
            "2026-11-1 ",
            "1969-12-31",
        ] {
            assert_eq!(text.parse::<Day>(), Err(InvalidDate), "{text}");
        }
        for text in ["", "2026", "2026-00", "2026-1", "x"] {
            assert_eq!(text.parse::<Month>(), Err(InvalidDate), "{text}");
        }
    }

    #[test]
    fn the_largest_time_does_not_panic() {
        let _ = (
            Day::from_ms(u64::MAX).to_string(),
            Month::from_ms(u64::MAX).to_string(),
            Month::from_ms(u64::MAX).start_ms(),
        );
        let _ = (Day::until_next(u64::MAX), Month::until_next(u64::MAX));
    }
}
