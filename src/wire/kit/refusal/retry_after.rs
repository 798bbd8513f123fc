//! Reads from an answer's headers when a retry may succeed. No clock is read: a date is compared
//! with the answer's own `date`.

use std::time::Duration;

use http::HeaderMap;

/// Maximum wait that is accepted from an upstream.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the larger of `retry-after` (seconds, or a date) and `retry-after-ms`, at most a day.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, "retry-after")
        .and_then(|text| self::seconds(text).or_else(|| time_until(text, headers)));
    let millis = text(headers, "retry-after-ms").and_then(|text| duration(text, 1000.0));
    seconds.max(millis).map(|after| after.min(MAX_WAIT))
}

/// Parses a number of seconds, at most a day.
pub(in crate::wire) fn seconds(text: &str) -> Option<Duration> {
    duration(text, 1.0)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Parses a number of time units, of which `units` make a second.
fn duration(text: &str, units: f64) -> Option<Duration> {
    let number = text.parse::<f64>().ok().filter(|number| !number.is_nan())?;
    // Bounded before the conversion, which fails for values that no duration can hold.
    let seconds = (number / units).min(MAX_WAIT.as_secs_f64());
    Duration::try_from_secs_f64(seconds).ok()
}

/// Returns the time from the answer's `date` to the date in `text`.
fn time_until(text: &str, headers: &HeaderMap) -> Option<Duration> {
    let then = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(self::text(headers, "date")?).ok()?;
    // A date in the past allows a retry at once.
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        retry_after(
            &pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn the_larger_header_wins() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(
            of(&[("retry-after", "1"), ("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            of(&[("retry-after", "3"), ("retry-after-ms", "1500.5")]),
            Some(Duration::from_secs(3))
        );
    }

    #[test]
    fn a_date_is_compared_with_the_answers_date() {
        let date = ("retry-after", "Wed, 21 Oct 2026 07:28:10 GMT");
        assert_eq!(
            of(&[date, ("date", "Wed, 21 Oct 2026 07:28:00 GMT")]),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            of(&[date, ("date", "Wed, 21 Oct 2026 08:00:00 GMT")]),
            Some(Duration::ZERO)
        );
        assert_eq!(of(&[date]), None);
    }

    #[test]
    fn invalid_values_are_ignored_and_large_ones_bounded() {
        for text in ["", "soon", "-1", "NaN", "1e999x"] {
            assert_eq!(of(&[("retry-after", text)]), None, "{text}");
        }
        assert_eq!(of(&[("retry-after", "1e300")]), Some(MAX_WAIT));
        assert_eq!(of(&[("retry-after-ms", "inf")]), Some(MAX_WAIT));
    }
}
