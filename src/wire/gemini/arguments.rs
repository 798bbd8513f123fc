//! Function arguments that come in pieces, each with the path it belongs to: `$.items[0].name`.
//!
//! Invariants: what is kept is bounded, in bytes and in depth; a piece that contradicts an earlier
//! one is an error, never a silent loss.

use std::borrow::Cow;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::schema::PartialArg;

/// The most bytes that the pieces of one call may come to: arguments are what a model wrote, so
/// some hundred KB at most.
const BYTES_BOUND: usize = 4 * 1024 * 1024;

/// What a value costs besides its text, about; an index far behind the end of a list pays for each
/// value before it.
const VALUE_COST: usize = 64;

/// The deepest nesting of arguments: far below what JSON parsers take.
const DEPTH_BOUND: usize = 64;

/// The arguments of one call so far.
#[derive(Default)]
pub(super) struct Pieces {
    /// A tree is kept because pieces name places in it; nothing of it is built for calls that come
    /// whole.
    root: Map<String, Value>,
    spent: usize,
}

impl Pieces {
    /// Takes in a piece; what is wrong with it, where it does not fit.
    pub(super) fn add(&mut self, piece: &PartialArg<'_>) -> Result<(), &'static str> {
        let path = &*piece.json_path.0;
        let text = piece.string_value.as_ref().map(|text| &*text.0);
        self.spend(path.len() + text.map_or(0, str::len) + VALUE_COST)?;
        let steps = steps(path)
            .ok_or("a piece of a function call's arguments has no path that can be read")?;
        let place = self.place(&steps)?;
        match (&mut *place, text) {
            (Value::String(so_far), Some(text)) => so_far.push_str(text),
            (Value::Null, Some(text)) => *place = Value::String(text.to_owned()),
            (Value::Null, None) => *place = plain_value(piece),
            (_, None) if piece.number_value.is_none() && piece.bool_value.is_none() => {}
            _ => return Err(CONTRADICTION),
        }
        Ok(())
    }

    /// True while nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// All of it as JSON text.
    pub(super) fn json(self) -> String {
        Value::Object(self.root).to_string()
    }

    fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent <= BYTES_BOUND {
            Ok(())
        } else {
            Err("a function call's arguments are larger than 4 MiB")
        }
    }

    /// The value at the end of the path, made where there is none yet.
    fn place(&mut self, steps: &[Step<'_>]) -> Result<&mut Value, &'static str> {
        let (Some(Step::Key(first)), false) = (steps.first(), steps.len() > DEPTH_BOUND) else {
            return Err("a piece of a function call's arguments has a path that names no argument");
        };
        // Every step may lengthen one list; all are paid for before any is built.
        let lengths = steps.iter().filter_map(|step| {
            if let Step::Index(index) = step {
                Some(*index)
            } else {
                None
            }
        });
        let cost = lengths.fold(0usize, |sum, index| sum.saturating_add(index));
        if cost > (BYTES_BOUND - self.spent.min(BYTES_BOUND)) / VALUE_COST {
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

const CONTRADICTION: &str = "the pieces of a function call's arguments contradict each other";

fn plain_value(piece: &PartialArg<'_>) -> Value {
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
    /// The value this step leads to; `None` where `value` is of another kind. Counts the list
    /// elements it makes.
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

/// The steps of a path: `$`, then `.name`, `['name']`, `["name"]` and `[0]`.
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

/// The step after an opening bracket, and what follows its closing one.
fn bracketed(text: &str) -> Option<(Step<'_>, &str)> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let (index, tail) = text.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), tail));
    };
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
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

    /// The arguments that these pieces make.
    fn made(pieces: &[&str]) -> Result<String, &'static str> {
        let mut all = Pieces::default();
        for piece in pieces {
            all.add(&serde_json::from_str(piece).unwrap())?;
        }
        Ok(all.json())
    }

    #[test]
    fn pieces_are_put_where_their_paths_say() {
        let made = made(&[
            r#"{"jsonPath":"$.items[0].name","stringValue":"ap","willContinue":true}"#,
            r#"{"jsonPath":"$.items[0].name","stringValue":"ple \"x\""}"#,
            r#"{"jsonPath":"$.items[0].price","numberValue":0.5}"#,
            r#"{"jsonPath":"$.items[1]","boolValue":true}"#,
            r#"{"jsonPath":"$['a key']","nullValue":"NULL_VALUE"}"#,
            r#"{"json_path":"$[\"it's\"]['o\\'k']","number_value":7}"#,
        ]);
        let expected =
            r#"{"a key":null,"it's":{"o'k":7},"items":[{"name":"apple \"x\"","price":0.5},true]}"#;
        assert_eq!(made.as_deref(), Ok(expected));
    }

    #[test]
    fn contradictions_are_errors() {
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
            assert_eq!(made(&pieces), Err(CONTRADICTION), "{pieces:?}");
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_errors() {
        for path in [
            "", "$", "$[0]", "$.a.", "$.a[", "$.a[x]", "$.a[-1]", "$['a'", "$['a", "$.a['b'c",
        ] {
            assert!(
                made(&[&format!(r#"{{"jsonPath":{path:?},"stringValue":"x"}}"#)]).is_err(),
                "{path}"
            );
        }
        let deep = format!(
            r#"{{"jsonPath":"$.a{}","boolValue":true}}"#,
            "[0]".repeat(DEPTH_BOUND)
        );
        assert!(made(&[&deep]).is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        assert!(made(&[r#"{"jsonPath":"$.a[4294967295]","boolValue":true}"#]).is_err());
        assert!(made(&[r#"{"jsonPath":"$.a[18446744073709551615]","boolValue":true}"#]).is_err());
        let half = format!(
            r#"{{"jsonPath":"$.a","stringValue":"{}"}}"#,
            "x".repeat(BYTES_BOUND / 2)
        );
        assert!(made(&[&half]).is_ok());
        assert!(made(&[&half, &half]).is_err());
        let gap = format!(
            r#"{{"jsonPath":"$.a[{}]","boolValue":true}}"#,
            BYTES_BOUND / VALUE_COST - 8
        );
        let other = gap.replace("$.a", "$.b");
        assert!(made(&[&gap]).is_ok());
        assert!(made(&[&gap, &other]).is_err());
    }
}
