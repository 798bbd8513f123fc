//! `sluicegate keys`: creates virtual keys.
//!
//! Invariants: a key is displayed once and stored nowhere; standard output can be appended to a
//! configuration unchanged and contains no secret.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// The prefix of every key, by which scanners for leaked secrets recognize it.
const KEY_PREFIX: &str = "sg-";
/// Number of random bytes in a key: 256 bits.
const RANDOM_BYTES: usize = 32;
/// A provider that is appended to the new section to validate it: a configuration needs something
/// to route to.
const MINIMAL_CONFIG: &str =
    "\n[providers.up]\nwire = 'openai-chat'\nbase_url = 'http://127.0.0.1:1'\ndirect = true\n";

const NEW_HELP: &str = "\
Examples:
  sluicegate keys new web --team growth --models 'gpt-*' >> config.toml
      prints the key in the terminal and appends its section to the configuration
  sluicegate keys new --expires 2027-01-01T00:00:00Z
      prints both; the name is generated

The section contains only the key's SHA-256, from which the key cannot be recovered. Add limits and
other settings by hand: see [keys.web] in the config.toml that is shipped with Sluicegate. Keys are
checked only if auth.mode is \"required\".";

/// A command for virtual keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create a virtual key: prints the key once to standard error, and its configuration section
    /// to standard output
    #[command(after_help = NEW_HELP)]
    New(NewKeyArgs),
}

/// Arguments of `sluicegate keys new`.
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// The key's name, in its configuration section, logs, limits and metrics [default: generated]
    pub name: Option<String>,
    /// The team whose limits and budget the key shares
    #[arg(long)]
    pub team: Option<String>,
    /// The models that the key may use; `*` matches any characters [default: all]
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub models: Vec<String>,
    /// The time at which the key expires, like 2027-01-01T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// Creates a key. Writes its section to `out` and the key to `err`.
///
/// # Errors
/// Returns an error if the output cannot be written, or if the system provides no random bytes.
pub fn run(
    command: &KeysCommand,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let KeysCommand::New(new) = command;
    let mut random = [0u8; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let section = section(new, &key);
    if let Err(problems) = Config::parse(
        &format!("{section}{MINIMAL_CONFIG}"),
        Path::new("the new key"),
        &|_| None,
    ) {
        writeln!(err, "{problems}")?;
        return Ok(ExitCode::FAILURE);
    }
    // The section is written first: if that fails, no key is displayed that the server would not
    // know.
    out.write_all(section.as_bytes())?;
    out.flush()?;
    writeln!(
        err,
        "The key (it is displayed only this once):\n\n    {key}\n\nClients send it as `Authorization: Bearer <key>` or `x-api-key: <key>`.\n\
         Its configuration section is on standard output."
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the key's configuration section (TOML). A `${` in a value is escaped, so that it stays a
/// literal.
fn section(new: &NewKeyArgs, key: &str) -> String {
    let sha256: String = Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name_or_generated = new
        .name
        .clone()
        .unwrap_or_else(|| format!("key-{}", sha256.chars().take(8).collect::<String>()));
    let text = |text: &str| toml::Value::from(text.replace("${", "$${")).to_string();
    let bare = !name_or_generated.is_empty()
        && name_or_generated
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let name = if bare {
        name_or_generated
    } else {
        toml::Value::from(name_or_generated).to_string()
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
        let command = KeysCommand::New(NewKeyArgs {
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
        let text = format!("auth.mode = 'required'\n{section}{MINIMAL_CONFIG}");
        Config::parse(&text, Path::new("config.toml"), &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn printed_key(err: &str) -> &str {
        err.lines()
            .map(str::trim)
            .find(|line| line.starts_with(KEY_PREFIX))
            .unwrap()
    }

    #[test]
    fn the_section_is_valid_and_matches_the_key() {
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
        assert_eq!(
            key.sha256,
            <[u8; 32]>::from(Sha256::digest(printed_key(&err)))
        );
        assert!(
            !out.contains(printed_key(&err)),
            "the configuration holds no secret"
        );
        assert_eq!(printed_key(&err).len(), KEY_PREFIX.len() + 43);
    }

    #[test]
    fn every_key_is_different() {
        let ((_, one, first), (_, other, second)) =
            (new(None, None, &[], None), new(None, None, &[], None));
        assert_ne!(printed_key(&first), printed_key(&second));
        assert_eq!(config(&format!("{one}{other}")).auth.keys.len(), 2);
        assert_eq!(
            &*config(&new(Some("a b.c"), None, &[], None).1).auth.keys[0].name,
            "a b.c"
        );
    }

    #[test]
    fn an_invalid_section_is_rejected_and_no_key_is_printed() {
        for (models, expires) in [
            (&["gpt-[45]"][..], None),
            (&[""], None),
            (&[], Some("tomorrow")),
            (&[], Some("2027-01-01")),
        ] {
            let (code, out, err) = new(Some("web"), None, models, expires);
            assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
            assert!(
                err.contains("keys.web") && !err.contains(KEY_PREFIX),
                "{err}"
            );
        }
    }
}
