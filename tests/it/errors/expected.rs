//! What the contract says of a refusal, by a reading of its own.

use std::time::Duration;

use serde_json::Value;

use super::{Got, Refusal, SPARE};
use crate::rig::Speech;

/// Parts of a body that no client may see: planted in what is made here, and the marks of keys and
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
/// The most of a body that is read.
const READ: usize = 64 * 1024;
/// The longest wait that is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Codes that are kept whatever the status.
const KNOWN: [&str; 3] = [
    "context_length_exceeded",
    "insufficient_quota",
    "content_filter",
];

/// What is to be told.
#[derive(Debug)]
pub struct Expected {
    /// The status a client gets.
    status: u16,
    /// The codes of which it gets one.
    codes: Vec<String>,
    /// What the upstream said, and what was its own code.
    said: Said,
    /// The upstream's words are for the client.
    quoted: bool,
    /// How often the same target is asked.
    calls: usize,
    /// Another target is asked.
    goes_on: bool,
    /// When to come back, as the upstream said.
    after: Option<Duration>,
    /// The client may well try again.
    retryable: bool,
}

/// What a body says.
#[derive(Debug, Default)]
struct Said {
    message: Option<String>,
    code: Option<String>,
    param: Option<String>,
    after: Option<Duration>,
    /// The status it should have had.
    status: Option<u16>,
}

impl Expected {
    /// What is to be told of this one.
    pub fn of(refusal: &Refusal) -> Self {
        let mut said = Said::of(&refusal.body);
        let status = said.status.unwrap_or(refusal.status);
        // A quota of the account is not the request's fault: another target may well take it.
        let quota = refusal
            .headers
            .iter()
            .any(|(_, value)| value.starts_with("ServiceQuotaExceeded"));
        let status = if quota { 429 } else { status };
        said.code = said.code.or(quota.then(|| "insufficient_quota".to_owned()));
        let (told, code, kind) = match status {
            400 | 422 => (status, "invalid_request", Kind::Clients),
            404 => (404, "not_found", Kind::Clients),
            413 => (413, "body_too_large", Kind::Clients),
            415 => (415, "unsupported_media_type", Kind::Clients),
            401 | 402 | 403 | 407 => (502, "upstream_auth", Kind::Ours),
            429 => (429, "rate_limited", Kind::Passing),
            503 | 529 => (503, "overloaded", Kind::Passing),
            _ => (502, "upstream_error", Kind::Passing),
        };
        let known = said
            .code
            .clone()
            .filter(|it| KNOWN.contains(&it.as_str()) && kind != Kind::Ours);
        let own = said.code.clone().filter(|it| {
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
        let spent = said.code.as_deref().is_some_and(|it| it.contains("quota"));
        let after = header_wait(refusal).max(said.after);
        let retryable = kind == Kind::Passing && !spent;
        let waits = after.unwrap_or_default() <= PATIENCE;
        Self {
            status: told,
            codes,
            quoted: kind != Kind::Ours,
            calls: if retryable && waits { 2 } else { 1 },
            goes_on: !matches!(status, 400 | 413 | 415 | 422),
            after,
            retryable,
            said,
        }
    }

    /// In what a client was told otherwise.
    pub fn differences(
        &self,
        spared: bool,
        speech: Speech,
        got: &Got,
        calls: (usize, usize),
    ) -> Vec<String> {
        let mut found = Vec::new();
        let asked = (self.calls, usize::from(spared && self.goes_on));
        if calls != asked {
            found.push(format!("{calls:?} calls, not {asked:?}"));
        }
        if let Some(mark) = PRIVATE.iter().find(|it| got.all.contains(**it)) {
            found.push(format!("{mark:?} is told in {}", got.all));
        }
        if spared && self.goes_on {
            let answered = got.error.is_null()
                && got.status.is_none_or(|it| it == 200)
                && says_spare(&got.all);
            found
                .extend((!answered).then(|| format!("the spare's answer was told as {}", got.all)));
            return found;
        }
        if got.status.is_some_and(|it| it != self.status) {
            found.push(format!("status {:?}, not {}", got.status, self.status));
        }
        if !self.codes.iter().any(|it| got.error["code"] == it.as_str()) {
            found.push(format!("code {}, not {:?}", got.error["code"], self.codes));
        }
        found.extend(self.words(&got.error));
        found.extend(
            got.status
                .is_some()
                .then(|| self.head(got))
                .into_iter()
                .flatten(),
        );
        let in_stream = speech == Speech::Events && got.status.is_none();
        if in_stream && got.error["retryable"] != self.retryable {
            found.push(format!(
                "retryable {}, not {}",
                got.error["retryable"], self.retryable
            ));
        }
        found
    }

    /// Message and field.
    fn words(&self, error: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let told = error["message"].as_str().unwrap_or("");
        if told.is_empty() {
            found.push("no message".to_owned());
        }
        let client = (400..500).contains(&self.status) && self.status != 429;
        match self.said.message.as_deref() {
            Some(said) if !self.quoted => found.extend(
                told.contains(said)
                    .then(|| format!("the operator's words are told: {told}")),
            ),
            Some(said) if said.split_whitespace().all(is_plain) && client => {
                found.extend((told != said).then(|| format!("{said:?} was told as {told:?}")));
            }
            Some(said) => {
                let missing = said
                    .split_whitespace()
                    .filter(|it| is_plain(it))
                    .find(|it| !told.contains(it));
                found
                    .extend(missing.map(|it| format!("{it:?} of {said:?} is missing in {told:?}")));
            }
            None => {}
        }
        if client
            && error.get("param").is_some()
            && error["param"].as_str() != self.said.param.as_deref()
        {
            found.push(format!(
                "param {}, not {:?}",
                error["param"], self.said.param
            ));
        }
        found
    }

    /// The fields of the head.
    fn head(&self, got: &Got) -> Vec<String> {
        let mut found = Vec::new();
        let number = |name: &str| got.header(name).and_then(|it| it.parse::<u64>().ok());
        let millis = |after: Duration| u64::try_from(after.as_millis()).unwrap().max(1);
        let soon = matches!(self.status, 429 | 503);
        let wanted = self.after.map(millis).or(soon.then_some(1000));
        if number("retry-after-ms") != wanted
            || number("retry-after") != wanted.map(|it| it.div_ceil(1000))
        {
            found.push(format!(
                "retry-after {:?} and {:?}, not {wanted:?} ms",
                got.header("retry-after"),
                got.header("retry-after-ms")
            ));
        }
        if self.status == 429 && got.error["limit"] != "provider" {
            found.push(format!("limit {}", got.error["limit"]));
        }
        let told_not_to = got.header("x-should-retry") == Some("false");
        if told_not_to != (self.calls > 1) {
            found.push(format!(
                "x-should-retry {:?} after {} calls",
                got.header("x-should-retry"),
                self.calls
            ));
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The client's mistake.
    Clients,
    /// The operator's to mend.
    Ours,
    /// It may pass.
    Passing,
}

/// A word that is told as it is: nothing of a link, a host or a key.
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

fn says_spare(all: &str) -> bool {
    all.contains(SPARE) || SPARE.split_inclusive(' ').all(|token| all.contains(token))
}

impl Said {
    fn of(body: &[u8]) -> Self {
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

/// The larger of what both fields say.
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
    // Dates are made so that they are 90 s after the answer's own.
    let date = field("retry-after")
        .filter(|it| it.contains("GMT"))
        .map(|_| Duration::from_secs(90));
    seconds.max(millis).max(date)
}
