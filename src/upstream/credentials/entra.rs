//! Tokens for an application of Microsoft Entra: the client-credentials grant.

use secrecy::ExposeSecret as _;

use super::cache::Fetched;
use super::web::{Web, Whose};
use super::{Problem, Secret, oauth};
use crate::model::target::Entra;

const WHOSE: Whose = Whose {
    name: "Entra's token endpoint",
    check: "`tenant_id`, `client_id` and `client_secret`",
};

/// Asks for a token.
pub(super) async fn fetch(entra: &Entra, web: &Web<'_>) -> Result<Fetched, Problem> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &entra.client_id),
        ("client_secret", entra.client_secret.expose_secret()),
        ("scope", &entra.scope),
    ];
    let token = oauth::grant(web.provider.post(&entra.token_url), &form, WHOSE).await?;
    let secret = Secret::Token {
        authorization: token.authorization,
        project: None,
    };
    Ok(Fetched {
        secret,
        lifetime: Some(token.lifetime),
    })
}
