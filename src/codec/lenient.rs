//! The one way to read the odd forms in which providers send JSON.
//!
//! | value | forms | type |
//! |---|---|---|
//! | string | a string | [`Text`] |
//! | name of an enum | a string, a number | [`Name`] |
//! | count, index | a number, with or without a fraction, or a string of digits | [`Count`], [`Index`] |
//! | flag | `true`, `false`, `null` | [`Flag`] |
//! | list | a list, `null`, one object | [`List`], [`RawList`] |
//! | object | an object, with the names of several providers for a field | `object!` |
//! | any, parsed later | any | [`Json`] |
//!
//! Invariants: a string without escapes is a slice of its frame. Half of a surrogate pair is one
//! U+FFFD: in a [`Text`] and in a [`Json`], and in the types that are read in one pass of several
//! forms after [`replace_lone_surrogates`]. A value of another type than these is an error, so that
//! no content is lost silently, but absent where a shape says so: in a [`Maybe`], a [`Count`], an
//! `object!` and a [`Json`]. No type implements `Debug`, because the values are completions, which
//! must not be logged.

mod form;
mod json;
mod list;
mod number;
mod object;
mod surrogates;
mod text;

pub use self::form::{Form, Maybe, or_absent, strictly};
pub use self::json::Json;
pub use self::list::{List, RawList};
pub use self::number::{Count, Flag, Index};
pub(crate) use self::object::object;
pub use self::surrogates::replace_lone_surrogates;
pub use self::text::{Key, Name, Text};
