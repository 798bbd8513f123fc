//! What the head of an answer says of its account's limits: whether nothing remains of one, and
//! until when.
//!
//! All providers that say so do it in pairs of headers, `…remaining…` and `…reset…`, whatever else
//! is in their names: `x-ratelimit-remaining-requests` (OpenAI, Azure, Groq, xAI …),
//! `anthropic-ratelimit-input-tokens-remaining`, `x-ratelimit-remaining` (OpenRouter). No clock is
//! asked where the answer has a `date`.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Numbers from here on are no spans but seconds since 1970 …
const EPOCH_SECONDS: f64 = 1e9;
/// … and from here on milliseconds.
const EPOCH_MILLIS: f64 = 1e12;

/// How long nothing remains of a limit, by the longest of those of which nothing does; `None` where
/// all have something left, or none says when it comes back.
#[must_use]
pub fn full_for(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let spent = |name: &str, value: &http::HeaderValue| {
        name.contains("ratelimit")
            && name.contains("remaining")
            && value
                .to_str()
                .is_ok_and(|text| text.trim().parse::<f64>().is_ok_and(|left| left == 0.0))
    };
    let resets = headers
        .iter()
        .filter(|(name, value)| spent(name.as_str(), value))
        .filter_map(|(name, _)| {
            let reset = headers
                .get(name.as_str().replacen("remaining", "reset", 1))?
                .to_str()
                .ok()?;
            until(reset.trim(), headers, now)
        });
    resets.max().filter(|time| !time.is_zero())
}

/// The time to a reset, in any of its spellings.
fn until(text: &str, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            span if (0.0..EPOCH_SECONDS).contains(&span) => Duration::try_from_secs_f64(span).ok(),
            seconds if (EPOCH_SECONDS..EPOCH_MILLIS).contains(&seconds) => {
                since_epoch(seconds, headers, now)
            }
            millis if millis.is_finite() && millis > 0.0 => {
                since_epoch(millis / 1000.0, headers, now)
            }
            _ => None,
        };
    }
    if let Some(span) = span(text) {
        return Some(span);
    }
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    left(at.into(), headers, now)
}

fn since_epoch(seconds: f64, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    left(
        SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?,
        headers,
        now,
    )
}

/// From the answer's own date, or else from now, to a moment; nothing where that is past.
fn left(at: SystemTime, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = headers
        .get(http::header::DATE)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| httpdate::parse_http_date(it).ok());
    at.duration_since(date.unwrap_or(now)).ok()
}

/// A duration as Go writes it: `12ms`, `1s`, `6m0s`, `1h2m3.5s`.
fn span(text: &str) -> Option<Duration> {
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
        full_for(&headers.collect(), now).map(|time| u64::try_from(time.as_millis()).unwrap())
    }

    #[test]
    fn what_is_full_is_so_until_its_reset() {
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
    fn anthropic_names_the_moment() {
        let spent = ("anthropic-ratelimit-input-tokens-remaining", "0");
        let reset = (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-10-21T07:28:30Z",
        );
        assert_eq!(
            of(&[spent, reset]),
            Some(30_000),
            "from now, where the answer has no date"
        );
        assert_eq!(
            of(&[spent, reset, ("date", "Wed, 21 Oct 2026 07:28:10 GMT")]),
            Some(20_000)
        );
        assert_eq!(
            of(&[spent, reset, ("date", "Wed, 21 Oct 2026 08:00:00 GMT")]),
            None,
            "it is past"
        );
    }

    #[test]
    fn moments_may_be_numbers() {
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
    fn nonsense_says_nothing() {
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
            "Azure says so of nothing"
        );
        assert_eq!(
            of(&[("x-other-remaining", "0"), ("x-other-reset", "1s")]),
            None
        );
    }
}
