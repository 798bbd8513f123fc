//! References in strings: `${NAME}`, `${NAME:-default}` and `${file:PATH}`; `$${` is a literal
//! `${`.
//!
//! Invariants: references are replaced in parsed strings, never in the file's text, so that a value
//! cannot become a key or a comment; inserted values are not searched for references; errors name
//! the reference, never a value.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Maximum size of a file that `${file:PATH}` reads, bytes. Secrets are small.
const MAX_FILE: u64 = 1 << 20;

/// A reference that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadReference {
    /// The reference as written, without its closing brace. Used to find its place.
    pub(super) written: String,
    /// The description of the problem.
    pub(super) message: String,
    /// The remedy.
    pub(super) help: String,
}

/// The sources of values for references.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// Looks up an environment variable.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative paths start at.
    pub(super) folder: &'a Path,
}

/// A piece of a string.
enum Piece<'a> {
    Text(&'a str),
    /// The text between the braces.
    Reference(&'a str),
    /// The rest of the string after a `${` without a closing brace.
    Unclosed,
}

/// Returns `text` with its references replaced; `None` if it contains none.
///
/// # Errors
/// Returns all references that cannot be resolved.
pub(super) fn interpolate(
    text: &str,
    sources: Sources<'_>,
) -> Result<Option<String>, Vec<BadReference>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut out, mut bad) = (String::new(), Vec::new());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Reference(inner) => match resolve(inner, sources) {
                Ok(value) => out.push_str(&value),
                Err(bad_reference) => bad.push(bad_reference),
            },
            Piece::Unclosed => bad.push(BadReference {
                written: "${".into(),
                message: "a `${` is not closed".into(),
                help: "close it with `}`, or write `$${` for a literal `${`".into(),
            }),
        }
    }
    if bad.is_empty() {
        Ok(Some(out))
    } else {
        Err(bad)
    }
}

/// True if `text` consists only of references without defaults, so that it contains no part of a
/// secret.
pub(super) fn is_reference(text: &str) -> bool {
    let plain = |piece| matches!(piece, Piece::Reference(inner) if inner.starts_with("file:") || is_name(inner));
    !text.is_empty() && pieces(text).all(plain)
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = piece(rest)?;
        rest = after;
        Some(piece)
    })
}

fn piece(text: &str) -> Option<(Piece<'_>, &str)> {
    if text.is_empty() {
        return None;
    }
    if let Some(after) = text.strip_prefix("$${") {
        return Some((Piece::Text("${"), after));
    }
    if let Some(after) = text.strip_prefix("${") {
        return Some(match after.split_once('}') {
            Some((inner, after)) => (Piece::Reference(inner), after),
            None => (Piece::Unclosed, ""),
        });
    }
    // The checks above show that no reference begins at the first character, so it is skipped.
    let next = text.char_indices().skip(1).find(|(at, _)| {
        text.get(*at..)
            .is_some_and(|rest| rest.starts_with("$${") || rest.starts_with("${"))
    });
    let (head, after) = text.split_at(next.map_or(text.len(), |(at, _)| at));
    Some((Piece::Text(head), after))
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn resolve(inner: &str, sources: Sources<'_>) -> Result<String, BadReference> {
    if let Some(path) = inner.strip_prefix("file:") {
        return file(path, sources.folder);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err(malformed_reference(name));
    }
    if default.is_some_and(|default| default.contains("${")) {
        let message = format!("the default of `${{{name}:-…}}` contains a reference");
        return Err(BadReference {
            written: format!("${{{name}"),
            message,
            help: "references cannot be nested: write the default as plain text".into(),
        });
    }
    match ((sources.env)(name), default) {
        // As in a shell, an empty variable counts as not set if there is a default.
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(BadReference {
            written: format!("${{{name}"),
            message: format!("the environment variable `{name}` is not set"),
            help: format!("set it, or give a default: `${{{name}:-…}}`"),
        }),
    }
}

fn malformed_reference(name: &str) -> BadReference {
    // The text between the braces may be a secret put there by mistake, so it is quoted only if it
    // looks like a name.
    let looks_like_name = name.len() <= 40
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-' | b'.'));
    let message = if looks_like_name && !name.is_empty() {
        format!("`${{{name}}}` does not name an environment variable")
    } else {
        "a `${…}` does not name an environment variable".to_owned()
    };
    let help = "write `${NAME}`, `${NAME:-default}` or `${file:PATH}`, or `$${` for a literal `${`";
    BadReference {
        written: "${".into(),
        message,
        help: help.into(),
    }
}

fn file(path: &str, folder: &Path) -> Result<String, BadReference> {
    let full = folder.join(path);
    let bad_reference = |what: String| {
        BadReference {
        written: format!("${{file:{path}"),
        message: format!("{} cannot be read: {what}", full.display()),
        help: "name a text file of at most 1 MiB that Sluicegate can read; relative paths start at the folder of the configuration file".into(),
    }
    };
    let mut text = String::new();
    File::open(&full)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(|error| bad_reference(error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(bad_reference(format!("it is larger than {MAX_FILE} bytes")));
    }
    // Editors and `echo` end a file with a line break that is not part of the secret.
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1 ${KEY} }".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn interpolated(text: &str, folder: &Path) -> Result<Option<String>, Vec<BadReference>> {
        interpolate(text, Sources { env: &env, folder })
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, expected) in [
            ("plain $ text {}", None),
            ("$", None),
            ("${KEY}", Some("sk-1 ${KEY} }")),
            ("a${KEY}b", Some("ask-1 ${KEY} }b")),
            ("${NONE:-default}", Some("default")),
            ("${NONE:-}", Some("")),
            ("${EMPTY:-default}", Some("default")),
            ("${EMPTY}", Some("")),
            ("${NONE:-a:-b}", Some("a:-b")),
            ("$${KEY}", Some("${KEY}")),
            ("$$${KEY}", Some("$${KEY}")),
            ("ü$${é${EMPTY}", Some("ü${é")),
        ] {
            assert_eq!(
                interpolated(text, Path::new("")).unwrap().as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn all_bad_references_are_reported_without_values() {
        let bad = interpolated("${ONE} ${KEY} ${TWO} ${sk-secret} ${", Path::new("")).unwrap_err();
        let messages: Vec<_> = bad
            .iter()
            .map(|bad_reference| bad_reference.message.as_str())
            .collect();
        assert_eq!(
            messages,
            [
                "the environment variable `ONE` is not set",
                "the environment variable `TWO` is not set",
                "a `${…}` does not name an environment variable",
                "a `${` is not closed",
            ]
        );
        assert!(
            interpolated("${A:-${B}}", Path::new("")).unwrap_err()[0]
                .message
                .contains("contains a reference")
        );
    }

    #[test]
    fn files_are_read_without_their_last_line_break() {
        let scratch = Scratch::new();
        scratch.write("token", "sk-file\r\n");
        assert_eq!(
            interpolated("x${file:token}", scratch.path())
                .unwrap()
                .as_deref(),
            Some("xsk-file")
        );
        let missing = interpolated("${file:none}", scratch.path()).unwrap_err();
        assert!(
            missing[0]
                .message
                .contains("none cannot be read: No such file"),
            "{missing:?}"
        );
    }

    #[test]
    fn a_file_too_large_for_a_secret_is_rejected() {
        let scratch = Scratch::new();
        scratch.write("big", &"x".repeat(usize::try_from(MAX_FILE).unwrap() + 1));
        assert!(
            interpolated("${file:big}", scratch.path()).unwrap_err()[0]
                .message
                .contains("larger than")
        );
    }

    #[test]
    fn only_bare_references_may_be_displayed() {
        assert!(
            is_reference("${KEY}")
                && is_reference("${file:/run/secret}")
                && is_reference("${A}${B}")
        );
        for text in ["", "x${KEY}", "${KEY:-default}", "$${KEY}", "${", "${sk-1}"] {
            assert!(!is_reference(text), "{text}");
        }
    }
}
