//! The state of limits as header fields: those that clients of the dialect expect, whose names and
//! form the caller passes in, and the IETF's `RateLimit` and `RateLimit-Policy`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::codec::date::rfc3339;
use crate::model::profile::{RateHeaders, ResetForm};

/// The unit that a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Generations.
    Requests,
    /// Tokens of prompts and answers.
    Tokens,
}

/// State of one figure of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    /// Name of the limit: `ip`, `key`, `global` …
    pub limit: &'static str,
    /// Units per minute.
    pub per_minute: u32,
    /// Units available now.
    pub remaining: u32,
    /// Time until the limit is full again.
    pub reset: Duration,
}

/// The tightest limit of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitStates {
    /// The tightest limit on requests.
    pub requests: Option<LimitState>,
    /// The tightest limit on tokens. Tokens reserved for running streams do not count as remaining.
    pub tokens: Option<LimitState>,
}

impl LimitStates {
    /// Returns these states with the door's limit on requests in place of their own if it is
    /// tighter.
    #[must_use]
    pub fn tightened_by(self, door: Option<LimitState>) -> Self {
        let tighter = |door: &LimitState| {
            self.requests
                .is_none_or(|own| door.remaining < own.remaining)
        };
        Self {
            requests: door.filter(tighter).or(self.requests),
            ..self
        }
    }

    /// Writes the header fields: those with the names of `fields`, and the IETF's.
    pub fn write(&self, headers: &mut HeaderMap, fields: &RateHeaders) {
        let kinds = [(self.requests, Kind::Requests), (self.tokens, Kind::Tokens)];
        let known = kinds
            .into_iter()
            .filter_map(|(limit_state, kind)| Some((limit_state?, kind)));
        let (mut policies, mut states) = (Vec::new(), Vec::new());
        for (limit_state, kind) in known {
            limit_state.write(headers, kind, fields);
            policies.push(limit_state.policy(kind));
            states.push(limit_state.state(kind));
        }
        if !policies.is_empty() {
            put(headers, "ratelimit-policy", &policies.join(", "));
            put(headers, "ratelimit", &states.join(", "));
        }
    }
}

impl LimitState {
    fn write(&self, headers: &mut HeaderMap, kind: Kind, fields: &RateHeaders) {
        let [limit, remaining, reset] = match kind {
            Kind::Requests => fields.requests,
            Kind::Tokens => fields.tokens,
        };
        let resets = match fields.reset {
            ResetForm::Duration => openai_duration(self.reset),
            ResetForm::Timestamp => timestamp_after(self.reset),
        };
        headers.insert(HeaderName::from_static(limit), self.per_minute.into());
        headers.insert(HeaderName::from_static(remaining), self.remaining.into());
        put(headers, reset, &resets);
    }

    /// Returns an item of `RateLimit-Policy`. The IETF's registry has no unit for tokens: it is our
    /// own.
    fn policy(&self, kind: Kind) -> String {
        match kind {
            Kind::Requests => format!("\"{}\";q={};w=60", self.limit, self.per_minute),
            Kind::Tokens => format!(
                "\"{}-tokens\";q={};qu=\"sluicegate-tokens\";w=60",
                self.limit, self.per_minute
            ),
        }
    }

    fn state(&self, kind: Kind) -> String {
        let of = if kind == Kind::Tokens { "-tokens" } else { "" };
        // Rounded up: a client that waits this long is never too early.
        let seconds = self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0);
        format!("\"{}{of}\";r={};t={seconds}", self.limit, self.remaining)
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("digits and names of limits are visible ASCII");
    headers.insert(HeaderName::from_static(name), value);
}

/// Returns the time after that duration as Anthropic writes it, rounded up to a second so that it
/// is never too early.
fn timestamp_after(after: Duration) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.saturating_add(after);
    rfc3339(then.as_secs() + u64::from(then.subsec_nanos() > 0))
}

/// Formats a duration as OpenAI writes it: `20ms`, `1.5s`, `6m0s`.
fn openai_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = format!("{:03}", rest % 1000);
    let seconds = format!("{}.{fraction}", rest / 1000);
    // OpenAI writes no trailing zeros: `1s`, not `1.000s`.
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    let minutes = if minutes > 0 {
        format!("{minutes}m")
    } else {
        String::new()
    };
    format!("{minutes}{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect;
    use crate::model::wire::DialectId;

    #[test]
    fn durations_are_formatted_as_openai_does() {
        for (millis, text) in [
            (0, "0ms"),
            (20, "20ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (8640, "8.64s"),
            (10_000, "10s"),
            (360_000, "6m0s"),
        ] {
            assert_eq!(openai_duration(Duration::from_millis(millis)), text);
        }
    }

    const REQUESTS: LimitState = LimitState {
        limit: "key",
        per_minute: 60,
        remaining: 9,
        reset: Duration::from_millis(1500),
    };
    const TOKENS: LimitState = LimitState {
        limit: "team",
        per_minute: 200_000,
        remaining: 1500,
        reset: Duration::from_secs(90),
    };
    const BOTH: LimitStates = LimitStates {
        requests: Some(REQUESTS),
        tokens: Some(TOKENS),
    };

    fn written(limit_states: LimitStates, id: DialectId) -> HeaderMap {
        let mut headers = HeaderMap::new();
        limit_states.write(&mut headers, dialect::of(id).profile().rate_headers);
        headers
    }

    #[test]
    fn the_fields_report_the_tightest_limit_of_each_kind() {
        let headers = written(BOTH, DialectId::Events);
        assert_eq!(
            headers["ratelimit-policy"],
            "\"key\";q=60;w=60, \"team-tokens\";q=200000;qu=\"sluicegate-tokens\";w=60"
        );
        assert_eq!(
            headers["ratelimit"],
            "\"key\";r=9;t=2, \"team-tokens\";r=1500;t=90"
        );
        let of = |name: &str| headers[format!("x-ratelimit-{name}")].to_str().unwrap();
        assert_eq!(
            (
                of("limit-requests"),
                of("remaining-requests"),
                of("reset-requests")
            ),
            ("60", "9", "1.5s")
        );
        assert_eq!(
            (
                of("limit-tokens"),
                of("remaining-tokens"),
                of("reset-tokens")
            ),
            ("200000", "1500", "1m30s")
        );
        assert!(written(LimitStates::default(), DialectId::Events).is_empty());
    }

    #[test]
    fn a_tighter_door_replaces_the_request_limit() {
        let door = |remaining| {
            Some(LimitState {
                limit: "ip",
                remaining,
                ..REQUESTS
            })
        };
        let tightest = |remaining| {
            written(BOTH.tightened_by(door(remaining)), DialectId::Ui)["ratelimit"].clone()
        };
        assert!(tightest(8).to_str().unwrap().starts_with("\"ip\";r=8"));
        assert!(tightest(9).to_str().unwrap().starts_with("\"key\";r=9"));
        assert_eq!(
            written(LimitStates::default().tightened_by(door(7)), DialectId::Ui)["x-ratelimit-remaining-requests"],
            "7"
        );
    }

    #[test]
    fn anthropic_clients_get_their_own_fields() {
        let headers = written(BOTH, DialectId::Anthropic);
        let field = |name: &str| {
            headers[format!("anthropic-ratelimit-{name}")]
                .to_str()
                .unwrap()
        };
        assert_eq!(
            (field("requests-limit"), field("requests-remaining")),
            ("60", "9")
        );
        assert_eq!(
            (field("tokens-limit"), field("tokens-remaining")),
            ("200000", "1500")
        );
        assert!(
            field("tokens-reset").ends_with('Z')
                && field("tokens-reset") > &*rfc3339(1_760_000_000),
            "{headers:?}"
        );
        assert!(
            headers.contains_key("ratelimit")
                && !headers.contains_key("x-ratelimit-limit-requests")
        );
    }
}
