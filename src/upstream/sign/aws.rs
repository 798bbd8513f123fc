//! AWS Signature Version 4.
//!
//! The signature covers the method, the path as sent, the query, the body, and the headers that AWS
//! checks: `host`, `content-type` and `x-amz*`. Other headers that an operator adds are not signed,
//! so a proxy on the way may change them.

use std::time::SystemTime;

use aws_credential_types::Credentials as Keys;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, sign as calculate_signature,
};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderName, HeaderValue, header};
use reqwest::Request;

/// The scope of a signature.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream) struct Scope<'a> {
    /// The region, for example `us-east-1`.
    pub(in crate::upstream) region: &'a str,
    /// The service, for example `bedrock`.
    pub(in crate::upstream) service: &'a str,
}

/// The reason why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(in crate::upstream) enum SignError {
    #[error("header `{0}` contains characters that cannot be signed: remove them")]
    Header(HeaderName),
    #[error("check its `region` and `base_url`")]
    Request,
}

/// Headers set by the signature; existing values are removed.
const SIGNATURE_HEADERS: [&str; 4] = [
    "authorization",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Signs a request with an in-memory body, as of `now`.
///
/// # Errors
/// Returns an error when the request contains something that cannot be signed.
pub(in crate::upstream) fn sign(
    request: &mut Request,
    keys: &Keys,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<(), SignError> {
    for name in SIGNATURE_HEADERS {
        request.headers_mut().remove(name);
    }
    // The library logs what it signs, session tokens included, at level `trace`. Sign without a
    // subscriber.
    let signed = tracing::dispatcher::with_default(&tracing::Dispatch::none(), || {
        signature(request, keys, scope, now)
    })?;
    request.headers_mut().extend(signed);
    Ok(())
}

fn signature(
    request: &Request,
    keys: &Keys,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
    let body = request
        .body()
        .and_then(reqwest::Body::as_bytes)
        .unwrap_or_default();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().as_str(),
        signed_headers(request)?.into_iter(),
        SignableBody::Bytes(body),
    );
    let identity = keys.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(now);
    let params = params
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| SignError::Request)?
        .into();
    let (instructions, _) = signable
        .and_then(|it| calculate_signature(it, &params))
        .map_err(|_| SignError::Request)?
        .into_parts();
    let (headers, _) = instructions.into_parts();
    headers
        .into_iter()
        .map(|header| signature_header(header.name(), header.value()))
        .collect()
}

/// Returns the headers that the signature covers.
fn signed_headers(request: &Request) -> Result<Vec<(&str, &str)>, SignError> {
    request
        .headers()
        .iter()
        .filter(|(name, _)| is_signed(name))
        .map(|(name, value)| {
            let value = value
                .to_str()
                .map_err(|_| SignError::Header(name.clone()))?;
            Ok((name.as_str(), value))
        })
        .collect()
}

fn signature_header(
    name: &'static str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), SignError> {
    let name = HeaderName::from_static(name);
    let mut value = HeaderValue::try_from(value).map_err(|_| SignError::Header(name.clone()))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn is_signed(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE || *name == header::HOST || name.as_str().starts_with("x-amz")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const ID: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn keys(token: Option<&str>) -> Keys {
        Keys::new(ID, SECRET, token.map(str::to_owned), None, "test")
    }

    /// 2026-01-02T03:04:05Z
    fn new_year() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_323_045)
    }

    fn bedrock() -> Request {
        let url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream";
        let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
        reqwest::Client::new()
            .post(url)
            .header("content-type", "application/json")
            .body(body)
            .build()
            .unwrap()
    }

    fn text<'a>(request: &'a Request, name: &str) -> &'a str {
        request.headers().get(name).unwrap().to_str().unwrap()
    }

    const BEDROCK: Scope<'_> = Scope {
        region: "us-east-1",
        service: "bedrock",
    };
    const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature=dca7d916846a433d15135bcc882264ba5e0f42c6133c2dad1b842cada95e1b21";

    #[test]
    fn a_bedrock_request_gets_the_signature_of_aws() {
        let mut request = bedrock();
        sign(&mut request, &keys(None), BEDROCK, new_year()).unwrap();
        assert_eq!(
            (
                text(&request, "authorization"),
                text(&request, "x-amz-date")
            ),
            (SIGNATURE, "20260102T030405Z")
        );
    }

    #[test]
    fn headers_of_the_operator_do_not_change_the_signature() {
        let mut request = bedrock();
        for (name, value) in [
            ("authorization", "Bearer own"),
            ("x-amz-date", "19700101T000000Z"),
            ("x-amz-security-token", "own"),
            ("x-team", "  two  words  "),
            ("user-agent", "own"),
        ] {
            request.headers_mut().append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        request
            .headers_mut()
            .insert("x-binary", HeaderValue::from_bytes(b"\xff").unwrap());
        sign(&mut request, &keys(None), BEDROCK, new_year()).unwrap();
        assert_eq!(text(&request, "authorization"), SIGNATURE);
        assert_eq!(text(&request, "x-team"), "  two  words  ");
        assert!(!request.headers().contains_key("x-amz-security-token"));
        request
            .headers_mut()
            .insert("x-amzn-bedrock-trace", HeaderValue::from_static("ENABLED"));
        sign(&mut request, &keys(Some("t")), BEDROCK, new_year()).unwrap();
        let signed =
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amzn-bedrock-trace,";
        assert!(
            text(&request, "authorization").contains(signed),
            "`x-amz*` headers are signed: {request:?}"
        );
        request
            .headers_mut()
            .insert("x-amzn-bad", HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(
            sign(&mut request, &keys(None), BEDROCK, new_year())
                .unwrap_err()
                .to_string()
                .contains("x-amzn-bad")
        );
    }

    /// Examples published by AWS.
    #[test]
    fn signatures_match_published_examples() {
        let client = reqwest::Client::new();
        let (home, form) = (
            "https://example.amazonaws.com/",
            "application/x-www-form-urlencoded",
        );
        for (request, token, expected) in [
            (
                client.get(home),
                None,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                client.post(home),
                None,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                client
                    .post(home)
                    .header("content-type", form)
                    .body("Param1=value1"),
                None,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                client.post(home),
                Some(TOKEN),
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            // 2015-08-30T12:36:00Z
            assert_signature(
                request,
                token,
                Scope {
                    region: "us-east-1",
                    service: "service",
                },
                1_440_938_160,
                expected,
            );
        }
        let lambda = "https://lambda.us-east-2.amazonaws.com/2015-03-31/functions/\
                      arn%3Aaws%3Alambda%3Aus-west-2%3A892717189312%3Afunction%3Amy-rusty-fun/invocations";
        let twice = "4b93abbcc68be32bd64c18e2c71150660ab4c29bbd6c32a383a7517a88fc1804";
        // 2021-05-11T15:40:45Z
        assert_signature(
            client.post(lambda),
            None,
            Scope {
                region: "us-east-2",
                service: "lambda",
            },
            1_620_747_645,
            twice,
        );
    }

    fn assert_signature(
        request: reqwest::RequestBuilder,
        token: Option<&str>,
        scope: Scope<'_>,
        seconds: u64,
        expected: &str,
    ) {
        let mut request = request.build().unwrap();
        sign(
            &mut request,
            &keys(token),
            scope,
            UNIX_EPOCH + Duration::from_secs(seconds),
        )
        .unwrap();
        assert_eq!(
            text(&request, "authorization").rsplit('=').next(),
            Some(expected),
            "{request:?}"
        );
        assert_eq!(
            request
                .headers()
                .get("x-amz-security-token")
                .map(|it| it.to_str().unwrap()),
            token
        );
    }
}
