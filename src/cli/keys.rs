//! `sluicegate keys`: new virtual keys.
//!
//! Invariants: a key is shown once and kept nowhere; what goes to standard output can be put behind
//! a configuration as it is, and holds no secret.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// What every key begins with, so that scanners for leaked secrets can know it.
const PREFIX: &str = "sg-";
/// Random bytes in a key: 256 bits.
const RANDOM: usize = 32;
/// What a section is read with to find what is wrong in it: a configuration needs somebody to ask.
const ENOUGH: &str =
    "\n[providers.up]\nwire = 'openai-chat'\nbase_url = 'http://127.0.0.1:1'\ndirect = true\n";

const NEW: &str = "\
Examples:
  sluicegate keys new web --team growth --models 'gpt-*' >> config.toml
      the key is shown in the terminal, its section is put behind the configuration
  sluicegate keys new --expires 2027-01-01T00:00:00Z
      both are shown; the name is made up

The section holds the key's SHA-256 only: nobody can read the key off it. Limits and the rest are added by hand, see
[keys.web] in the config.toml that comes with Sluicegate. Keys count where auth.mode is \"required\".";

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a virtual key: shown once on standard error, with its section of the configuration on
    /// standard output
    #[command(after_help = NEW)]
    New(NewKey),
}

/// A key to be.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Its name: that of its section in the file, and in logs, limits and metrics
    pub name: Option<String>,
    /// The team whose limits and budget it shares
    #[arg(long)]
    pub team: Option<String>,
    /// The models it may ask for, with `*` for any characters [default: all]
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub models: Vec<String>,
    /// When it ends, like 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// Makes a key: its section goes to `out`, the key to `err`.
///
/// # Errors
/// When neither can be written, or the system has no randomness to give.
pub fn run(
    command: &KeysCommand,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let KeysCommand::New(new) = command;
    let mut random = [0u8; RANDOM];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let section = section(new, &key);
    if let Err(problems) = Config::parse(
        &format!("{section}{ENOUGH}"),
        Path::new("the new section"),
        &|_| None,
    ) {
        writeln!(err, "{problems}")?;
        return Ok(ExitCode::FAILURE);
    }
    // The section first: where it cannot be written, no key is shown that would not count.
    out.write_all(section.as_bytes())?;
    out.flush()?;
    writeln!(
        err,
        "The key, shown this once:\n\n    {key}\n\nClients send it as `Authorization: Bearer <key>` or `x-api-key: <key>`.\n\
         Its section, for the configuration, is on standard output."
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Its section of the configuration (TOML). A value that could be a reference (`${…}`) is a
/// literal.
fn section(new: &NewKey, key: &str) -> String {
    let sha256: String = Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let named = new
        .name
        .clone()
        .unwrap_or_else(|| format!("key-{}", sha256.chars().take(8).collect::<String>()));
    let text = |text: &str| toml::Value::from(text.replace("${", "$${")).to_string();
    let bare = !named.is_empty()
        && named
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let name = if bare {
        named
    } else {
        toml::Value::from(named).to_string()
    };
    let mut section = format!("\n[keys.{name}]\nsha256 = \"{sha256}\"\n");
    if let Some(team) = &new.team {
        section.push_str(&format!("team = {}\n", text(team)));
    }
    if !new.models.is_empty() {
        let models: Vec<_> = new.models.iter().map(|model| text(model)).collect();
        section.push_str(&format!("models = [{}]\n", models.join(", ")));
    }
    if let Some(expires) = &new.expires {
        section.push_str(&format!("expires = {}\n", text(expires)));
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(
        name: Option<&str>,
        team: Option<&str>,
        models: &[&str],
        expires: Option<&str>,
    ) -> (ExitCode, String, String) {
        let owned = |text: &str| text.to_owned();
        let models = models.iter().copied().map(owned).collect();
        let command = KeysCommand::New(NewKey {
            name: name.map(owned),
            team: team.map(owned),
            models,
            expires: expires.map(owned),
        });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&command, &mut out, &mut err).unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    fn config(section: &str) -> Config {
        let text = format!("auth.mode = 'required'\n{section}{ENOUGH}");
        Config::parse(&text, Path::new("config.toml"), &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn shown(err: &str) -> &str {
        err.lines()
            .map(str::trim)
            .find(|line| line.starts_with(PREFIX))
            .unwrap()
    }

    #[test]
    fn the_section_goes_into_a_configuration_and_knows_the_key() {
        let (code, out, err) = new(
            Some("web"),
            Some("growth \"a\""),
            &["gpt-*", "o3"],
            Some("2127-01-01T00:00:00Z"),
        );
        assert_eq!(code, ExitCode::SUCCESS);
        let config = config(&out);
        let key = &config.auth.keys[0];
        assert_eq!(
            (&*key.name, key.team.as_deref(), &key.models[..]),
            (
                "web",
                Some("growth \"a\""),
                &["gpt-*".to_owned(), "o3".to_owned()][..]
            )
        );
        assert!(key.expires.is_some());
        assert_eq!(key.sha256, <[u8; 32]>::from(Sha256::digest(shown(&err))));
        assert!(
            !out.contains(shown(&err)),
            "the configuration holds no secret"
        );
        assert_eq!(shown(&err).len(), PREFIX.len() + 43);
    }

    #[test]
    fn every_key_is_another_also_without_a_name() {
        let ((_, one, first), (_, other, second)) =
            (new(None, None, &[], None), new(None, None, &[], None));
        assert_ne!(shown(&first), shown(&second));
        assert_eq!(config(&format!("{one}{other}")).auth.keys.len(), 2);
        assert_eq!(
            &*config(&new(Some("a b.c"), None, &[], None).1).auth.keys[0].name,
            "a b.c"
        );
    }

    #[test]
    fn what_a_configuration_would_refuse_is_refused_and_no_key_is_shown() {
        for (models, expires) in [
            (&["gpt-[45]"][..], None),
            (&[""], None),
            (&[], Some("tomorrow")),
            (&[], Some("2027-01-01")),
        ] {
            let (code, out, err) = new(Some("web"), None, models, expires);
            assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
            assert!(err.contains("keys.web") && !err.contains(PREFIX), "{err}");
        }
    }
}
