//! Puts an account's own headers and its credential on a request.

pub(super) mod aws;

use std::time::SystemTime;

use http::{HeaderName, header};

use self::aws::Scope;
use super::credentials::{Secret, Shown};
use crate::model::fault::{Code, Fault};
use crate::model::target::Provider;

/// The service that Bedrock's requests are signed for.
const BEDROCK: &str = "bedrock";
/// Who pays for a request to Google.
const PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// Adds the account's headers and shows its credential. The request is final but for that: it may
/// be signed as a whole.
pub(super) fn sign(
    request: &mut reqwest::Request,
    provider: &Provider,
    shown: &Shown,
    now: SystemTime,
) -> Result<(), Fault> {
    let headers = request.headers_mut();
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    match shown.secret() {
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
                headers.entry(PROJECT).or_insert_with(|| project.clone());
            }
        }
        Secret::Keys { keys, region } => {
            let unsigned = |why: aws::Unsigned| {
                Fault::new(
                    Code::UpstreamAuth,
                    format!("a request to provider `{}`: {why}", provider.name),
                )
            };
            aws::sign(
                request,
                keys,
                Scope {
                    region,
                    service: BEDROCK,
                },
                now,
            )
            .map_err(unsigned)?;
        }
    }
    Ok(())
}
