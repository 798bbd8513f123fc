//! Keys of AWS, from where AWS's own tools look for them: environment, profile, web identity,
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
use super::cache::Fetched;
use super::local::Environment;
use super::web::Web;
use super::{Keys, Problem, Secret};
use crate::model::target::Aws;

const NOTHING_FOUND: &str = "no AWS keys were found in environment, profile, web identity, container or instance: \
                             set `access_key_id` and `secret_access_key`, or `profile`";

/// Keys that were found.
struct Found {
    keys: Keys,
    /// How long they are good; `None` where they do not end.
    lifetime: Option<Duration>,
}

/// Asks for keys. A profile that is configured is the only place; else the first place that has any
/// wins.
pub(super) async fn fetch(
    aws: &Aws,
    environment: &Environment,
    web: &Web<'_>,
) -> Result<Fetched, Problem> {
    let places = Places {
        aws,
        environment,
        web,
    };
    let Found { keys, lifetime } = match &aws.profile {
        Some(name) => places.named(name, "the profile of `profile`").await?,
        None => places.first().await?,
    };
    Ok(Fetched {
        secret: Secret::Keys {
            keys,
            region: aws.region.clone(),
        },
        lifetime,
    })
}

/// Where keys can be.
struct Places<'a> {
    aws: &'a Aws,
    environment: &'a Environment,
    web: &'a Web<'a>,
}

impl Places<'_> {
    fn sts(&self) -> Sts<'_> {
        Sts {
            region: &self.aws.region,
            environment: self.environment,
            client: &self.web.provider,
        }
    }

    /// The first place that has keys.
    async fn first(&self) -> Result<Found, Problem> {
        let (environment, web) = (self.environment, self.web);
        if let Some(found) = keys::in_environment(environment)? {
            return Ok(found);
        }
        if let Some(name) = environment.var("AWS_PROFILE") {
            return self.named(&name, "the profile of AWS_PROFILE").await;
        }
        if let Some(found) = self.profile("default").await? {
            return Ok(found);
        }
        if let Some(found) = self.web_identity().await? {
            return Ok(found);
        }
        if let Some(found) = container::fetch(environment, web).await? {
            return Ok(found);
        }
        instance::fetch(environment, web)
            .await?
            .ok_or_else(|| Problem::new(NOTHING_FOUND))
    }

    /// A profile that somebody has named.
    async fn named(&self, name: &str, what: &str) -> Result<Found, Problem> {
        let none = || Problem::new(format!("{what} has no keys: check its name")).with(name);
        self.profile(name).await?.ok_or_else(none)
    }

    async fn profile(&self, name: &str) -> Result<Option<Found>, Problem> {
        let Some(plan) = Profiles::load(self.environment).await?.plan(name)? else {
            return Ok(None);
        };
        self.carry_out(plan).await.map(Some)
    }

    /// The keys at the base of a profile, and the roles that are taken with them.
    async fn carry_out(&self, plan: Plan) -> Result<Found, Problem> {
        let missing = || {
            Problem::new(
                "the `credential_source` of an AWS profile has no keys: check where it points",
            )
        };
        let mut found = match plan.base {
            Base::Keys(keys) => Found {
                keys,
                lifetime: None,
            },
            Base::Process(command) => process::fetch(&command).await?,
            Base::WebIdentity { role, token_file } => {
                self.sts().web_identity(&role, &token_file).await?
            }
            Base::Environment => keys::in_environment(self.environment)?.ok_or_else(missing)?,
            Base::Container => container::fetch(self.environment, self.web)
                .await?
                .ok_or_else(missing)?,
            Base::Instance => instance::fetch(self.environment, self.web)
                .await?
                .ok_or_else(missing)?,
        };
        for role in &plan.roles {
            found = self.sts().assume(role, &found.keys).await?;
        }
        Ok(found)
    }

    /// A role for a token that somebody else has written into a file, as Kubernetes does.
    async fn web_identity(&self) -> Result<Option<Found>, Problem> {
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
