//! Keys for a role, from AWS's Security Token Service.

use std::path::Path;
use std::time::SystemTime;

use reqwest::{Client, Request};

use super::super::local::{self, Environment};
use super::super::problem::plain_code;
use super::super::web::{self, Answer, Whose};
use super::super::{Keys, Problem};
use super::{Found, keys};
use crate::upstream::sign::aws::{Scope, sign};

/// The version of its API.
const VERSION: &str = "2011-06-15";
/// What sessions are called where nobody says it.
const SESSION: &str = "sluicegate";

const WHOSE: Whose = Whose {
    name: "AWS's token service",
    check: "the role, and who may take it",
};

/// A role to be taken.
#[derive(Debug, Default)]
pub(super) struct Role {
    /// Its name in AWS.
    pub(super) arn: String,
    /// What the session is called.
    pub(super) session: Option<String>,
    /// What another company's account wants to hear.
    pub(super) external_id: Option<String>,
    /// How long the keys are to be good, in seconds.
    pub(super) seconds: Option<String>,
}

/// The service.
pub(super) struct Sts<'a> {
    /// The region it is asked in.
    pub(super) region: &'a str,
    /// Where another address of it may be.
    pub(super) environment: &'a Environment,
    /// The way to it.
    pub(super) client: &'a Client,
}

impl Sts<'_> {
    /// Keys for a role, by keys that may take it.
    pub(super) async fn assume(&self, role: &Role, by: &Keys) -> Result<Found, Problem> {
        let mut request = self.request("AssumeRole", role, &[])?;
        let scope = Scope {
            region: self.region,
            service: "sts",
        };
        sign(&mut request, by, scope, SystemTime::now())
            .map_err(|error| Problem::new("a role of AWS cannot be asked for").with(error))?;
        self.ask(request).await
    }

    /// Keys for a role, by a token that somebody else has written into a file.
    pub(super) async fn web_identity(
        &self,
        role: &Role,
        token_file: &Path,
    ) -> Result<Found, Problem> {
        let token = local::demand(token_file, "the web identity token file").await?;
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
        let session = role.session.as_deref().unwrap_or(SESSION);
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
            Problem::new("the region or AWS_ENDPOINT_URL_STS makes no address: check it")
                .with(error.without_url())
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
        let suffix = if self.region.starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        own().unwrap_or_else(|| format!("https://sts.{}.amazonaws.com{suffix}/", self.region))
    }

    async fn ask(&self, request: Request) -> Result<Found, Problem> {
        let answer = web::ask(
            reqwest::RequestBuilder::from_parts(self.client.clone(), request),
            WHOSE,
        )
        .await?;
        if !answer.status.is_success() {
            let code = std::str::from_utf8(&answer.body)
                .ok()
                .and_then(|xml| element(xml, "Code"))
                .and_then(plain_code);
            return Err(answer.refusal(code));
        }
        given(&answer)
    }
}

fn given(answer: &Answer) -> Result<Found, Problem> {
    let xml = answer.text()?;
    let text = |name| {
        element(xml, name)
            .map(str::to_owned)
            .ok_or_else(|| answer.unreadable())
    };
    let (id, secret, token) = (
        text("AccessKeyId")?,
        text("SecretAccessKey")?,
        text("SessionToken")?,
    );
    keys::temporary(id, secret, Some(token), Some(&text("Expiration")?))
}

/// The text of the first element of that name. Keys and times have no character that XML would
/// escape.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>"))
        .map(|(text, _)| text.trim())
}
