//! Keys from the endpoint that a container is given: ECS, and EKS with pod identities.

use std::net::IpAddr;
use std::path::PathBuf;

use http::{HeaderValue, header};
use reqwest::Url;

use super::super::Problem;
use super::super::local::{self, Environment};
use super::super::web::{self, Web, Whose};
use super::Found;
use super::keys::Document;

/// Where ECS has its endpoint.
const ECS: &str = "http://169.254.170.2";
/// The endpoints of ECS and EKS: they may be asked without TLS, as this machine may.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

const WHOSE: Whose = Whose {
    name: "the container's credential endpoint",
    check: "its authorization token",
};

/// Asks the container's endpoint, if there is one.
pub(super) async fn fetch(
    environment: &Environment,
    web: &Web<'_>,
) -> Result<Option<Found>, Problem> {
    let Some(url) = endpoint(environment)? else {
        return Ok(None);
    };
    // A server elsewhere, which TLS protects, is reached as everything elsewhere is.
    let client = if url.scheme() == "https" {
        &web.provider
    } else {
        web.direct.client()?
    };
    let mut request = client.get(url);
    if let Some(token) = token(environment).await? {
        request = request.header(header::AUTHORIZATION, token);
    }
    web::ask(request, WHOSE)
        .await?
        .json::<Document>()?
        .found()
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
            "{name} is no address that keys are asked of: it must be of this machine, or https"
        ))
    })
}

/// The token that the endpoint wants, with the environment's own words before it.
async fn token(environment: &Environment) -> Result<Option<HeaderValue>, Problem> {
    let text = match environment.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(
            local::demand(
                &PathBuf::from(path),
                "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            )
            .await?,
        ),
        None => environment.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let Some(text) = text else { return Ok(None) };
    let bad = |_| {
        Problem::new("the container's authorization token has characters that no header can carry")
    };
    let mut value = HeaderValue::try_from(text.trim_end()).map_err(bad)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whether keys may be asked of it: by TLS, or where nobody can listen.
fn is_trusted(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let near = |ip: IpAddr| ip.is_loopback() || LINK_LOCAL.iter().any(|it| it.parse() == Ok(ip));
    match url.scheme() {
        "https" => true,
        "http" => host == "localhost" || host.parse().is_ok_and(near),
        _ => false,
    }
}
