//! Keys from the metadata of an EC2 instance, version 2.

use reqwest::{RequestBuilder, StatusCode};

use super::super::Problem;
use super::super::local::Environment;
use super::super::web::{self, Answer, Web, Whose};
use super::Found;
use super::keys::Document;

/// Where the metadata is.
const ADDRESS: &str = "http://169.254.169.254";
/// The same for instances that have IPv6 alone.
const ADDRESS_V6: &str = "http://[fd00:ec2::254]";
/// Where keys are in it.
const KEYS: &str = "latest/meta-data/iam/security-credentials/";
/// How long a session with the metadata lasts, in seconds: a few questions.
const SESSION: &str = "60";

const WHOSE: Whose = Whose {
    name: "the instance's metadata",
    check: "that it is switched on, and that the instance has a role",
};

/// Asks the instance's metadata, if there is any.
pub(super) async fn fetch(
    environment: &Environment,
    web: &Web<'_>,
) -> Result<Option<Found>, Problem> {
    if environment
        .var("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|it| it.eq_ignore_ascii_case("true"))
    {
        return Ok(None);
    }
    let (base, client) = (address(environment), web.direct.client()?);
    let session = client
        .put(format!("{base}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", SESSION);
    // Where no metadata answers, this is no instance.
    let Ok(session) = web::ask(session, WHOSE).await else {
        return Ok(None);
    };
    let session = session.text()?.trim().to_owned();
    let with_session =
        |request: RequestBuilder| request.header("x-aws-ec2-metadata-token", &session);
    let roles = web::ask(with_session(client.get(format!("{base}/{KEYS}"))), WHOSE).await?;
    let Some(role) = role(&roles)? else {
        return Ok(None);
    };
    let keys = web::ask(
        with_session(client.get(format!("{base}/{KEYS}{role}"))),
        WHOSE,
    )
    .await?;
    keys.json::<Document>()?.found().map(Some)
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

/// The role of the instance; many have none.
fn role(answer: &Answer) -> Result<Option<&str>, Problem> {
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(answer
        .text()?
        .lines()
        .next()
        .map(str::trim)
        .filter(|role| !role.is_empty()))
}
