//! Reads this wire's errors: bodies of error responses, and exceptions inside a good response.
//!
//! Invariants: the name of an exception takes precedence over the status it arrived with; account
//! numbers and roles of AWS are never passed on.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::codec::lenient::Text;
use crate::model::fault::Fault;
use crate::wire::kit::refusal::fault;

/// The response header that contains the name of the exception.
const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// Texts in lower case by which the models' hosts report that a prompt is too long. All of them
/// arrive as `ValidationException`, which does not tell this case from others.
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

/// Reads a response with an error status. Proxies in front of the API answer in HTML or plain text;
/// such a body adds nothing to the status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let fields = std::str::from_utf8(body)
        .ok()
        .map(ErrorFields::parse)
        .unwrap_or_default();
    // The header is the documented place of the name; only some bodies contain it too.
    let named = headers
        .get(ERROR_TYPE_HEADER)
        .and_then(|value| value.to_str().ok())
        .map(|name| bare_name(name).to_owned());
    ErrorFields {
        name: named.filter(|name| !name.is_empty()).or(fields.name),
        ..fields
    }
    .into_fault(status, headers)
}

/// Reads an exception from a stream. Its name stands for the status it would have had.
pub(super) fn read_payload(name: &str, json: &str) -> Fault {
    let fields = ErrorFields::parse(json);
    // In a stream, the frame's header contains the name.
    let name = Some(bare_name(name))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or(fields.name);
    // An exception that is unknown here counts as a failure of the upstream.
    ErrorFields { name, ..fields }.into_fault(StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new())
}

/// Returns the bare name of an exception: `Name` for `com.amazon.coral.service#Name` and
/// `Name:http://…`.
fn bare_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

/// Returns the status that an exception stands for. The case is ignored: in streams names begin
/// with a lower-case letter.
///
/// An exceeded account quota counts as 429, not as AWS's 400: it is not a fault of the request,
/// which another target may accept.
fn status_for(name: &str) -> Option<u16> {
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
                // AWS sends some of these as 400, but only the operator can correct them.
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

/// The fields of an error that are passed on.
#[derive(Default)]
struct ErrorFields {
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

impl ErrorFields {
    /// Parses an error object; empty if `json` is not one.
    fn parse(json: &str) -> Self {
        let Ok(body) = serde_json::from_str::<Body<'_>>(json) else {
            return Self::default();
        };
        let owned = |text: Option<Text<'_>>| {
            text.map(|text| text.as_str().to_owned())
                .filter(|text| !text.is_empty())
        };
        // Some services of AWS write the field with a capital letter.
        let message = owned(body.message).or_else(|| owned(body.capital_message));
        // The model's own message tells more than AWS's generic one.
        let message = match (message, owned(body.original_message)) {
            (Some(message), Some(original)) if !message.contains(&original) => {
                Some(format!("{message}: {original}"))
            }
            (message, original) => message.or(original),
        };
        Self {
            name: owned(body.kind).map(|kind| bare_name(&kind).to_owned()),
            message,
        }
    }

    fn into_fault(self, status: StatusCode, headers: &HeaderMap) -> Fault {
        let name = self.name.as_deref().unwrap_or_default();
        // An unknown exception keeps the status it arrived with.
        let status = status_for(name)
            .and_then(|known| StatusCode::from_u16(known).ok())
            .unwrap_or(status);
        let message = self.message.map(|message| without_resource_names(&message));
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

/// Returns the error code that clients know for this exception.
fn known_code(name: &str, status: StatusCode, message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    if name.eq_ignore_ascii_case("ServiceQuotaExceededException") {
        // Unlike a rate limit, a quota does not come back with time: clients must not retry.
        Some("insufficient_quota")
    } else if status == StatusCode::BAD_REQUEST
        && TOO_LONG.iter().any(|text| message.contains(text))
    {
        Some("context_length_exceeded")
    } else {
        None
    }
}

/// Removes resource names, which contain account numbers and roles, from a message.
fn without_resource_names(message: &str) -> String {
    let word = |word: &str| {
        let (before, _) = word.split_once("arn:")?;
        // `arn:` inside a longer word, such as `learn:`, is not a resource name.
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

    fn fault_for(status: u16, named: Option<&str>, body: &str) -> Fault {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-requestid", "r-1".parse().unwrap());
        if let Some(named) = named {
            headers.insert(ERROR_TYPE_HEADER, named.parse().unwrap());
        }
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    #[test]
    fn client_errors_keep_status_and_message() {
        for (status, kind) in [
            (400, "ValidationException"),
            (404, "ResourceNotFoundException"),
        ] {
            let suffixed = format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/");
            let typed =
                format!(r#"{{"__type":"com.amazon.bedrock#{kind}","Message":"not like this"}}"#);
            for fault in [
                fault_for(status, Some(&suffixed), r#"{"message":"not like this"}"#),
                fault_for(status, None, &typed),
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
    fn a_prompt_that_is_too_long_has_the_known_code() {
        for message in [
            "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            "Input is too long for requested model.",
            "The model returned the following errors: prompt is too long: 208315 tokens > 200000 maximum",
            "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
            "input length and `max_tokens` exceed context limit: 198154 + 8192 > 200000",
        ] {
            let fault = fault_for(
                400,
                Some("ValidationException"),
                &format!(r#"{{"message":"{message}"}}"#),
            );
            assert_eq!(
                (fault.status.as_u16(), fault.client_code()),
                (400, "context_length_exceeded"),
                "{message}"
            );
        }
        assert_eq!(
            fault_for(400, None, r#"{"message":"temperature: 2 is too high"}"#).client_code(),
            "invalid_request"
        );
    }

    #[test]
    fn an_exception_means_the_same_in_a_response_and_in_a_stream() {
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
                fault_for(status, Some(kind), r#"{"message":"Sorry."}"#),
                read_payload(&small, r#"{"message":"Sorry."}"#),
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
    fn an_exceeded_account_quota_is_not_a_client_error() {
        let fault = fault_for(
            400,
            Some("ServiceQuotaExceededException"),
            r#"{"message":"Your request exceeds the service quota"}"#,
        );
        assert_eq!(
            (fault.status.as_u16(), fault.client_code(), fault.side),
            (429, "insufficient_quota", Side::Upstream)
        );
        assert!(
            !fault.retryable && !fault.ends_route(),
            "another target may accept the request"
        );
    }

    #[test]
    fn a_stream_error_contains_the_original_message() {
        let json = r#"{"message":"The model failed","originalStatusCode":500,"originalMessage":"out of memory"}"#;
        assert_eq!(
            read_payload("modelStreamErrorException", json).message,
            "the upstream failed: The model failed: out of memory"
        );
        for (name, json) in [
            ("", ""),
            ("brandNewException", "[]"),
            ("internalServerException", "{}"),
        ] {
            let fault = read_payload(name, json);
            assert_eq!(
                (fault.code, fault.retryable, fault.quotes_upstream),
                (Code::UpstreamError, true, false),
                "{name}"
            );
        }
    }

    #[test]
    fn a_body_of_another_shape_falls_back_to_the_status() {
        for body in [
            "",
            "<html>Bad Gateway</html>",
            "[]",
            r#"{"message":1}"#,
            r#"{"error":"x"}"#,
        ] {
            let fault = fault_for(502, None, body);
            assert_eq!(
                (fault.status.as_u16(), fault.message.as_str()),
                (502, "the upstream failed with status 502"),
                "{body}"
            );
        }
    }

    #[test]
    fn account_numbers_and_roles_are_removed() {
        let message = "model ID arn:aws:bedrock:us-east-1:123456789012:inference-profile/x isn't (arn:aws:iam::1:role/r) to learn:x";
        let fault = fault_for(
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
