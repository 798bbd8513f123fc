//! Profiles: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::local::{self, Environment};
use super::super::{Keys, Problem};
use super::keys;
use super::sts::Role;

/// Roles that lead to each other, at the most.
const MOST_ROLES: usize = 8;

const WHAT: &str = "a file of AWS profiles";

/// The settings of one profile, names in lower case.
type Section = BTreeMap<String, String>;

/// All profiles by name.
#[derive(Default)]
pub(super) struct Profiles(BTreeMap<String, Section>);

/// How a profile's keys are come by.
pub(super) struct Plan {
    /// The first keys.
    pub(super) base: Base,
    /// Roles that are taken with them, one by means of the other.
    pub(super) roles: Vec<Role>,
}

/// Where the first keys are.
pub(super) enum Base {
    /// In the profile.
    Keys(Keys),
    /// A program writes them.
    Process(String),
    /// They are those of a role, for a token in a file.
    WebIdentity {
        /// The role.
        role: Role,
        /// The file.
        token_file: PathBuf,
    },
    /// In the environment.
    Environment,
    /// At the container's endpoint.
    Container,
    /// In the instance's metadata.
    Instance,
}

/// Which of the two files it is: they name profiles differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Credentials,
}

impl Profiles {
    /// Reads the files, if they are there. What `credentials` says wins.
    pub(super) async fn load(environment: &Environment) -> Result<Self, Problem> {
        let mut all = Self::default();
        for (kind, variable, usual) in [
            (Kind::Config, "AWS_CONFIG_FILE", ".aws/config"),
            (
                Kind::Credentials,
                "AWS_SHARED_CREDENTIALS_FILE",
                ".aws/credentials",
            ),
        ] {
            let text = match (environment.path(variable), environment.at_home(usual)) {
                (Some(path), _) => local::read(&path, WHAT).await?,
                (None, Some(path)) => local::usual(&path, WHAT).await?,
                (None, None) => None,
            };
            if let Some(text) = text {
                all.read(&text, kind);
            }
        }
        Ok(all)
    }

    fn read(&mut self, text: &str, kind: Kind) {
        let mut section: Option<&mut Section> = None;
        // Lines that are indented further than a setting belong to it: `s3 =` has a block of its
        // own.
        let mut indent = usize::MAX;
        for line in text.lines() {
            let bare = line.trim();
            let depth = line.len() - line.trim_start().len();
            if bare.is_empty() || bare.starts_with(['#', ';']) || depth > indent {
                continue;
            }
            if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                section = profile_name(name.0, kind)
                    .map(|name| self.0.entry(name.to_owned()).or_default());
                indent = usize::MAX;
            } else if let (Some(section), Some((name, value))) =
                (section.as_mut(), bare.split_once('='))
            {
                section.insert(
                    name.trim().to_ascii_lowercase(),
                    without_comment(value).trim().to_owned(),
                );
                indent = depth;
            }
        }
    }

    /// How the keys of a profile are come by; `None` where it is not there or has none.
    pub(super) fn plan(&self, name: &str) -> Result<Option<Plan>, Problem> {
        let mut roles = Vec::new();
        let mut name = name;
        loop {
            let Some(section) = self.0.get(name) else {
                return end(&roles, "names a profile that is not there");
            };
            // A role's source that has keys is not asked for a role of its own.
            let own = section_keys(section)?
                .filter(|_| !roles.is_empty() || !section.contains_key("role_arn"));
            let step =
                own.map_or_else(|| step(section), |keys| Ok(Step::Base(Base::Keys(keys))))?;
            let base = match step {
                Step::Base(base) => base,
                Step::Role(role, Source::Base(base)) => {
                    roles.push(role);
                    base
                }
                Step::Role(role, Source::Profile(source)) if roles.len() < MOST_ROLES => {
                    roles.push(role);
                    name = source;
                    continue;
                }
                Step::Role(..) => {
                    return end(&roles, "leads from profile to profile without an end");
                }
                Step::Nothing => return end(&roles, "names a profile that has no keys"),
            };
            roles.reverse();
            return Ok(Some(Plan { base, roles }));
        }
    }
}

/// Nothing for the first profile; for those that it leads to a mistake.
fn end(roles: &[Role], what: &str) -> Result<Option<Plan>, Problem> {
    if roles.is_empty() {
        Ok(None)
    } else {
        Err(Problem::new(format!(
            "the `source_profile` of an AWS profile {what}"
        )))
    }
}

/// Where a profile leads.
enum Step<'a> {
    Base(Base),
    Role(Role, Source<'a>),
    Nothing,
}

/// Whose keys take a role.
enum Source<'a> {
    Base(Base),
    Profile(&'a str),
}

fn step(section: &Section) -> Result<Step<'_>, Problem> {
    let text = |name: &str| section.get(name).filter(|value| !value.is_empty());
    if let Some(arn) = text("role_arn") {
        let own = |name: &str| text(name).cloned();
        let role = Role {
            arn: arn.clone(),
            session: own("role_session_name"),
            external_id: own("external_id"),
            seconds: own("duration_seconds"),
        };
        return of_role(section, role);
    }
    if let Some(command) = text("credential_process") {
        return Ok(Step::Base(Base::Process(command.clone())));
    }
    if section
        .keys()
        .any(|name| name.starts_with("sso_") || name == "login_session")
    {
        return Err(Problem::new(
            "the AWS profile signs a person in, which needs a browser: use a profile with keys, a role or a process",
        ));
    }
    Ok(Step::Nothing)
}

fn of_role(section: &Section, role: Role) -> Result<Step<'_>, Problem> {
    let text = |name: &str| section.get(name).filter(|value| !value.is_empty());
    if text("mfa_serial").is_some() {
        return Err(Problem::new(
            "the AWS profile has `mfa_serial`, which needs a person: use a role without it",
        ));
    }
    if let Some(file) = text("web_identity_token_file") {
        return Ok(Step::Base(Base::WebIdentity {
            role,
            token_file: PathBuf::from(file),
        }));
    }
    if let Some(source) = text("source_profile") {
        return Ok(Step::Role(role, Source::Profile(source)));
    }
    let base = match text("credential_source").map(String::as_str) {
        Some("Environment") => Base::Environment,
        Some("EcsContainer") => Base::Container,
        Some("Ec2InstanceMetadata") => Base::Instance,
        _ => {
            return Err(Problem::new(
                "the AWS profile has `role_arn` and nothing to take it with: add `source_profile` or `credential_source`",
            ));
        }
    };
    Ok(Step::Role(role, Source::Base(base)))
}

fn section_keys(section: &Section) -> Result<Option<Keys>, Problem> {
    let text = |name: &str| section.get(name).filter(|value| !value.is_empty()).cloned();
    match (text("aws_access_key_id"), text("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Some(keys::of(id, secret, text("aws_session_token")))),
        (None, None) => Ok(None),
        _ => Err(Problem::new(
            "the AWS profile has one of `aws_access_key_id` and `aws_secret_access_key`: add the other",
        )),
    }
}

/// The profile that a section is about: `[default]` and `[profile x]` of `config`, `[x]` of
/// `credentials`.
fn profile_name(head: &str, kind: Kind) -> Option<&str> {
    let head = head.trim();
    let name = match kind {
        Kind::Credentials => head,
        Kind::Config if head == "default" => head,
        Kind::Config => head
            .strip_prefix("profile")?
            .strip_prefix([' ', '\t'])?
            .trim(),
    };
    Some(name.trim_matches(['"', '\'']))
}

/// A value up to a comment, which has a space before it.
fn without_comment(value: &str) -> &str {
    let comments = [" #", " ;", "\t#", "\t;"];
    comments
        .iter()
        .filter_map(|mark| value.split_once(mark))
        .map(|(before, _)| before)
        .min_by_key(|before| before.len())
        .unwrap_or(value)
}
