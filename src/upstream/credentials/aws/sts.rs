//! Fetches the keys of a role from the AWS Security Token Service (STS).

use std::path::Path;
use std::time::SystemTime;

use reqwest::{Client, Request};

use super::super::local::{self, Environment};
use super::super::problem::plain_code;
use super::super::web::{self, Endpoint, Response};
use super::super::{Keys, Problem};
use super::{FoundKeys, keys};
use crate::upstream::sign::aws::{Scope, sign};

/// Version of the STS API.
const VERSION: &str = "2011-06-15";
/// Name of a session unless configured.
const DEFAULT_SESSION: &str = "sluicegate";

const ENDPOINT: Endpoint = Endpoint {
    name: "the AWS token service",
    check: "the role and its trust policy",
};

/// A role to assume.
#[derive(Debug, Default)]
pub(super) struct Role {
    /// Its Amazon resource name.
    pub(super) arn: String,
    /// Name of the session.
    pub(super) session: Option<String>,
    /// External id that the account of another company may require.
    pub(super) external_id: Option<String>,
    /// Requested lifetime of the keys, seconds.
    pub(super) seconds: Option<String>,
}

/// The token service.
pub(super) struct Sts<'a> {
    /// Region of its endpoint.
    pub(super) region: &'a str,
    /// Environment, which may configure another endpoint.
    pub(super) environment: &'a Environment,
    /// Client that sends the requests.
    pub(super) client: &'a Client,
}

impl Sts<'_> {
    /// Assumes a role with keys that are allowed to.
    pub(super) async fn assume(&self, role: &Role, by: &Keys) -> Result<FoundKeys, Problem> {
        let mut request = self.request("AssumeRole", role, &[])?;
        let scope = Scope {
            region: self.region,
            service: "sts",
        };
        sign(&mut request, by, scope, SystemTime::now()).map_err(|error| {
            Problem::new("cannot sign the request for an AWS role: check the region")
                .with_detail(error)
        })?;
        self.ask(request).await
    }

    /// Assumes a role with a token that another program has written into a file.
    pub(super) async fn web_identity(
        &self,
        role: &Role,
        token_file: &Path,
    ) -> Result<FoundKeys, Problem> {
        let token = local::read_required(token_file, "the web identity token file").await?;
        self.ask(self.request(
            "AssumeRoleWithWebIdentity",
            role,
            &[("WebIdentityToken", token.trim())],
        )?)
        .await
    }

    fn request(
        &self,
        action: &str,
        role: &Role,
        more: &[(&str, &str)],
    ) -> Result<Request, Problem> {
        let session = role.session.as_deref().unwrap_or(DEFAULT_SESSION);
        let mut form = vec![
            ("Action", action),
            ("Version", VERSION),
            ("RoleArn", &role.arn),
            ("RoleSessionName", session),
        ];
        form.extend_from_slice(more);
        form.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        form.extend(
            role.seconds
                .as_deref()
                .map(|seconds| ("DurationSeconds", seconds)),
        );
        let bad = |error: reqwest::Error| {
            Problem::new("the region or AWS_ENDPOINT_URL_STS gives no valid URL: check both")
                .with_detail(error.without_url())
        };
        web::with_form(self.client.post(self.address()), form)
            .build()
            .map_err(bad)
    }

    fn address(&self) -> String {
        let own = || {
            self.environment
                .var("AWS_ENDPOINT_URL_STS")
                .or_else(|| self.environment.var("AWS_ENDPOINT_URL"))
        };
        // The Chinese partition has its own domain.
        let suffix = if self.region.starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        own().unwrap_or_else(|| format!("https://sts.{}.amazonaws.com{suffix}/", self.region))
    }

    async fn ask(&self, request: Request) -> Result<FoundKeys, Problem> {
        let response = web::send(
            reqwest::RequestBuilder::from_parts(self.client.clone(), request),
            ENDPOINT,
        )
        .await?;
        if !response.status.is_success() {
            let code = std::str::from_utf8(&response.body)
                .ok()
                .and_then(|xml| element(xml, "Code"))
                .and_then(plain_code);
            return Err(response.refusal(code));
        }
        parse_keys(&response)
    }
}

fn parse_keys(response: &Response) -> Result<FoundKeys, Problem> {
    let xml = response.text()?;
    let text = |name| {
        element(xml, name)
            .map(str::to_owned)
            .ok_or_else(|| response.unreadable())
    };
    let (id, secret, token) = (
        text("AccessKeyId")?,
        text("SecretAccessKey")?,
        text("SessionToken")?,
    );
    keys::temporary(id, secret, Some(token), Some(&text("Expiration")?))
}

/// Returns the text of the first element of that name. Keys and times contain no character that XML
/// would escape.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>"))
        .map(|(text, _)| text.trim())
}
