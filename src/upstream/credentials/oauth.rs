//! Tokens by OAuth 2.0.

use std::time::Duration;

use http::{HeaderValue, header};
use reqwest::RequestBuilder;
use serde::Deserialize;

use super::Problem;
use super::problem::plain_code;
use super::web::{self, Answer, Whose};

/// How long a token is good where nobody says it.
const UNSAID: Duration = Duration::from_secs(5 * 60);

/// A token.
pub(super) struct Token {
    /// As the header `Authorization` has it.
    pub(super) authorization: HeaderValue,
    /// How long it is good.
    pub(super) lifetime: Duration,
}

/// A token as it is given.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: Option<Seconds>,
}

/// Some servers write the number as a string.
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

/// Why none was given.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    /// Entra's own numbers, which its documentation explains.
    #[serde(default)]
    error_codes: Vec<u64>,
}

/// Asks a token endpoint with a form.
pub(super) async fn grant(
    request: RequestBuilder,
    form: &[(&str, &str)],
    whose: Whose,
) -> Result<Token, Problem> {
    let request = web::with_form(
        request.header(header::ACCEPT, "application/json"),
        form.iter().copied(),
    );
    token(&web::ask(request, whose).await?)
}

/// The token in an answer.
pub(super) fn token(answer: &Answer) -> Result<Token, Problem> {
    if !answer.status.is_success() {
        return Err(refusal(answer));
    }
    let given: Given = answer.json()?;
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", given.access_token))
        .map_err(|_| answer.unreadable())?;
    authorization.set_sensitive(true);
    let lifetime = given
        .expires_in
        .as_ref()
        .and_then(Seconds::duration)
        .filter(|it| !it.is_zero())
        .unwrap_or(UNSAID);
    Ok(Token {
        authorization,
        lifetime,
    })
}

fn refusal(answer: &Answer) -> Problem {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer.body) else {
        return answer.refusal(None);
    };
    let number = refusal
        .error_codes
        .first()
        .map(|code| format!(" AADSTS{code}"))
        .unwrap_or_default();
    let code = plain_code(&refusal.error).map(|code| format!("{code}{number}"));
    answer.refusal(code.as_deref())
}
