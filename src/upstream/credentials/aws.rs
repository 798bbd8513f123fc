//! Fetches AWS keys from the places where AWS's own tools look: environment, profile, web identity,
//! container, instance.

mod container;
mod instance;
mod keys;
mod process;
mod profile;
mod sts;

use std::path::PathBuf;
use std::time::Duration;

use self::profile::{Base, Plan, Profiles};
use self::sts::{Role, Sts};
use super::local::Environment;
use super::renewal::FetchedSecret;
use super::web::HttpClients;
use super::{Keys, Problem, Secret};
use crate::model::target::Aws;

const NOTHING_FOUND: &str = "no AWS keys were found in environment, profile, web identity, \
    container or instance: set `access_key_id` and `secret_access_key`, or `profile`";

/// AWS keys that were found.
struct FoundKeys {
    keys: Keys,
    /// Remaining lifetime; `None` if they do not expire.
    lifetime: Option<Duration>,
}

/// Fetches keys. A configured profile is the only source; otherwise the first source that has keys
/// is used.
pub(super) async fn fetch(
    aws: &Aws,
    environment: &Environment,
    clients: &HttpClients<'_>,
) -> Result<FetchedSecret, Problem> {
    let sources = KeySources {
        aws,
        environment,
        clients,
    };
    let FoundKeys { keys, lifetime } = match &aws.profile {
        Some(name) => {
            sources
                .named_profile(name, "the profile of `profile`")
                .await?
        }
        None => sources.first_found().await?,
    };
    Ok(FetchedSecret {
        secret: Secret::Keys {
            keys,
            region: aws.region.clone(),
        },
        lifetime,
    })
}

/// The sources of keys.
struct KeySources<'a> {
    aws: &'a Aws,
    environment: &'a Environment,
    clients: &'a HttpClients<'a>,
}

impl KeySources<'_> {
    fn sts(&self) -> Sts<'_> {
        Sts {
            region: &self.aws.region,
            environment: self.environment,
            client: &self.clients.provider,
        }
    }

    /// Returns the keys of the first source that has any.
    async fn first_found(&self) -> Result<FoundKeys, Problem> {
        let (environment, clients) = (self.environment, self.clients);
        // The order is that of the AWS tools.
        if let Some(found) = keys::from_environment(environment)? {
            return Ok(found);
        }
        if let Some(name) = environment.var("AWS_PROFILE") {
            return self
                .named_profile(&name, "the profile of AWS_PROFILE")
                .await;
        }
        if let Some(found) = self.profile("default").await? {
            return Ok(found);
        }
        if let Some(found) = self.web_identity().await? {
            return Ok(found);
        }
        if let Some(found) = container::fetch(environment, clients).await? {
            return Ok(found);
        }
        instance::fetch(environment, clients)
            .await?
            .ok_or_else(|| Problem::new(NOTHING_FOUND))
    }

    /// Returns the keys of a profile that is named explicitly, so it must have some.
    async fn named_profile(&self, name: &str, what: &str) -> Result<FoundKeys, Problem> {
        let none = || Problem::new(format!("{what} has no keys: check its name")).with_detail(name);
        self.profile(name).await?.ok_or_else(none)
    }

    async fn profile(&self, name: &str) -> Result<Option<FoundKeys>, Problem> {
        let Some(plan) = Profiles::load(self.environment).await?.plan(name)? else {
            return Ok(None);
        };
        self.execute(plan).await.map(Some)
    }

    /// Fetches the first keys of a profile, then assumes its roles with them, one after the other.
    async fn execute(&self, plan: Plan) -> Result<FoundKeys, Problem> {
        let missing = || {
            Problem::new("the `credential_source` of an AWS profile has no keys: check its value")
        };
        let mut found = match plan.base {
            Base::Keys(keys) => FoundKeys {
                keys,
                lifetime: None,
            },
            Base::Process(command) => process::fetch(&command).await?,
            Base::WebIdentity { role, token_file } => {
                self.sts().web_identity(&role, &token_file).await?
            }
            Base::Environment => keys::from_environment(self.environment)?.ok_or_else(missing)?,
            Base::Container => container::fetch(self.environment, self.clients)
                .await?
                .ok_or_else(missing)?,
            Base::Instance => instance::fetch(self.environment, self.clients)
                .await?
                .ok_or_else(missing)?,
        };
        for role in &plan.roles {
            found = self.sts().assume(role, &found.keys).await?;
        }
        Ok(found)
    }

    /// Fetches the keys of a role with the token that another program, such as Kubernetes, has
    /// written into a file.
    async fn web_identity(&self) -> Result<Option<FoundKeys>, Problem> {
        let Some(token_file) = self.environment.var("AWS_WEB_IDENTITY_TOKEN_FILE") else {
            return Ok(None);
        };
        let no_role =
            || Problem::new("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: set both");
        let arn = self.environment.var("AWS_ROLE_ARN").ok_or_else(no_role)?;
        let role = Role {
            arn,
            session: self.environment.var("AWS_ROLE_SESSION_NAME"),
            ..Role::default()
        };
        self.sts()
            .web_identity(&role, &PathBuf::from(token_file))
            .await
            .map(Some)
    }
}
