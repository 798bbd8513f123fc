//! The query of a request URI. Queries may contain tickets, so they are never logged.

use std::borrow::Cow;

use http::Uri;

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
}
