//! A JSON object of a request, read field by field. What is not as it should be is a 400 that names
//! the field by its path; no message repeats a value.
//!
//! `null` counts as absent, as it does with OpenAI.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::model::fault::{Code, Fault};

/// An object and where it stands.
pub(super) struct Object<'a> {
    /// Empty at the top, else the path with its dot: `messages[0].`.
    prefix: String,
    /// Its fields.
    pub(super) fields: Fields<'a>,
}

impl<'a> Object<'a> {
    /// The object that a request body is.
    ///
    /// # Errors
    /// A 400 that says where the JSON is broken.
    pub(super) fn body(body: &'a [u8]) -> Result<Self, Fault> {
        let fields = Fields::of(body)
            .map_err(|error| Fault::new(Code::InvalidRequest, body_message(&error)))?;
        Ok(Self {
            prefix: String::new(),
            fields,
        })
    }

    /// The object that `value` at `path` is.
    ///
    /// # Errors
    /// A 400 when it is none.
    pub(super) fn at(path: &str, value: &'a RawValue) -> Result<Self, Fault> {
        let fields = Fields::of(value.get().as_bytes()).map_err(|_| must_be(path, "an object"))?;
        Ok(Self {
            prefix: format!("{path}."),
            fields,
        })
    }

    /// The path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The value of a field, unless it is absent or null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name).filter(|value| value.get() != "null")
    }

    /// A 400 about a field.
    pub(super) fn refuse(&self, name: &str, expected: &str) -> Fault {
        must_be(&self.path(name), expected)
    }

    /// A field as any type.
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

    /// A field as a string.
    ///
    /// # Errors
    /// A 400 when it is none.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        Ok(self
            .read::<Text<'a>>(name, "a string")?
            .map(|Text(text)| text))
    }

    /// A field as a string of its own.
    ///
    /// # Errors
    /// A 400 when it is none.
    pub(super) fn string(&self, name: &str) -> Result<Option<String>, Fault> {
        Ok(self.text(name)?.map(Cow::into_owned))
    }

    /// A field that must be a string.
    ///
    /// # Errors
    /// A 400 when it is none or absent.
    pub(super) fn required(&self, name: &str) -> Result<String, Fault> {
        self.string(name)?
            .ok_or_else(|| self.refuse(name, "a string"))
    }

    /// A field that must be a string and not empty.
    ///
    /// # Errors
    /// A 400 when it is none, absent or empty.
    pub(super) fn filled(&self, name: &str) -> Result<String, Fault> {
        Some(self.required(name)?)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.refuse(name, "a non-empty string"))
    }

    /// A field as an object.
    ///
    /// # Errors
    /// A 400 when it is none.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Fault> {
        self.raw(name)
            .map(|value| Self::at(&self.path(name), value))
            .transpose()
    }

    /// A field that must be an object.
    ///
    /// # Errors
    /// A 400 when it is none or absent.
    pub(super) fn required_object(&self, name: &str) -> Result<Self, Fault> {
        self.object(name)?
            .ok_or_else(|| self.refuse(name, "an object"))
    }

    /// A field as an array of objects.
    ///
    /// # Errors
    /// A 400 that names the array or the element which is not as expected.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, Fault> {
        let list: Vec<&'a RawValue> = self.read(name, "an array of objects")?.unwrap_or_default();
        let path = self.path(name);
        list.into_iter()
            .enumerate()
            .map(|(i, value)| Self::at(&format!("{path}[{i}]"), value))
            .collect()
    }
}

/// A value as any type.
///
/// # Errors
/// A 400 that says what was expected, or how its JSON is broken.
pub(super) fn read<'a, T: Deserialize<'a>>(
    path: &str,
    value: &'a RawValue,
    expected: &str,
) -> Result<T, Fault> {
    serde_json::from_str(value.get()).map_err(|error| match error.classify() {
        Category::Data => must_be(path, expected),
        Category::Io | Category::Syntax | Category::Eof => {
            Fault::invalid(path, format!("`{path}` is not valid JSON: {error}"))
        }
    })
}

/// A 400 about the value at `path`.
pub(super) fn must_be(path: &str, expected: &str) -> Fault {
    Fault::invalid(path, format!("`{path}` must be {expected}"))
}

/// A string, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn body_message(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => "the request body must be a JSON object".to_owned(),
        Category::Io | Category::Syntax | Category::Eof => {
            format!("the request body is not valid JSON: {error}")
        }
    }
}
