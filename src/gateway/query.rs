//! The query of a request's address. Queries may hold rights: they are never logged.

use std::borrow::Cow;

use http::Uri;

/// The parameters of a query.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    list: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Those of an address; the first 32 of them.
    pub(super) fn of(uri: &'a Uri) -> Self {
        let text = uri.query().unwrap_or_default();
        Self {
            list: form_urlencoded::parse(text.as_bytes()).take(32).collect(),
        }
    }

    /// The first of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.list
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }
}
