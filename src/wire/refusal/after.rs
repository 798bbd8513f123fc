//! When another try may succeed, by the answer's headers. No clock is asked: a date counts from the
//! answer's own.

use std::time::Duration;

use http::HeaderMap;

/// The longest wait that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The larger of `retry-after` (seconds, or a date) and `retry-after-ms`, at most a day.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, "retry-after")
        .and_then(|text| span(text, 1.0).or_else(|| until(text, headers)));
    let millis = text(headers, "retry-after-ms").and_then(|text| span(text, 1000.0));
    seconds.max(millis).map(|after| after.min(LONGEST))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A number of units, so many of which are a second.
fn span(text: &str, units: f64) -> Option<Duration> {
    let number = text.parse::<f64>().ok().filter(|number| !number.is_nan())?;
    let seconds = (number / units).min(LONGEST.as_secs_f64());
    Duration::try_from_secs_f64(seconds).ok()
}

/// The time from the answer's `date` to this one.
fn until(text: &str, headers: &HeaderMap) -> Option<Duration> {
    let then = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(self::text(headers, "date")?).ok()?;
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
    fn the_larger_wins() {
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
    fn a_date_counts_from_the_answers_own() {
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
    fn nonsense_is_no_time() {
        for text in ["", "soon", "-1", "NaN", "1e999x"] {
            assert_eq!(of(&[("retry-after", text)]), None, "{text}");
        }
        assert_eq!(of(&[("retry-after", "1e300")]), Some(LONGEST));
        assert_eq!(of(&[("retry-after-ms", "inf")]), Some(LONGEST));
    }
}
