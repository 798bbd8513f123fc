//! Fetches keys from the credential endpoint of a container: ECS, and EKS with pod identities.

use std::net::IpAddr;
use std::path::PathBuf;

use http::{HeaderValue, header};
use reqwest::Url;

use super::super::Problem;
use super::super::local::{self, Environment};
use super::super::web::{self, Endpoint, HttpClients};
use super::FoundKeys;
use super::keys::Document;

/// Endpoint of ECS.
const ECS: &str = "http://169.254.170.2";
/// Link-local endpoints of ECS and EKS. Like this machine, they may be asked without TLS.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

const ENDPOINT: Endpoint = Endpoint {
    name: "the credential endpoint of the container",
    check: "its authorization token",
};

/// Fetches keys from the endpoint of the container; `None` when there is none.
pub(super) async fn fetch(
    environment: &Environment,
    clients: &HttpClients<'_>,
) -> Result<Option<FoundKeys>, Problem> {
    let Some(url) = endpoint(environment)? else {
        return Ok(None);
    };
    // A remote server, protected by TLS, is reached like any other: through the proxy of the
    // provider.
    let client = if url.scheme() == "https" {
        &clients.provider
    } else {
        clients.direct.client()?
    };
    let mut request = client.get(url);
    if let Some(token) = authorization_token(environment).await? {
        request = request.header(header::AUTHORIZATION, token);
    }
    web::send(request, ENDPOINT)
        .await?
        .json::<Document>()?
        .into_keys()
        .map(Some)
}

fn endpoint(environment: &Environment) -> Result<Option<Url>, Problem> {
    const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let (name, text) = match (environment.var(RELATIVE), environment.var(FULL)) {
        (Some(path), _) => (RELATIVE, format!("{ECS}{path}")),
        (None, Some(url)) => (FULL, url),
        (None, None) => return Ok(None),
    };
    let url = Url::parse(&text).ok().filter(is_trusted);
    url.map(Some).ok_or_else(|| {
        Problem::new(format!(
            "{name} is not an allowed address for keys: use https, or an address of this machine"
        ))
    })
}

/// Returns the authorization token for the endpoint; a token file wins over a variable.
async fn authorization_token(environment: &Environment) -> Result<Option<HeaderValue>, Problem> {
    let text = match environment.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(
            local::read_required(
                &PathBuf::from(path),
                "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            )
            .await?,
        ),
        None => environment.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let Some(text) = text else { return Ok(None) };
    let bad = |_| {
        Problem::new(
            "the container's authorization token contains characters that are not allowed in a \
             header",
        )
    };
    // A token file usually ends with a line break.
    let mut value = HeaderValue::try_from(text.trim_end()).map_err(bad)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Returns true when keys may be requested from this URL: over TLS, or where the traffic cannot be
/// observed.
fn is_trusted(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let near = |ip: IpAddr| ip.is_loopback() || LINK_LOCAL.iter().any(|it| it.parse() == Ok(ip));
    match url.scheme() {
        "https" => true,
        "http" => host == "localhost" || host.parse().is_ok_and(near),
        _ => false,
    }
}
