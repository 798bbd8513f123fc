//! Where somebody stands with a limit, as header fields: OpenAI's `x-ratelimit-*-requests` or, for its clients, Anthropic's
//! `anthropic-ratelimit-requests-*`; and the IETF's `RateLimit`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::codec::date::rfc3339;
use crate::model::wire::Tongue;

/// The requests of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which limit: `ip`, `key`, `global` …
    pub limit: &'static str,
    /// Requests it gives per minute.
    pub per_minute: u32,
    /// Requests that would be let in now.
    pub remaining: u32,
    /// When it will be as full as it gets.
    pub reset: Duration,
}

impl Standing {
    /// Writes the fields as clients of that dialect know them, unless those of another (tighter) limit stand there
    /// already.
    pub fn write(&self, headers: &mut HeaderMap, tongue: Tongue) {
        if headers.contains_key("ratelimit") {
            return;
        }
        let ([limit, remaining, reset], moment) = match tongue {
            Tongue::Anthropic => (ANTHROPIC, moment(self.reset)),
            _ => (OPENAI, spell(self.reset)),
        };
        let seconds = self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0);
        let fields = [
            (limit, self.per_minute.to_string()),
            (remaining, self.remaining.to_string()),
            (reset, moment),
            ("ratelimit-policy", format!("\"{}\";q={};w=60", self.limit, self.per_minute)),
            ("ratelimit", format!("\"{}\";r={};t={seconds}", self.limit, self.remaining)),
        ];
        for (name, value) in fields {
            let value = HeaderValue::from_str(&value).expect("digits and names of limits are visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

const OPENAI: [&str; 3] = ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const ANTHROPIC: [&str; 3] =
    ["anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"];

/// The moment that is so far away, as Anthropic writes it; never too early.
fn moment(after: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = now.saturating_add(after);
    rfc3339(then.as_secs() + u64::from(then.subsec_nanos() > 0))
}

/// A duration as OpenAI writes it: `20ms`, `1.5s`, `6m0s`.
fn spell(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = format!("{:03}", rest % 1000);
    let seconds = format!("{}.{fraction}", rest / 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    let minutes = if minutes > 0 { format!("{minutes}m") } else { String::new() };
    format!("{minutes}{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spelled_as_openai_does() {
        for (millis, text) in [(0, "0ms"), (20, "20ms"), (1000, "1s"), (1500, "1.5s"), (8640, "8.64s"), (10_000, "10s"), (360_000, "6m0s")]
        {
            assert_eq!(spell(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn the_fields_tell_the_limit_and_give_way_to_a_tighter_one() {
        let standing = Standing { limit: "ip", per_minute: 120, remaining: 7, reset: Duration::from_millis(1500) };
        let mut headers = HeaderMap::new();
        standing.write(&mut headers, Tongue::Events);
        assert_eq!(headers["ratelimit-policy"], "\"ip\";q=120;w=60");
        assert_eq!(headers["ratelimit"], "\"ip\";r=7;t=2");
        assert_eq!(headers["x-ratelimit-reset-requests"], "1.5s");
        Standing { remaining: 3, ..standing }.write(&mut headers, Tongue::Events);
        assert_eq!(headers["x-ratelimit-remaining-requests"], "7");
    }

    #[test]
    fn clients_of_anthropic_read_their_own_fields() {
        let mut headers = HeaderMap::new();
        Standing { limit: "key", per_minute: 60, remaining: 9, reset: Duration::from_secs(90) }.write(&mut headers, Tongue::Anthropic);
        let field = |name: &str| headers[format!("anthropic-ratelimit-requests-{name}")].to_str().unwrap();
        assert_eq!((field("limit"), field("remaining")), ("60", "9"));
        assert!(field("reset").ends_with('Z') && field("reset") > &*rfc3339(1_760_000_000), "{headers:?}");
        assert!(headers.contains_key("ratelimit") && !headers.contains_key("x-ratelimit-limit-requests"));
    }
}
