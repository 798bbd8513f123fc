//! Reads the rate-limit headers of an answer: whether a limit of the provider is exhausted, and
//! for how long.
//!
//! All providers that report limits use pairs of headers whose names differ only in `remaining` and
//! `reset`: `x-ratelimit-remaining-requests` (OpenAI, Azure, Groq, xAI …),
//! `anthropic-ratelimit-input-tokens-remaining`, `x-ratelimit-remaining` (OpenRouter). If the
//! answer has a `date`, times are computed from it and no clock is read.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Smallest number that is read as seconds since 1970 rather than as a duration in seconds.
const EPOCH_SECONDS: f64 = 1e9;
/// Smallest number that is read as milliseconds since 1970.
const EPOCH_MILLIS: f64 = 1e12;

/// Returns the time until every exhausted limit is available again: the longest reset time of the
/// limits with nothing remaining. Returns `None` if no limit is exhausted or none has a reset time.
#[must_use]
pub fn exhausted_for(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let is_exhausted = |name: &str, value: &http::HeaderValue| {
        name.contains("ratelimit")
            && name.contains("remaining")
            && value
                .to_str()
                .is_ok_and(|text| text.trim().parse::<f64>().is_ok_and(|left| left == 0.0))
    };
    let resets = headers
        .iter()
        .filter(|(name, value)| is_exhausted(name.as_str(), value))
        .filter_map(|(name, _)| {
            let reset = headers
                .get(name.as_str().replacen("remaining", "reset", 1))?
                .to_str()
                .ok()?;
            until(reset.trim(), headers, now)
        });
    // The request needs all limits. A reset of zero means that the limit is available again.
    resets.max().filter(|time| !time.is_zero())
}

/// Parses a reset time in any of its formats and returns the time until then.
fn until(text: &str, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            duration if (0.0..EPOCH_SECONDS).contains(&duration) => {
                Duration::try_from_secs_f64(duration).ok()
            }
            seconds if (EPOCH_SECONDS..EPOCH_MILLIS).contains(&seconds) => {
                since_epoch(seconds, headers, now)
            }
            millis if millis.is_finite() && millis > 0.0 => {
                since_epoch(millis / 1000.0, headers, now)
            }
            _ => None,
        };
    }
    if let Some(duration) = go_duration(text) {
        return Some(duration);
    }
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    time_until(at.into(), headers, now)
}

fn since_epoch(seconds: f64, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    time_until(
        SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?,
        headers,
        now,
    )
}

/// Returns the time from the answer's own `date`, or else from `now`, until a moment. Returns
/// `None` if the moment has passed.
fn time_until(at: SystemTime, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    // The server's own clock made the reset time, so that a wrong local clock does not matter.
    let date = headers
        .get(http::header::DATE)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| httpdate::parse_http_date(it).ok());
    at.duration_since(date.unwrap_or(now)).ok()
}

/// Parses a duration in Go's format: `12ms`, `1s`, `6m0s`, `1h2m3.5s`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|at| *at > 0)?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let unit = match unit {
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let headers = pairs.iter().map(|(name, value)| {
            (
                name.parse().unwrap(),
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        });
        exhausted_for(&headers.collect(), now).map(|time| u64::try_from(time.as_millis()).unwrap())
    }

    #[test]
    fn an_exhausted_limit_lasts_until_its_reset() {
        let requests = ("x-ratelimit-remaining-requests", "0");
        for (reset, millis) in [
            ("12ms", 12),
            ("1s", 1000),
            ("6m0s", 360_000),
            ("1h2m3.5s", 3_723_500),
            ("2m59.56s", 179_560),
            ("20", 20_000),
        ] {
            assert_eq!(
                of(&[requests, ("x-ratelimit-reset-requests", reset)]),
                Some(millis),
                "{reset}"
            );
        }
        assert_eq!(
            of(&[
                ("x-ratelimit-remaining-requests", "1"),
                ("x-ratelimit-reset-requests", "6m0s")
            ]),
            None
        );
        let tokens = [
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "2s"),
        ];
        assert_eq!(
            of(&[
                &[requests, ("x-ratelimit-reset-requests", "1s")][..],
                &tokens
            ]
            .concat()),
            Some(2000),
            "the longer of two"
        );
    }

    #[test]
    fn anthropic_sends_a_timestamp() {
        let spent = ("anthropic-ratelimit-input-tokens-remaining", "0");
        let reset = (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-10-21T07:28:30Z",
        );
        assert_eq!(
            of(&[spent, reset]),
            Some(30_000),
            "measured from now if the answer has no date"
        );
        assert_eq!(
            of(&[spent, reset, ("date", "Wed, 21 Oct 2026 07:28:10 GMT")]),
            Some(20_000)
        );
        assert_eq!(
            of(&[spent, reset, ("date", "Wed, 21 Oct 2026 08:00:00 GMT")]),
            None,
            "the reset time has passed"
        );
    }

    #[test]
    fn timestamps_may_be_numbers() {
        let spent = ("x-ratelimit-remaining", "0");
        let then = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:05 GMT").unwrap();
        let seconds = then
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert_eq!(
            of(&[spent, ("x-ratelimit-reset", &seconds.to_string())]),
            Some(5000)
        );
        assert_eq!(
            of(&[spent, ("x-ratelimit-reset", &(seconds * 1000).to_string())]),
            Some(5000)
        );
    }

    #[test]
    fn invalid_values_are_ignored() {
        assert_eq!(of(&[("x-ratelimit-remaining-requests", "0")]), None);
        for reset in [
            "", "-1", "0", "0s", "soon", "1x", "s", "1.2.3s", "NaN", "inf", "-inf", "1e400", "..",
            "12µ",
        ] {
            assert_eq!(
                of(&[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", reset)
                ]),
                None,
                "{reset}"
            );
        }
        assert_eq!(
            of(&[
                ("x-ratelimit-remaining-requests", "-1"),
                ("x-ratelimit-reset-requests", "1s")
            ]),
            None,
            "a negative count is not an exhausted limit: Azure sends -1"
        );
        assert_eq!(
            of(&[("x-other-remaining", "0"), ("x-other-reset", "1s")]),
            None
        );
    }
}
