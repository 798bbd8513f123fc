//! Adds the headers and the credential of a provider to a request.

pub(super) mod aws;

use std::time::SystemTime;

use http::{HeaderName, header};

use self::aws::Scope;
use super::credentials::{RequestCredential, Secret};
use crate::model::fault::{Code, Fault};
use crate::model::target::Provider;

/// Service name in signatures for Bedrock.
const BEDROCK: &str = "bedrock";
/// Header that names the Google project to bill.
const PROJECT_HEADER: HeaderName = HeaderName::from_static("x-goog-user-project");

/// Adds the headers and the credential of the provider. Everything else of the request must be
/// final, as the whole request may be signed.
pub(super) fn sign(
    request: &mut reqwest::Request,
    provider: &Provider,
    credential: &RequestCredential,
    now: SystemTime,
) -> Result<(), Fault> {
    let headers = request.headers_mut();
    // Before the credential: AWS signs some of these headers, and a configured `authorization` must
    // not replace the credential.
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    match credential.secret() {
        Secret::None => {}
        Secret::Header(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Secret::Token {
            authorization,
            project,
        } => {
            headers.insert(header::AUTHORIZATION, authorization.clone());
            if let Some(project) = project {
                // A project set in the configured headers wins.
                headers
                    .entry(PROJECT_HEADER)
                    .or_insert_with(|| project.clone());
            }
        }
        Secret::Keys { keys, region } => {
            let scope = Scope {
                region,
                service: BEDROCK,
            };
            aws::sign(request, keys, scope, now).map_err(|reason| unsignable(provider, &reason))?;
        }
    }
    Ok(())
}

fn unsignable(provider: &Provider, reason: &aws::SignError) -> Fault {
    Fault::new(
        Code::UpstreamAuth,
        format!(
            "cannot sign a request to provider `{}`: {reason}",
            provider.name
        ),
    )
}
