//! What this machine holds: environment and files.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;

use super::Problem;

/// A file with credentials is not larger.
const FILE_BYTES: u64 = 1024 * 1024;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The environment that names are looked up in.
#[derive(Clone)]
pub(in crate::upstream) struct Environment(Arc<Lookup>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    /// The process's own.
    pub(in crate::upstream) fn of_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// These variables and no others.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        let all: std::collections::HashMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self(Arc::new(move |name| all.get(name).cloned()))
    }

    /// The variable of that name; one that is empty is none.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The path that a variable gives.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// A path below the home directory.
    pub(super) fn at_home(&self, path: &str) -> Option<PathBuf> {
        self.path("HOME").map(|home| home.join(path))
    }
}

/// The text of a file, if there is one. `what` says whose it is: "the key file".
pub(super) async fn read(path: &Path, what: &str) -> Result<Option<String>, Problem> {
    text(path, what, |kind| kind == ErrorKind::NotFound).await
}

/// The same where nobody has named the file: a home that we may not look into is as good as none.
pub(super) async fn usual(path: &Path, what: &str) -> Result<Option<String>, Problem> {
    text(path, what, |kind| {
        matches!(
            kind,
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
        )
    })
    .await
}

async fn text(
    path: &Path,
    what: &str,
    absent: impl Fn(ErrorKind) -> bool,
) -> Result<Option<String>, Problem> {
    let bad = |why: &dyn fmt::Display| {
        Problem::new(format!("{what} cannot be read"))
            .with(format_args!("{}: {why}", path.display()))
    };
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if absent(error.kind()) => return Ok(None),
        Err(error) => return Err(bad(&error)),
    };
    let mut text = String::new();
    let length = file
        .take(FILE_BYTES + 1)
        .read_to_string(&mut text)
        .await
        .map_err(|error| bad(&error))?;
    if length as u64 > FILE_BYTES {
        Err(bad(&format_args!("it is larger than {FILE_BYTES} bytes")))
    } else {
        Ok(Some(text))
    }
}

/// The text of a file that is said to be there.
pub(super) async fn demand(path: &Path, what: &str) -> Result<String, Problem> {
    let missing =
        || Problem::new(format!("{what} is not there: check its path")).with(path.display());
    read(path, what).await?.ok_or_else(missing)
}
