//! The expected report of an upstream error, from an independent reading of the contract.

use std::time::Duration;

use serde_json::Value;

use super::{ClientAnswer, Refusal, SPARE};
use crate::rig::Dialect;

/// Text that no client may see: the secrets planted by the tests and typical parts of keys and
/// links.
const PRIVATE: [&str; 9] = [
    "sk-planted",
    "upstream-secret",
    "AKIAPLANTED",
    "AIzaSyPlanted",
    "planted.internal",
    "10.1.2.3",
    "://",
    "**",
    ".com/",
];
/// Maximum number of bytes read from an error body.
const READ: usize = 64 * 1024;
/// Longest retry delay that the proxy waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Codes that are kept for any status.
const KNOWN: [&str; 3] = [
    "context_length_exceeded",
    "insufficient_quota",
    "content_filter",
];

/// The expected report to the client.
#[derive(Debug)]
pub struct Expected {
    /// Status that the client receives.
    status: u16,
    /// Accepted codes.
    codes: Vec<String>,
    /// Message and code of the upstream's error body.
    upstream: UpstreamError,
    /// True if the client receives the upstream's message.
    quotes_upstream: bool,
    /// Number of calls to the same target.
    calls: usize,
    /// True if another target is tried.
    falls_back: bool,
    /// Retry delay that the upstream requested.
    after: Option<Duration>,
    /// True if the client may retry.
    retryable: bool,
}

/// Message, code and parameter in an error body.
#[derive(Debug, Default)]
struct UpstreamError {
    message: Option<String>,
    code: Option<String>,
    param: Option<String>,
    after: Option<Duration>,
    /// Status that the body implies, where it differs from the actual one.
    status: Option<u16>,
}

impl Expected {
    /// Returns the expected report of an upstream error.
    pub fn from_refusal(refusal: &Refusal) -> Self {
        let mut upstream = UpstreamError::parse(&refusal.body);
        let status = upstream.status.unwrap_or(refusal.status);
        // A quota of the provider account is not the request's fault: another target may accept it.
        let quota = refusal
            .headers
            .iter()
            .any(|(_, value)| value.starts_with("ServiceQuotaExceeded"));
        let status = if quota { 429 } else { status };
        upstream.code = upstream
            .code
            .or(quota.then(|| "insufficient_quota".to_owned()));
        let (client_status, code, kind) = match status {
            400 | 422 => (status, "invalid_request", Kind::Clients),
            404 => (404, "not_found", Kind::Clients),
            413 => (413, "body_too_large", Kind::Clients),
            415 => (415, "unsupported_media_type", Kind::Clients),
            401 | 402 | 403 | 407 => (502, "upstream_auth", Kind::Ours),
            429 => (429, "rate_limited", Kind::Passing),
            503 | 529 => (503, "overloaded", Kind::Passing),
            _ => (502, "upstream_error", Kind::Passing),
        };
        let known = upstream
            .code
            .clone()
            .filter(|it| KNOWN.contains(&it.as_str()) && kind != Kind::Ours);
        let own = upstream.code.clone().filter(|it| {
            kind == Kind::Clients && !it.parse::<u16>().is_ok_and(|it| (400..600).contains(&it))
        });
        let codes = match (known, own) {
            (Some(code), _) | (None, Some(code)) => vec![code],
            (None, None) if kind == Kind::Clients => [code]
                .iter()
                .chain(&KNOWN)
                .map(|it| (*it).to_owned())
                .collect(),
            (None, None) => vec![code.to_owned()],
        };
        let spent = upstream
            .code
            .as_deref()
            .is_some_and(|it| it.contains("quota"));
        let after = header_wait(refusal).max(upstream.after);
        let retryable = kind == Kind::Passing && !spent;
        let waits = after.unwrap_or_default() <= PATIENCE;
        Self {
            status: client_status,
            codes,
            quotes_upstream: kind != Kind::Ours,
            calls: if retryable && waits { 2 } else { 1 },
            falls_back: !matches!(status, 400 | 413 | 415 | 422),
            after,
            retryable,
            upstream,
        }
    }

    /// Returns the differences between the report a client received and the expected one.
    pub fn differences(
        &self,
        spared: bool,
        dialect: Dialect,
        answer: &ClientAnswer,
        calls: (usize, usize),
    ) -> Vec<String> {
        let mut found = Vec::new();
        let expected_calls = (self.calls, usize::from(spared && self.falls_back));
        if calls != expected_calls {
            found.push(format!("{calls:?} calls, not {expected_calls:?}"));
        }
        if let Some(mark) = PRIVATE.iter().find(|it| answer.all.contains(**it)) {
            found.push(format!("{mark:?} is exposed in {}", answer.all));
        }
        if spared && self.falls_back {
            let answered = answer.error.is_null()
                && answer.status.is_none_or(|it| it == 200)
                && contains_spare_answer(&answer.all);
            found.extend(
                (!answered).then(|| format!("the spare's answer was received as {}", answer.all)),
            );
            return found;
        }
        if answer.status.is_some_and(|it| it != self.status) {
            found.push(format!("status {:?}, not {}", answer.status, self.status));
        }
        if !self
            .codes
            .iter()
            .any(|it| answer.error["code"] == it.as_str())
        {
            found.push(format!(
                "code {}, not {:?}",
                answer.error["code"], self.codes
            ));
        }
        found.extend(self.message_differences(&answer.error));
        found.extend(
            answer
                .status
                .is_some()
                .then(|| self.head_differences(answer))
                .into_iter()
                .flatten(),
        );
        let in_stream = dialect == Dialect::Events && answer.status.is_none();
        if in_stream && answer.error["retryable"] != self.retryable {
            found.push(format!(
                "retryable {}, not {}",
                answer.error["retryable"], self.retryable
            ));
        }
        found
    }

    /// Compares `message` and `param`.
    fn message_differences(&self, error: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let message = error["message"].as_str().unwrap_or("");
        if message.is_empty() {
            found.push("no message".to_owned());
        }
        let client = (400..500).contains(&self.status) && self.status != 429;
        match self.upstream.message.as_deref() {
            Some(reported) if !self.quotes_upstream => found.extend(
                message
                    .contains(reported)
                    .then(|| format!("the message meant for the operator is exposed: {message}")),
            ),
            Some(reported) if reported.split_whitespace().all(is_plain) && client => {
                found.extend(
                    (message != reported)
                        .then(|| format!("{reported:?} was received as {message:?}")),
                );
            }
            Some(reported) => {
                let missing = reported
                    .split_whitespace()
                    .filter(|it| is_plain(it))
                    .find(|it| !message.contains(it));
                found.extend(
                    missing.map(|it| format!("{it:?} of {reported:?} is missing in {message:?}")),
                );
            }
            None => {}
        }
        if client
            && error.get("param").is_some()
            && error["param"].as_str() != self.upstream.param.as_deref()
        {
            found.push(format!(
                "param {}, not {:?}",
                error["param"], self.upstream.param
            ));
        }
        found
    }

    /// Compares the header fields.
    fn head_differences(&self, answer: &ClientAnswer) -> Vec<String> {
        let mut found = Vec::new();
        let number = |name: &str| answer.header(name).and_then(|it| it.parse::<u64>().ok());
        let millis = |after: Duration| u64::try_from(after.as_millis()).unwrap().max(1);
        let soon = matches!(self.status, 429 | 503);
        let wanted = self.after.map(millis).or(soon.then_some(1000));
        if number("retry-after-ms") != wanted
            || number("retry-after") != wanted.map(|it| it.div_ceil(1000))
        {
            found.push(format!(
                "retry-after {:?} and {:?}, not {wanted:?} ms",
                answer.header("retry-after"),
                answer.header("retry-after-ms")
            ));
        }
        if self.status == 429 && answer.error["limit"] != "provider" {
            found.push(format!("limit {}", answer.error["limit"]));
        }
        let retry_forbidden = answer.header("x-should-retry") == Some("false");
        if retry_forbidden != (self.calls > 1) {
            found.push(format!(
                "x-should-retry {:?} after {} calls",
                answer.header("x-should-retry"),
                self.calls
            ));
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An error of the client's request.
    Clients,
    /// An error that the operator must fix.
    Ours,
    /// A temporary error.
    Passing,
}

/// Returns true for a word that is passed on unchanged: no part of a link, a host name or a key.
fn is_plain(word: &str) -> bool {
    let long = word
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|run| run.len() >= 32);
    !long
        && !PRIVATE
            .iter()
            .chain(&[".com", "sk-", "/"])
            .any(|it| word.contains(it))
}

fn contains_spare_answer(all: &str) -> bool {
    all.contains(SPARE) || SPARE.split_inclusive(' ').all(|token| all.contains(token))
}

impl UpstreamError {
    fn parse(body: &[u8]) -> Self {
        let json = serde_json::from_slice::<Value>(body)
            .ok()
            .filter(|_| body.len() <= READ);
        let Some(json) = json else {
            return Self::default();
        };
        let json = json.get(0).cloned().unwrap_or(json);
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
        };
        let error = if json["error"].is_object() {
            &json["error"]
        } else {
            &json
        };
        let words = [&error["message"], &json["error"], &json["detail"]];
        let details = error["details"].as_array().cloned().unwrap_or_default();
        let delay = details
            .iter()
            .find_map(|it| it["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok());
        let field = details
            .iter()
            .find_map(|it| it["fieldViolations"][0]["field"].as_str());
        Self {
            message: words.into_iter().find_map(text),
            code: text(&error["code"]),
            param: text(&error["param"]).or(field.map(str::to_owned)),
            after: delay.map(Duration::from_secs_f64),
            status: details
                .iter()
                .any(|it| it["reason"] == "API_KEY_INVALID")
                .then_some(401),
        }
    }
}

/// Returns the longer of the delays in both header fields.
fn header_wait(refusal: &Refusal) -> Option<Duration> {
    let field = |name: &str| {
        refusal
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let seconds = field("retry-after")
        .and_then(|it| it.parse::<f64>().ok())
        .map(Duration::from_secs_f64);
    let millis = field("retry-after-ms")
        .and_then(|it| it.parse::<u64>().ok())
        .map(Duration::from_millis);
    // Dates in these tests are always 90 s after the `date` field.
    let date = field("retry-after")
        .filter(|it| it.contains("GMT"))
        .map(|_| Duration::from_secs(90));
    seconds.max(millis).max(date)
}
