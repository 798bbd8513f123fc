//! Reads the environment and credential files of this machine.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;

use super::Problem;

/// Maximum size of a credential file, bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The environment in which variables are looked up.
#[derive(Clone)]
pub(in crate::upstream) struct Environment(Arc<Lookup>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    /// The environment of the process.
    pub(in crate::upstream) fn from_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// An environment with these variables only.
    #[cfg(test)]
    pub(super) fn from_variables(variables: &[(&str, &str)]) -> Self {
        let all: std::collections::HashMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self(Arc::new(move |name| all.get(name).cloned()))
    }

    /// Returns a variable; `None` when it is unset or empty.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns a variable as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// Returns a path below the home directory.
    pub(super) fn at_home(&self, path: &str) -> Option<PathBuf> {
        self.path("HOME").map(|home| home.join(path))
    }
}

/// Reads a file; returns `None` when it does not exist. `what` names the file in errors: "the key
/// file".
pub(super) async fn read_optional(path: &Path, what: &str) -> Result<Option<String>, Problem> {
    read_text(path, what, |kind| kind == ErrorKind::NotFound).await
}

/// Reads a file at its default location, where a home directory that cannot be accessed counts as
/// empty.
pub(super) async fn read_default(path: &Path, what: &str) -> Result<Option<String>, Problem> {
    read_text(path, what, |kind| {
        matches!(
            kind,
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
        )
    })
    .await
}

async fn read_text(
    path: &Path,
    what: &str,
    absent: impl Fn(ErrorKind) -> bool,
) -> Result<Option<String>, Problem> {
    let bad = |why: &dyn fmt::Display| {
        Problem::new(format!("cannot read {what}"))
            .with_detail(format_args!("{}: {why}", path.display()))
    };
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if absent(error.kind()) => return Ok(None),
        Err(error) => return Err(bad(&error)),
    };
    let mut text = String::new();
    let length = file
        // One byte more than allowed, to detect a file that is too large.
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .await
        .map_err(|error| bad(&error))?;
    if length as u64 > MAX_FILE_BYTES {
        Err(bad(&format_args!(
            "it is larger than {MAX_FILE_BYTES} bytes"
        )))
    } else {
        Ok(Some(text))
    }
}

/// Reads a file that must exist.
pub(super) async fn read_required(path: &Path, what: &str) -> Result<String, Problem> {
    let missing = || {
        Problem::new(format!("{what} does not exist: check its path")).with_detail(path.display())
    };
    read_optional(path, what).await?.ok_or_else(missing)
}
