//! Tokens for an application of Microsoft Entra, by the client-credentials grant.

use secrecy::ExposeSecret as _;

use super::renewal::FetchedSecret;
use super::web::{Endpoint, HttpClients};
use super::{Problem, Secret, oauth};
use crate::model::target::Entra;

const ENDPOINT: Endpoint = Endpoint {
    name: "Entra's token endpoint",
    check: "`tenant_id`, `client_id` and `client_secret`",
};

/// Fetches a token.
pub(super) async fn fetch(
    entra: &Entra,
    clients: &HttpClients<'_>,
) -> Result<FetchedSecret, Problem> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &entra.client_id),
        ("client_secret", entra.client_secret.expose_secret()),
        ("scope", &entra.scope),
    ];
    let token =
        oauth::request_token(clients.provider.post(&entra.token_url), &form, ENDPOINT).await?;
    let secret = Secret::Token {
        authorization: token.authorization,
        project: None,
    };
    Ok(FetchedSecret {
        secret,
        lifetime: Some(token.lifetime),
    })
}
