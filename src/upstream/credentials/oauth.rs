//! Requests tokens with OAuth 2.0.

use std::time::Duration;

use http::{HeaderValue, header};
use reqwest::RequestBuilder;
use serde::Deserialize;

use super::Problem;
use super::problem::plain_code;
use super::web::{self, Endpoint, Response};

/// Lifetime of a token whose response states none.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A bearer token.
pub(super) struct Token {
    /// Value of the `Authorization` header.
    pub(super) authorization: HeaderValue,
    /// Lifetime from now on.
    pub(super) lifetime: Duration,
}

/// A successful token response.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: Option<Seconds>,
}

/// A number of seconds. Some servers write it as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => *seconds,
            Self::Text(text) => text.parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// An error response.
#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
    /// Error numbers of Entra (`AADSTS…`), explained in its documentation.
    #[serde(default)]
    error_codes: Vec<u64>,
}

/// Posts a form to a token endpoint and returns the token.
pub(super) async fn request_token(
    request: RequestBuilder,
    form: &[(&str, &str)],
    endpoint: Endpoint,
) -> Result<Token, Problem> {
    let request = web::with_form(
        request.header(header::ACCEPT, "application/json"),
        form.iter().copied(),
    );
    parse_token(&web::send(request, endpoint).await?)
}

/// Returns the token in a response.
pub(super) fn parse_token(http_response: &Response) -> Result<Token, Problem> {
    if !http_response.status.is_success() {
        return Err(error_problem(http_response));
    }
    let response: TokenResponse = http_response.json()?;
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", response.access_token))
        .map_err(|_| http_response.unreadable())?;
    // Keeps the token out of `Debug` output.
    authorization.set_sensitive(true);
    let lifetime = response
        .expires_in
        .as_ref()
        .and_then(Seconds::duration)
        .filter(|it| !it.is_zero())
        .unwrap_or(DEFAULT_LIFETIME);
    Ok(Token {
        authorization,
        lifetime,
    })
}

fn error_problem(http_response: &Response) -> Problem {
    let Ok(error) = serde_json::from_slice::<ErrorResponse>(&http_response.body) else {
        return http_response.refusal(None);
    };
    let number = error
        .error_codes
        .first()
        .map(|code| format!(" AADSTS{code}"))
        .unwrap_or_default();
    let code = plain_code(&error.error).map(|code| format!("{code}{number}"));
    http_response.refusal(code.as_deref())
}
