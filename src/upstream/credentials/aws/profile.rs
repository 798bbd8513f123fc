//! AWS profiles: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::local::{self, Environment};
use super::super::{Keys, Problem};
use super::keys;
use super::sts::Role;

/// Maximum length of a chain of roles.
const MAX_ROLES: usize = 8;

const FILE_NAME: &str = "a file of AWS profiles";

/// The settings of one profile; names are in lower case.
type Section = BTreeMap<String, String>;

/// All profiles, by name.
#[derive(Default)]
pub(super) struct Profiles(BTreeMap<String, Section>);

/// The steps that lead to the keys of a profile.
pub(super) struct Plan {
    /// Source of the first keys.
    pub(super) base: Base,
    /// Roles to assume with them, each with the keys of the previous one.
    pub(super) roles: Vec<Role>,
}

/// The source of the first keys.
pub(super) enum Base {
    /// The profile contains them.
    Keys(Keys),
    /// A program writes them.
    Process(String),
    /// They belong to a role that is assumed with a token in a file.
    WebIdentity {
        /// The role.
        role: Role,
        /// The token file.
        token_file: PathBuf,
    },
    /// The environment contains them.
    Environment,
    /// The endpoint of the container issues them.
    Container,
    /// The metadata service of the instance issues them.
    Instance,
}

/// The kind of file; the two kinds name profiles differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Credentials,
}

impl Profiles {
    /// Reads the files that exist. Settings in `credentials` override those in `config`.
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
                (Some(path), _) => local::read_optional(&path, FILE_NAME).await?,
                (None, Some(path)) => local::read_default(&path, FILE_NAME).await?,
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
        // A line that is indented further than a setting belongs to that setting: `s3 =` starts a
        // block of its own.
        // A new section: no setting to which an indented line could belong.
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

    /// Returns the steps to the keys of a profile; `None` when the profile does not exist or has no
    /// keys.
    pub(super) fn plan(&self, name: &str) -> Result<Option<Plan>, Problem> {
        let mut roles = Vec::new();
        let mut name = name;
        loop {
            let Some(section) = self.0.get(name) else {
                return no_keys(&roles, "names a profile that does not exist");
            };
            // When the source profile of a role has keys, they are used and its own role is
            // ignored.
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
                Step::Role(role, Source::Profile(source)) if roles.len() < MAX_ROLES => {
                    roles.push(role);
                    name = source;
                    continue;
                }
                Step::Role(..) => {
                    return no_keys(
                        &roles,
                        "leads to a chain of profiles that is too long or never ends",
                    );
                }
                Step::Nothing => return no_keys(&roles, "names a profile that has no keys"),
            };
            // Collected from the last role to the first; they are assumed in the other direction.
            roles.reverse();
            return Ok(Some(Plan { base, roles }));
        }
    }
}

/// Ends a search without keys: `None` for the first profile, a problem for a profile that another
/// one refers to.
fn no_keys(roles: &[Role], what: &str) -> Result<Option<Plan>, Problem> {
    if roles.is_empty() {
        Ok(None)
    } else {
        Err(Problem::new(format!(
            "the `source_profile` of an AWS profile {what}"
        )))
    }
}

/// The next step from a profile.
enum Step<'a> {
    Base(Base),
    Role(Role, Source<'a>),
    Nothing,
}

/// The source of the keys that assume a role.
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
        return role_step(section, role);
    }
    if let Some(command) = text("credential_process") {
        return Ok(Step::Base(Base::Process(command.clone())));
    }
    if section
        .keys()
        .any(|name| name.starts_with("sso_") || name == "login_session")
    {
        return Err(Problem::new(
            "the AWS profile uses an interactive sign-in, which needs a browser: use a profile \
             with keys, a role or a process",
        ));
    }
    Ok(Step::Nothing)
}

fn role_step(section: &Section, role: Role) -> Result<Step<'_>, Problem> {
    let text = |name: &str| section.get(name).filter(|value| !value.is_empty());
    if text("mfa_serial").is_some() {
        return Err(Problem::new(
            "the AWS profile has `mfa_serial`, which needs interactive input: use a role without \
             it",
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
                "the AWS profile has `role_arn` but no keys to assume it with: add \
                 `source_profile` or `credential_source`",
            ));
        }
    };
    Ok(Step::Role(role, Source::Base(base)))
}

fn section_keys(section: &Section) -> Result<Option<Keys>, Problem> {
    let text = |name: &str| section.get(name).filter(|value| !value.is_empty()).cloned();
    match (text("aws_access_key_id"), text("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Some(keys::new_keys(id, secret, text("aws_session_token")))),
        (None, None) => Ok(None),
        _ => Err(Problem::new(
            "the AWS profile has only one of `aws_access_key_id` and `aws_secret_access_key`: add \
             the other",
        )),
    }
}

/// Returns the profile name of a section: `[default]` and `[profile x]` in `config`, `[x]` in
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

/// Returns a value without its comment, which starts after a space.
fn without_comment(value: &str) -> &str {
    let comments = [" #", " ;", "\t#", "\t;"];
    comments
        .iter()
        .filter_map(|mark| value.split_once(mark))
        .map(|(before, _)| before)
        .min_by_key(|before| before.len())
        .unwrap_or(value)
}
