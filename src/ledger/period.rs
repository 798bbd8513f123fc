//! Calendar days and months, in UTC: what budgets are for, and how the ledger's files are named.
//!
//! Moments are milliseconds since 1970.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Date, OffsetDateTime};

const DAY_MS: u64 = 86_400_000;
/// What days are counted from, in Julian days: 1970-01-01.
const EPOCH: i32 = 2_440_588;

/// Now.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// A month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

impl Day {
    /// The day of that moment.
    #[must_use]
    pub fn of(ms: u64) -> Self {
        Self(u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX))
    }

    /// Until the next one begins.
    #[must_use]
    pub const fn left(ms: u64) -> Duration {
        Duration::from_millis(DAY_MS - ms % DAY_MS)
    }

    /// When it begins.
    #[must_use]
    pub const fn begin(self) -> u64 {
        self.0 as u64 * DAY_MS
    }

    /// Its month.
    #[must_use]
    pub fn month(self) -> Month {
        Month::of(self.begin())
    }
}

impl Month {
    /// The month of that moment.
    #[must_use]
    pub fn of(ms: u64) -> Self {
        let date =
            OffsetDateTime::from_unix_timestamp(i64::try_from(ms / 1000).unwrap_or(i64::MAX))
                .map(OffsetDateTime::date);
        date.map_or(Self(u32::MAX), |date| {
            Self(date.year().unsigned_abs() * 12 + u32::from(u8::from(date.month())) - 1)
        })
    }

    /// When it begins; `None` behind what calendars know.
    #[must_use]
    pub fn begin(self) -> Option<u64> {
        let month = u8::try_from(self.0 % 12 + 1)
            .ok()
            .and_then(|month| time::Month::try_from(month).ok())?;
        let date = Date::from_calendar_date(i32::try_from(self.0 / 12).ok()?, month, 1).ok()?;
        u64::try_from(date.to_julian_day() - EPOCH)
            .ok()
            .map(|day| day * DAY_MS)
    }

    /// Until the next one begins.
    #[must_use]
    pub fn left(ms: u64) -> Duration {
        let next = Self(Self::of(ms).0.saturating_add(1)).begin();
        Duration::from_millis(next.unwrap_or(u64::MAX).saturating_sub(ms))
    }
}

impl fmt::Display for Month {
    /// `2026-11`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl fmt::Display for Day {
    /// `2026-11-26`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = i32::try_from(self.0)
            .ok()
            .and_then(|day| Date::from_julian_day(day.checked_add(EPOCH)?).ok());
        let (year, month, day) = date.map_or((9999, 12, 31), |date| {
            (date.year(), u8::from(date.month()), date.day())
        });
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Why a text names no day or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a day like 2026-11-26")]
pub struct NoDay;

impl FromStr for Month {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        format!("{text}-01").parse().map(Day::month)
    }
}

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let plain = text.len() == 10
            && text.bytes().enumerate().all(|(at, b)| {
                if at == 4 || at == 7 {
                    b == b'-'
                } else {
                    b.is_ascii_digit()
                }
            });
        let mut numbers = text
            .split('-')
            .filter_map(|piece| piece.parse::<u16>().ok());
        let (Some(year), Some(month), Some(day), true) =
            (numbers.next(), numbers.next(), numbers.next(), plain)
        else {
            return Err(NoDay);
        };
        let month = u8::try_from(month)
            .ok()
            .and_then(|month| time::Month::try_from(month).ok())
            .ok_or(NoDay)?;
        let date = Date::from_calendar_date(
            i32::from(year),
            month,
            u8::try_from(day).map_err(|_| NoDay)?,
        )
        .map_err(|_| NoDay)?;
        u32::try_from(date.to_julian_day() - EPOCH)
            .map(Self)
            .map_err(|_| NoDay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a moment that day.
    fn at(day: &str, hour: u64, minute: u64) -> u64 {
        day.parse::<Day>().unwrap().begin() + (hour * 60 + minute) * 60_000
    }

    #[test]
    fn days_and_months_turn_at_midnight_in_utc() {
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
                (Day::of(last).to_string(), Month::of(last).to_string()),
                (day.to_owned(), month.to_owned())
            );
            assert_eq!(Day::left(last), Duration::from_millis(1));
            assert_eq!(
                Day::left(at(day, 0, 0)),
                Duration::from_millis(DAY_MS),
                "a whole day is left at its first moment"
            );
            assert_eq!(
                Month::left(last),
                Duration::from_millis(at(next, 0, 0) - last)
            );
            assert_eq!(Day::of(last + 1), Day(Day::of(last).0 + 1));
            assert_eq!(Month::of(at(next, 0, 0)).begin(), Some(at(next, 0, 0)));
        }
        assert_eq!(
            "2028-02".parse::<Month>().unwrap(),
            Month::of(at("2028-02-29", 12, 0))
        );
    }

    #[test]
    fn what_is_no_day_is_refused() {
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
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
        for text in ["", "2026", "2026-00", "2026-1", "x"] {
            assert_eq!(text.parse::<Month>(), Err(NoDay), "{text}");
        }
    }

    #[test]
    fn the_last_moment_is_no_panic() {
        let _ = (
            Day::of(u64::MAX).to_string(),
            Month::of(u64::MAX).to_string(),
            Month::of(u64::MAX).begin(),
        );
        let _ = (Day::left(u64::MAX), Month::left(u64::MAX));
    }
}
