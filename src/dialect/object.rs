//! A JSON object of a request, read field by field. An invalid value becomes a 400 that names the
//! field by its path; no message repeats a value, because it may be part of a prompt.
//!
//! `null` counts as absent, as in the OpenAI API.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::model::fault::{Code, Fault};

/// A JSON object with its path in the request body.
pub(super) struct Object<'a> {
    /// Prefix of the paths of its fields: empty for the body itself, otherwise the path with a dot,
    /// such as `messages[0].`.
    prefix: String,
    /// The fields of the object.
    pub(super) fields: Fields<'a>,
}

impl<'a> Object<'a> {
    /// Parses a request body.
    ///
    /// # Errors
    /// A 400 that names the position of the syntax error, or says that the body is not an object.
    pub(super) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let fields = Fields::parse(body)
            .map_err(|error| Fault::new(Code::InvalidRequest, body_message(&error)))?;
        Ok(Self {
            prefix: String::new(),
            fields,
        })
    }

    /// Parses `value` as an object; `path` is its place in the body.
    ///
    /// # Errors
    /// A 400 when the value is not an object.
    pub(super) fn at(path: &str, value: &'a RawValue) -> Result<Self, Fault> {
        // The body has been parsed, so the JSON is valid, and only its type can be wrong.
        let fields =
            Fields::parse(value.get().as_bytes()).map_err(|_| must_be(path, "an object"))?;
        Ok(Self {
            prefix: format!("{path}."),
            fields,
        })
    }

    /// Returns the path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the value of a field, unless it is absent or null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name).filter(|value| value.get() != "null")
    }

    /// Returns a 400 that says what was expected of a field.
    pub(super) fn invalid(&self, name: &str, expected: &str) -> Fault {
        must_be(&self.path(name), expected)
    }

    /// Checks that none of these fields occurs more than once.
    ///
    /// # Errors
    /// A 400 that names the field.
    pub(super) fn reject_duplicates(&self, lists: [&[&str]; 2]) -> Result<(), Fault> {
        // It is unknown which of several equal fields an upstream reads, so the one that is checked
        // might not be the one that counts.
        let mut lists = lists.into_iter();
        match lists.find_map(|names| self.fields.first_duplicate(names)) {
            Some(name) => Err(Fault::invalid(
                name,
                format!("`{name}` comes more than once; send it once"),
            )),
            None => Ok(()),
        }
    }

    /// Reads a field as any type; `None` where it is absent.
    ///
    /// # Errors
    /// A 400 that says what was expected.
    pub(super) fn read<T: Deserialize<'a>>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Fault> {
        self.raw(name)
            .map(|value| read(&self.path(name), value, expected))
            .transpose()
    }

    /// Reads a field as a string, borrowed where possible.
    ///
    /// # Errors
    /// A 400 when the field is not a string.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        Ok(self
            .read::<Text<'a>>(name, "a string")?
            .map(|Text(text)| text))
    }

    /// Reads a field as an owned string.
    ///
    /// # Errors
    /// A 400 when the field is not a string.
    pub(super) fn string(&self, name: &str) -> Result<Option<String>, Fault> {
        Ok(self.text(name)?.map(Cow::into_owned))
    }

    /// Reads a field that must be a string.
    ///
    /// # Errors
    /// A 400 when the field is absent or not a string.
    pub(super) fn required(&self, name: &str) -> Result<String, Fault> {
        self.string(name)?
            .ok_or_else(|| self.invalid(name, "a string"))
    }

    /// Reads a field that must be a non-empty string.
    ///
    /// # Errors
    /// A 400 when the field is absent, empty or not a string.
    pub(super) fn non_empty(&self, name: &str) -> Result<String, Fault> {
        Some(self.required(name)?)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.invalid(name, "a non-empty string"))
    }

    /// Reads a field as an object; `None` where it is absent.
    ///
    /// # Errors
    /// A 400 when the field is not an object.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Fault> {
        self.raw(name)
            .map(|value| Self::at(&self.path(name), value))
            .transpose()
    }

    /// Reads a field that must be an object.
    ///
    /// # Errors
    /// A 400 when the field is absent or not an object.
    pub(super) fn required_object(&self, name: &str) -> Result<Self, Fault> {
        self.object(name)?
            .ok_or_else(|| self.invalid(name, "an object"))
    }

    /// Reads a field that holds an object as its JSON, byte for byte; `None` where it is absent.
    ///
    /// # Errors
    /// A 400 when the field is not an object.
    pub(super) fn raw_object(&self, name: &str) -> Result<Option<Box<RawValue>>, Fault> {
        match self.raw(name) {
            Some(value) if !value.get().starts_with('{') => Err(self.invalid(name, "an object")),
            value => Ok(value.map(ToOwned::to_owned)),
        }
    }

    /// Reads a field that must hold an object as its JSON, byte for byte.
    ///
    /// # Errors
    /// A 400 when the field is absent or not an object.
    pub(super) fn required_raw_object(&self, name: &str) -> Result<Box<RawValue>, Fault> {
        self.raw_object(name)?
            .ok_or_else(|| self.invalid(name, "an object"))
    }

    /// Reads a field as an array of objects; an absent field is an empty array.
    ///
    /// # Errors
    /// A 400 that names the array, or the element that is not an object.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, Fault> {
        let list = self.objects_with_json(name)?;
        Ok(list.into_iter().map(|(object, _)| object).collect())
    }

    /// Reads a field as an array of objects, each with its JSON.
    ///
    /// # Errors
    /// A 400 that names the array, or the element that is not an object.
    pub(super) fn objects_with_json(&self, name: &str) -> Result<Vec<(Self, &'a RawValue)>, Fault> {
        let list: Vec<&'a RawValue> = self.read(name, "an array of objects")?.unwrap_or_default();
        let path = self.path(name);
        let element = |(i, json)| Ok((Self::at(&format!("{path}[{i}]"), json)?, json));
        list.into_iter().enumerate().map(element).collect()
    }
}

/// Deserializes `value` as any type; `path` is its place in the body.
///
/// # Errors
/// A 400 that says what was expected, or where the JSON is invalid.
pub(super) fn read<'a, T: Deserialize<'a>>(
    path: &str,
    value: &'a RawValue,
    expected: &str,
) -> Result<T, Fault> {
    serde_json::from_str(value.get()).map_err(|error| match error.classify() {
        // A raw value has been parsed once, but a string in it can still hold an unpaired
        // surrogate.
        Category::Data => must_be(path, expected),
        Category::Io | Category::Syntax | Category::Eof => {
            Fault::invalid(path, format!("`{path}` is not valid JSON: {error}"))
        }
    })
}

/// Returns a 400 that says what was expected of the value at `path`.
pub(super) fn must_be(path: &str, expected: &str) -> Fault {
    Fault::invalid(path, format!("`{path}` must be {expected}"))
}

/// A JSON string, borrowed where it contains no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn body_message(error: &serde_json::Error) -> String {
    match error.classify() {
        // serde_json names the position of an error, and repeats nothing of the body.
        Category::Data => "the request body must be a JSON object".to_owned(),
        Category::Io | Category::Syntax | Category::Eof => {
            format!("the request body is not valid JSON: {error}")
        }
    }
}
