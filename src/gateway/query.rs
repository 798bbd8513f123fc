//! The query of a request URI. Queries may contain tickets, so they are never logged.

use std::borrow::Cow;

use http::Uri;

use crate::model::fault::Fault;

/// The parameters of a query.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Parses the query of a URI; parameters after the first 32 are ignored.
    pub(super) fn parse(uri: &'a Uri) -> Self {
        let text = uri.query().unwrap_or_default();
        Self {
            parameters: form_urlencoded::parse(text.as_bytes()).take(32).collect(),
        }
    }

    /// Returns the value of the first parameter with this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    /// Returns the size of a page: the parameter `limit`, or `default` if it is absent.
    ///
    /// # Errors
    /// When `limit` is not a number from 1 to `max`.
    pub(super) fn page_limit(&self, default: usize, max: usize) -> Result<usize, Fault> {
        let Some(text) = self.get("limit") else {
            return Ok(default);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| {
            Fault::invalid("limit", format!("`limit` takes a number from 1 to {max}"))
        })
    }
}
