//! Fetches keys from the metadata service of an EC2 instance (IMDS version 2).

use reqwest::{RequestBuilder, StatusCode};

use super::super::Problem;
use super::super::local::Environment;
use super::super::web::{self, Endpoint, HttpClients, Response};
use super::FoundKeys;
use super::keys::Document;

/// Address of the metadata service.
const ADDRESS: &str = "http://169.254.169.254";
/// Address for instances that only have IPv6.
const ADDRESS_V6: &str = "http://[fd00:ec2::254]";
/// Path of the keys.
const KEYS_PATH: &str = "latest/meta-data/iam/security-credentials/";
/// Lifetime of a metadata session, seconds: long enough for a few requests.
const SESSION_SECONDS: &str = "60";

const ENDPOINT: Endpoint = Endpoint {
    name: "the metadata service of the instance",
    check: "that it is enabled and that the instance has a role",
};

/// Fetches the keys of the instance; `None` when there is no metadata service or no role.
pub(super) async fn fetch(
    environment: &Environment,
    clients: &HttpClients<'_>,
) -> Result<Option<FoundKeys>, Problem> {
    if environment
        .var("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|it| it.eq_ignore_ascii_case("true"))
    {
        return Ok(None);
    }
    let (base, client) = (address(environment), clients.direct.client()?);
    let session = client
        .put(format!("{base}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
    // If no metadata service answers, this is not an EC2 instance.
    let Ok(session) = web::send(session, ENDPOINT).await else {
        return Ok(None);
    };
    let session = session.text()?.trim().to_owned();
    let with_session =
        |request: RequestBuilder| request.header("x-aws-ec2-metadata-token", &session);
    let roles = web::send(
        with_session(client.get(format!("{base}/{KEYS_PATH}"))),
        ENDPOINT,
    )
    .await?;
    let Some(role) = role(&roles)? else {
        return Ok(None);
    };
    let keys = web::send(
        with_session(client.get(format!("{base}/{KEYS_PATH}{role}"))),
        ENDPOINT,
    )
    .await?;
    keys.json::<Document>()?.into_keys().map(Some)
}

fn address(environment: &Environment) -> String {
    let by_mode = || {
        let mode = environment.var("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
        if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")) {
            ADDRESS_V6
        } else {
            ADDRESS
        }
        .to_owned()
    };
    let address = environment
        .var("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        .unwrap_or_else(by_mode);
    address.trim_end_matches('/').to_owned()
}

/// Returns the role of the instance; many have none.
fn role(response: &Response) -> Result<Option<&str>, Problem> {
    if response.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(response
        .text()?
        .lines()
        .next()
        .map(str::trim)
        .filter(|role| !role.is_empty()))
}
