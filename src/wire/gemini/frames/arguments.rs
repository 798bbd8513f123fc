//! Joins function arguments that arrive in pieces (`partialArgs`), each with the JSON path of its
//! value: `$.items[0].name`.
//!
//! Invariants: the joined arguments are bounded in bytes and in depth; a piece that contradicts an
//! earlier one is an error and never lost silently.

use std::borrow::Cow;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::super::shape::PartialArg;
use crate::codec::lenient::Text;

/// Maximum size of one call's arguments, bytes. A model writes its arguments itself, so they are
/// some hundred KB at most.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Approximate cost of a value besides its text, bytes. An index beyond the end of a list is
/// charged for every element it adds.
const VALUE_COST: usize = 64;

/// Maximum nesting of arguments, far below the limit of JSON parsers.
const MAX_DEPTH: usize = 64;

/// The arguments of one call so far.
#[derive(Default)]
pub(super) struct PartialArguments {
    /// A tree, because pieces address values in it by path. It stays empty for calls that arrive
    /// complete.
    root: Map<String, Value>,
    /// The bytes charged so far, at most [`MAX_BYTES`].
    spent: usize,
}

impl PartialArguments {
    /// Adds a piece.
    ///
    /// # Errors
    /// When the piece does not fit; the error is the reason.
    pub(super) fn add(&mut self, piece: &PartialArg<'_>) -> Result<(), &'static str> {
        let path = piece.json_path.as_str();
        let text = piece.string_value.as_ref().map(Text::as_str);
        // The path and a fixed cost are charged too, because pieces without text also grow the
        // tree.
        self.spend(path.len() + text.map_or(0, str::len) + VALUE_COST)?;
        let steps = steps(path).ok_or("a partial argument has a `jsonPath` that cannot be read")?;
        let target = self.value_at(&steps)?;
        match (&mut *target, text) {
            // A string may continue over several pieces; other values come in one.
            (Value::String(so_far), Some(text)) => so_far.push_str(text),
            (Value::Null, Some(text)) => *target = Value::String(text.to_owned()),
            (Value::Null, None) => *target = scalar_value(piece),
            // A piece without a value adds nothing and contradicts nothing.
            (_, None) if piece.number_value.is_none() && piece.bool_value.is_none() => {}
            _ => return Err(CONTRADICTION),
        }
        Ok(())
    }

    /// Returns true if no piece has been added.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Returns the arguments as JSON text.
    pub(super) fn into_json(self) -> String {
        Value::Object(self.root).to_string()
    }

    fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent <= MAX_BYTES {
            Ok(())
        } else {
            Err("a function call's arguments are larger than 4 MiB")
        }
    }

    /// Returns the value at the end of the path, and creates the path where it is missing.
    fn value_at(&mut self, steps: &[Step<'_>]) -> Result<&mut Value, &'static str> {
        let (Some(Step::Key(first)), false) = (steps.first(), steps.len() > MAX_DEPTH) else {
            return Err(
                "a partial argument has a `jsonPath` that names no argument or is too deep",
            );
        };
        // Each step may lengthen a list. Check the total before building anything, because one
        // large index would otherwise allocate memory without bound.
        let lengths = steps.iter().filter_map(|step| {
            if let Step::Index(index) = step {
                Some(*index)
            } else {
                None
            }
        });
        let cost = lengths.fold(0usize, |sum, index| sum.saturating_add(index));
        if cost > (MAX_BYTES - self.spent.min(MAX_BYTES)) / VALUE_COST {
            return Err("a function call's arguments are larger than 4 MiB");
        }
        let mut at = self.root.entry(first.as_ref()).or_insert(Value::Null);
        let mut grown = 0;
        for step in steps.iter().skip(1) {
            at = step.enter(at, &mut grown).ok_or(CONTRADICTION)?;
        }
        self.spent = self.spent.saturating_add(grown * VALUE_COST);
        Ok(at)
    }
}

const CONTRADICTION: &str = "the partial arguments of a function call contradict each other";

fn scalar_value(piece: &PartialArg<'_>) -> Value {
    match (&piece.number_value, piece.bool_value) {
        (Some(number), _) => number.clone(),
        (None, Some(truth)) => Value::Bool(truth),
        (None, None) => Value::Null,
    }
}

enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

impl Step<'_> {
    /// Returns the value that this step leads to, or `None` if `value` is of another kind. Adds the
    /// number of list elements it creates to `grown`.
    fn enter<'v>(&self, value: &'v mut Value, grown: &mut usize) -> Option<&'v mut Value> {
        match self {
            Self::Key(key) => {
                if value.is_null() {
                    *value = Value::Object(Map::new());
                }
                Some(
                    value
                        .as_object_mut()?
                        .entry(key.as_ref())
                        .or_insert(Value::Null),
                )
            }
            Self::Index(index) => {
                if value.is_null() {
                    *value = Value::Array(Vec::new());
                }
                let list = value.as_array_mut()?;
                if list.len() <= *index {
                    *grown += index + 1 - list.len();
                    list.resize(index + 1, Value::Null);
                }
                list.get_mut(*index)
            }
        }
    }
}

/// Parses the steps of a path: `$`, then `.name`, `['name']`, `["name"]` and `[0]`. Returns `None`
/// if the path is malformed.
fn steps(path: &str) -> Option<SmallVec<[Step<'_>; 4]>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = SmallVec::new();
    while !rest.is_empty() {
        let (step, tail) = if let Some(bracket) = rest.strip_prefix('[') {
            bracketed(bracket)?
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let (name, tail) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
            (
                Step::Key(Cow::Borrowed((!name.is_empty()).then_some(name)?)),
                tail,
            )
        };
        steps.push(step);
        rest = tail;
    }
    Some(steps)
}

/// Parses the step after an opening bracket; returns it with the text after the closing bracket.
fn bracketed(text: &str) -> Option<(Step<'_>, &str)> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let (index, tail) = text.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), tail));
    };
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            // A backslash escapes the next character of a quoted name.
            '\\' => name.push(chars.next()?.1),
            c if c == quote => {
                return Some((
                    Step::Key(Cow::Owned(name)),
                    text.get(at + 1..)?.strip_prefix(']')?,
                ));
            }
            c => name.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the arguments that these pieces add up to.
    fn joined(pieces: &[&str]) -> Result<String, &'static str> {
        let mut all = PartialArguments::default();
        for piece in pieces {
            all.add(&serde_json::from_str(piece).unwrap())?;
        }
        Ok(all.into_json())
    }

    #[test]
    fn pieces_are_joined_by_their_paths() {
        let joined = joined(&[
            r#"{"jsonPath":"$.items[0].name","stringValue":"ap","willContinue":true}"#,
            r#"{"jsonPath":"$.items[0].name","stringValue":"ple \"x\""}"#,
            r#"{"jsonPath":"$.items[0].price","numberValue":0.5}"#,
            r#"{"jsonPath":"$.items[1]","boolValue":true}"#,
            r#"{"jsonPath":"$['a key']","nullValue":"NULL_VALUE"}"#,
            r#"{"json_path":"$[\"it's\"]['o\\'k']","number_value":7}"#,
        ]);
        let expected =
            r#"{"a key":null,"it's":{"o'k":7},"items":[{"name":"apple \"x\"","price":0.5},true]}"#;
        assert_eq!(joined.as_deref(), Ok(expected));
    }

    #[test]
    fn contradicting_pieces_are_errors() {
        for pieces in [
            [
                r#"{"jsonPath":"$.a","stringValue":"x"}"#,
                r#"{"jsonPath":"$.a.b","stringValue":"x"}"#,
            ],
            [
                r#"{"jsonPath":"$.a[0]","stringValue":"x"}"#,
                r#"{"jsonPath":"$.a.b","stringValue":"x"}"#,
            ],
            [
                r#"{"jsonPath":"$.a","numberValue":1}"#,
                r#"{"jsonPath":"$.a","numberValue":2}"#,
            ],
        ] {
            assert_eq!(joined(&pieces), Err(CONTRADICTION), "{pieces:?}");
        }
    }

    #[test]
    fn malformed_paths_are_errors() {
        for path in [
            "", "$", "$[0]", "$.a.", "$.a[", "$.a[x]", "$.a[-1]", "$['a'", "$['a", "$.a['b'c",
        ] {
            assert!(
                joined(&[&format!(r#"{{"jsonPath":{path:?},"stringValue":"x"}}"#)]).is_err(),
                "{path}"
            );
        }
        let deep = format!(
            r#"{{"jsonPath":"$.a{}","boolValue":true}}"#,
            "[0]".repeat(MAX_DEPTH)
        );
        assert!(joined(&[&deep]).is_err());
    }

    #[test]
    fn joined_arguments_are_bounded() {
        assert!(joined(&[r#"{"jsonPath":"$.a[4294967295]","boolValue":true}"#]).is_err());
        assert!(joined(&[r#"{"jsonPath":"$.a[18446744073709551615]","boolValue":true}"#]).is_err());
        let half = format!(
            r#"{{"jsonPath":"$.a","stringValue":"{}"}}"#,
            "x".repeat(MAX_BYTES / 2)
        );
        assert!(joined(&[&half]).is_ok());
        assert!(joined(&[&half, &half]).is_err());
        let gap = format!(
            r#"{{"jsonPath":"$.a[{}]","boolValue":true}}"#,
            MAX_BYTES / VALUE_COST - 8
        );
        let other = gap.replace("$.a", "$.b");
        assert!(joined(&[&gap]).is_ok());
        assert!(joined(&[&gap, &other]).is_err());
    }
}
