//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in strings; `$${` is a literal `${`.
//!
//! Invariants: works on parsed strings, never on the file's text, so that a value cannot become a
//! key or a comment; what was put in is not looked at again; mistakes name the reference, never a
//! value.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The largest file that `${file:PATH}` reads, bytes: secrets are small.
const FILE_BOUND: u64 = 1 << 20;

/// A reference that could not be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The reference as written, without its closing brace: to find its place.
    pub(super) written: String,
    /// What is wrong with it.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

/// Where values come from.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative paths begin at.
    pub(super) folder: &'a Path,
}

/// A piece of a string.
enum Piece<'a> {
    Text(&'a str),
    /// What stands between the braces.
    Reference(&'a str),
    /// All from a `${` that no brace closes.
    Unclosed,
}

/// `text` with its references replaced; `None` where it has none.
///
/// # Errors
/// All references that could not be followed.
pub(super) fn interpolate(
    text: &str,
    around: Surroundings<'_>,
) -> Result<Option<String>, Vec<Mistake>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut out, mut mistakes) = (String::new(), Vec::new());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Reference(inner) => match follow(inner, around) {
                Ok(value) => out.push_str(&value),
                Err(mistake) => mistakes.push(mistake),
            },
            Piece::Unclosed => mistakes.push(Mistake {
                written: "${".into(),
                message: "a `${` is not closed".into(),
                help: "close it with `}`, or write `$${` for a literal `${`".into(),
            }),
        }
    }
    if mistakes.is_empty() {
        Ok(Some(out))
    } else {
        Err(mistakes)
    }
}

/// Whether `text` says where its value is, and nothing of the value itself.
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
    // The first character is looked at already: it begins no reference.
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

fn follow(inner: &str, around: Surroundings<'_>) -> Result<String, Mistake> {
    if let Some(path) = inner.strip_prefix("file:") {
        return file(path, around.folder);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err(malformed(name));
    }
    if default.is_some_and(|default| default.contains("${")) {
        let message = format!("the default of `${{{name}:-…}}` has a reference in it");
        return Err(Mistake {
            written: format!("${{{name}"),
            message,
            help: "references cannot be nested: write the default out".into(),
        });
    }
    match ((around.env)(name), default) {
        // As in a shell, an empty variable counts as not set where there is a default.
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Mistake {
            written: format!("${{{name}"),
            message: format!("the environment variable `{name}` is not set"),
            help: format!("set it, or give a default: `${{{name}:-…}}`"),
        }),
    }
}

fn malformed(name: &str) -> Mistake {
    // What stands between the braces may be a secret put there by mistake; it is quoted only where
    // it looks like a name.
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
    Mistake {
        written: "${".into(),
        message,
        help: help.into(),
    }
}

fn file(path: &str, folder: &Path) -> Result<String, Mistake> {
    let full = folder.join(path);
    let mistake = |what: String| {
        Mistake {
        written: format!("${{file:{path}"),
        message: format!("{} cannot be read: {what}", full.display()),
        help: "name a small text file that Sluicegate may read; relative paths begin at the configuration's folder".into(),
    }
    };
    let mut text = String::new();
    File::open(&full)
        .and_then(|file| file.take(FILE_BOUND + 1).read_to_string(&mut text))
        .map_err(|error| mistake(error.to_string()))?;
    if text.len() as u64 > FILE_BOUND {
        return Err(mistake(format!("it is larger than {FILE_BOUND} bytes")));
    }
    // Editors and `echo` end a file with a line break that is no part of the secret.
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

    fn done(text: &str, folder: &Path) -> Result<Option<String>, Vec<Mistake>> {
        interpolate(text, Surroundings { env: &env, folder })
    }

    #[test]
    fn references_are_replaced_and_not_looked_at_again() {
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
                done(text, Path::new("")).unwrap().as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn all_mistakes_are_told_and_none_quotes_a_value() {
        let mistakes = done("${ONE} ${KEY} ${TWO} ${sk-secret} ${", Path::new("")).unwrap_err();
        let messages: Vec<_> = mistakes
            .iter()
            .map(|mistake| mistake.message.as_str())
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
            done("${A:-${B}}", Path::new("")).unwrap_err()[0]
                .message
                .contains("has a reference in it")
        );
    }

    #[test]
    fn files_are_read_without_their_last_line_break() {
        let scratch = Scratch::new();
        scratch.write("token", "sk-file\r\n");
        assert_eq!(
            done("x${file:token}", scratch.path()).unwrap().as_deref(),
            Some("xsk-file")
        );
        let missing = done("${file:none}", scratch.path()).unwrap_err();
        assert!(
            missing[0]
                .message
                .contains("none cannot be read: No such file"),
            "{missing:?}"
        );
    }

    #[test]
    fn a_file_too_large_for_a_secret_is_refused() {
        let scratch = Scratch::new();
        scratch.write("big", &"x".repeat(usize::try_from(FILE_BOUND).unwrap() + 1));
        assert!(
            done("${file:big}", scratch.path()).unwrap_err()[0]
                .message
                .contains("larger than")
        );
    }

    #[test]
    fn only_bare_references_are_public() {
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
