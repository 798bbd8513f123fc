//! Formats times as text, as in RFC 3339 and in UTC.

use std::num::NonZeroU8;

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

/// Written for times that formats with a year of four digits cannot express.
const LATEST: &str = "9999-12-31T23:59:59Z";

const SECONDS: EncodedConfig = precision(None);
const MILLIS: EncodedConfig = precision(NonZeroU8::new(3));

const fn precision(decimal_digits: Option<NonZeroU8>) -> EncodedConfig {
    Config::DEFAULT
        .set_time_precision(TimePrecision::Second { decimal_digits })
        .encode()
}

/// Formats a time (Unix seconds): `2026-11-25T22:41:00Z`.
#[must_use]
pub fn rfc3339(unix: u64) -> String {
    format::<SECONDS>(i128::from(unix) * 1_000_000_000)
}

/// Formats a time (Unix milliseconds): `2026-11-25T22:41:00.500Z`.
#[must_use]
pub fn rfc3339_millis(unix: u64) -> String {
    format::<MILLIS>(i128::from(unix) * 1_000_000)
}

fn format<const CONFIG: EncodedConfig>(unix_nanos: i128) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(unix_nanos)
        .ok()
        .and_then(|time| time.format(&Iso8601::<CONFIG>).ok())
        .unwrap_or_else(|| LATEST.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_767_000_000, "2025-12-29T09:20:00Z"),
            (253_402_300_799, LATEST),
            (u64::MAX, LATEST),
        ] {
            assert_eq!(rfc3339(unix), text);
        }
        for (unix, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_767_000_000_120, "2025-12-29T09:20:00.120Z"),
            (u64::MAX, LATEST),
        ] {
            assert_eq!(rfc3339_millis(unix), text);
        }
    }
}
