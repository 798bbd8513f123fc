//! `headers`: the headers that a provider is sent with every request.

use http::{HeaderName, HeaderValue};

use crate::config::node::Node;
use crate::config::table::Table;

/// Headers that Sluicegate sets itself: they belong to the connection or to the body.
const RESERVED_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "accept-encoding",
];

pub(super) fn headers(node: &Node<'_, '_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let table = Table::open_any(node)?;
    Some(table.each(header))
}

fn header(name: &str, node: &Node<'_, '_>) -> Option<(HeaderName, HeaderValue)> {
    let Ok(header) = name.parse::<HeaderName>() else {
        return node.refuse("this is not a valid header name");
    };
    if RESERVED_HEADERS.contains(&header.as_str()) {
        return node.refuse_with("Sluicegate sets this header itself", "remove it");
    }
    match HeaderValue::try_from(node.secret()?.value) {
        Ok(mut value) => {
            // A header may carry a credential; `Debug` hides sensitive values.
            value.set_sensitive(true);
            Some((header, value))
        }
        Err(_) => node.refuse_with(
            "the value cannot be sent in a header",
            "remove line breaks and control characters",
        ),
    }
}
