//! What this wire's errors mean: bodies of bad statuses, and exceptions told in a good answer.
//!
//! Invariants: an exception's name weighs more than the status it came under; accounts and roles of
//! AWS are not told.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::shape::Text;
use crate::model::fault::Fault;
use crate::wire::refusal::fault;

/// Where AWS names the exception of a refusal.
const TYPE: &str = "x-amzn-errortype";

/// How the models' hosts say that a prompt is too long, in lower case. All come as
/// `ValidationException`.
const TOO_LONG: [&str; 8] = [
    "input is too long",
    "prompt is too long",
    "input tokens exceed",
    "input token count exceeds",
    "maximum context length",
    "exceed context limit",
    "exceeds the context window",
    "too many total text bytes",
];

/// What an answer with a bad status means. What stands in front of the API answers in HTML or plain
/// text; that says no more than its status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let told = std::str::from_utf8(body)
        .ok()
        .map(Told::read)
        .unwrap_or_default();
    let named = headers
        .get(TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|name| bare(name).to_owned());
    Told {
        name: named.filter(|name| !name.is_empty()).or(told.name),
        ..told
    }
    .fault(status, headers)
}

/// What an exception in a stream means: its name stands for the status it would have had.
pub(super) fn told(name: &str, json: &str) -> Fault {
    let told = Told::read(json);
    let name = Some(bare(name))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or(told.name);
    Told { name, ..told }.fault(StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new())
}

/// An exception's name without what stands around it: `com.amazon.coral.service#Name`,
/// `Name:http://…`.
fn bare(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

/// The status an exception stands for. In streams names begin with a small letter.
///
/// A quota of the account is not the request's fault: another target may well take it.
fn status_of(name: &str) -> Option<u16> {
    const TABLE: [(&[&str], u16); 10] = [
        (
            &[
                "throttlingexception",
                "modelnotreadyexception",
                "toomanyrequestsexception",
                "servicequotaexceededexception",
            ],
            429,
        ),
        (&["serviceunavailableexception"], 503),
        (
            &[
                "internalserverexception",
                "internalfailure",
                "internalservererror",
            ],
            500,
        ),
        (&["modelerrorexception", "modelstreamerrorexception"], 424),
        (&["modeltimeoutexception"], 408),
        (&["validationexception"], 400),
        (&["resourcenotfoundexception"], 404),
        (
            &[
                "accessdeniedexception",
                "unrecognizedclientexception",
                "expiredtokenexception",
                "missingauthenticationtokenexception",
            ],
            403,
        ),
        (
            &[
                "invalidsignatureexception",
                "incompletesignatureexception",
                "incompletesignature",
                "optinrequired",
            ],
            403,
        ),
        (&["invalidclienttokenid", "notauthorized"], 403),
    ];
    let name = name.to_ascii_lowercase();
    TABLE
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()))
        .map(|(_, status)| *status)
}

/// What an error says of itself.
#[derive(Default)]
struct Told {
    name: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow, rename = "Message")]
    capital_message: Option<Text<'a>>,
    #[serde(borrow, rename = "originalMessage")]
    original_message: Option<Text<'a>>,
    #[serde(borrow, rename = "__type")]
    kind: Option<Text<'a>>,
}

impl Told {
    /// What `json` says, where it is such an object.
    fn read(json: &str) -> Self {
        let Ok(body) = serde_json::from_str::<Body<'_>>(json) else {
            return Self::default();
        };
        let owned = |text: Option<Text<'_>>| {
            text.map(|text| text.as_str().to_owned())
                .filter(|text| !text.is_empty())
        };
        let message = owned(body.message).or_else(|| owned(body.capital_message));
        let message = match (message, owned(body.original_message)) {
            (Some(message), Some(original)) if !message.contains(&original) => {
                Some(format!("{message}: {original}"))
            }
            (message, original) => message.or(original),
        };
        Self {
            name: owned(body.kind).map(|kind| bare(&kind).to_owned()),
            message,
        }
    }

    fn fault(self, status: StatusCode, headers: &HeaderMap) -> Fault {
        let name = self.name.as_deref().unwrap_or_default();
        let status = status_of(name)
            .and_then(|known| StatusCode::from_u16(known).ok())
            .unwrap_or(status);
        let message = self.message.map(|message| without_names(&message));
        let code = known_code(name, status, message.as_deref().unwrap_or_default());
        fault(
            status,
            headers,
            message,
            self.name,
            code.map(str::to_owned),
            None,
        )
    }
}

/// The code that clients know.
fn known_code(name: &str, status: StatusCode, message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    if name.eq_ignore_ascii_case("ServiceQuotaExceededException") {
        Some("insufficient_quota")
    } else if status == StatusCode::BAD_REQUEST
        && TOO_LONG.iter().any(|mark| message.contains(mark))
    {
        Some("context_length_exceeded")
    } else {
        None
    }
}

/// The message without resource names, which tell an account's number and its roles.
fn without_names(message: &str) -> String {
    let word = |word: &str| {
        let (before, _) = word.split_once("arn:")?;
        let begins = !before.ends_with(char::is_alphanumeric);
        begins.then(|| {
            format!(
                "{before}[removed]{}",
                word.strip_prefix(word.trim_end()).unwrap_or_default()
            )
        })
    };
    message
        .split_inclusive(char::is_whitespace)
        .map(|it| word(it).unwrap_or_else(|| it.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Code, Side};

    fn refuse(status: u16, named: Option<&str>, body: &str) -> Fault {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-requestid", "r-1".parse().unwrap());
        if let Some(named) = named {
            headers.insert(TYPE, named.parse().unwrap());
        }
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    #[test]
    fn the_clients_own_mistakes_keep_status_and_words() {
        for (status, kind) in [
            (400, "ValidationException"),
            (404, "ResourceNotFoundException"),
        ] {
            let suffixed = format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/");
            let typed =
                format!(r#"{{"__type":"com.amazon.bedrock#{kind}","Message":"not like this"}}"#);
            for fault in [
                refuse(status, Some(&suffixed), r#"{"message":"not like this"}"#),
                refuse(status, None, &typed),
            ] {
                assert_eq!(
                    (fault.status.as_u16(), fault.side, fault.retryable),
                    (status, Side::Client, false)
                );
                assert_eq!(
                    (fault.message.as_str(), fault.native_type.as_deref()),
                    ("not like this", Some(kind))
                );
                assert_eq!(fault.upstream_request_id.as_deref(), Some("r-1"));
            }
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_has_the_code_that_clients_know() {
        for message in [
            "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            "Input is too long for requested model.",
            "The model returned the following errors: prompt is too long: 208315 tokens > 200000 maximum",
            "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
            "input length and `max_tokens` exceed context limit: 198154 + 8192 > 200000",
        ] {
            let fault = refuse(
                400,
                Some("ValidationException"),
                &format!(r#"{{"message":"{message}"}}"#),
            );
            assert_eq!(
                (fault.status.as_u16(), fault.told_code()),
                (400, "context_length_exceeded"),
                "{message}"
            );
        }
        assert_eq!(
            refuse(400, None, r#"{"message":"temperature: 2 is too high"}"#).told_code(),
            "invalid_request"
        );
    }

    #[test]
    fn every_exception_means_the_same_by_status_and_in_the_stream() {
        for (status, kind, code, answered, retryable) in [
            (429, "ThrottlingException", Code::RateLimited, 429, true),
            (429, "ModelNotReadyException", Code::RateLimited, 429, true),
            (
                500,
                "InternalServerException",
                Code::UpstreamError,
                502,
                true,
            ),
            (
                503,
                "ServiceUnavailableException",
                Code::Overloaded,
                503,
                true,
            ),
            (408, "ModelTimeoutException", Code::UpstreamError, 502, true),
            (424, "ModelErrorException", Code::UpstreamError, 502, true),
            (
                424,
                "ModelStreamErrorException",
                Code::UpstreamError,
                502,
                true,
            ),
            (403, "AccessDeniedException", Code::UpstreamAuth, 502, false),
            (400, "ExpiredTokenException", Code::UpstreamAuth, 502, false),
            (400, "ValidationException", Code::InvalidRequest, 400, false),
        ] {
            let (first, rest) = kind.split_at(1);
            let small = first.to_ascii_lowercase() + rest;
            for fault in [
                refuse(status, Some(kind), r#"{"message":"Sorry."}"#),
                told(&small, r#"{"message":"Sorry."}"#),
            ] {
                assert_eq!(
                    (fault.code, fault.status.as_u16(), fault.retryable),
                    (code, answered, retryable),
                    "{kind}"
                );
                assert_eq!(fault.message.contains("Sorry."), code != Code::UpstreamAuth);
            }
        }
    }

    #[test]
    fn a_quota_of_the_account_is_no_fault_of_the_request() {
        let fault = refuse(
            400,
            Some("ServiceQuotaExceededException"),
            r#"{"message":"Your request exceeds the service quota"}"#,
        );
        assert_eq!(
            (fault.status.as_u16(), fault.told_code(), fault.side),
            (429, "insufficient_quota", Side::Upstream)
        );
        assert!(
            !fault.retryable && !fault.ends_route(),
            "another target may take it"
        );
    }

    #[test]
    fn a_stream_error_tells_what_the_model_said() {
        let json = r#"{"message":"The model failed","originalStatusCode":500,"originalMessage":"out of memory"}"#;
        assert_eq!(
            told("modelStreamErrorException", json).message,
            "the upstream failed: The model failed: out of memory"
        );
        for (name, json) in [
            ("", ""),
            ("brandNewException", "[]"),
            ("internalServerException", "{}"),
        ] {
            let fault = told(name, json);
            assert_eq!(
                (fault.code, fault.retryable, fault.quotes),
                (Code::UpstreamError, true, false),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_error_of_this_api_says_its_status() {
        for body in [
            "",
            "<html>Bad Gateway</html>",
            "[]",
            r#"{"message":1}"#,
            r#"{"error":"x"}"#,
        ] {
            let fault = refuse(502, None, body);
            assert_eq!(
                (fault.status.as_u16(), fault.message.as_str()),
                (502, "the upstream failed with status 502"),
                "{body}"
            );
        }
    }

    #[test]
    fn accounts_are_not_told() {
        let message = "model ID arn:aws:bedrock:us-east-1:123456789012:inference-profile/x isn't (arn:aws:iam::1:role/r) to learn:x";
        let fault = refuse(
            400,
            Some("ValidationException"),
            &format!(r#"{{"message":"{message}"}}"#),
        );
        assert_eq!(
            fault.message,
            "model ID [removed] isn't ([removed] to learn:x"
        );
    }
}
