//! `[ui]`

use bytestring::ByteString;

use crate::config::nearest::nearest;
use crate::config::node::Node;
use crate::config::schema::UI;
use crate::config::table::Table;
use crate::route::Settings;

/// Reads the model of the dialect `ui` for requests that name none.
pub(in crate::config) fn model(root: &Table<'_, '_>, route: &Settings) -> Option<ByteString> {
    root.section("ui", UI, |table| {
        table.read("model", |node| existing_model(node, route))
    })
    .flatten()
}

fn existing_model(node: &Node<'_, '_>, route: &Settings) -> Option<ByteString> {
    let text = node.text()?;
    let named = text
        .value
        .split_once('/')
        .filter(|(_, model)| !model.is_empty());
    let direct = named
        .and_then(|(provider, _)| route.providers.get(provider))
        .is_some_and(|it| it.direct);
    // The unparsed part of a broken file may contain the model.
    if direct || route.models.contains_key(text.value.as_str()) || node.doc.is_partial() {
        return Some(text.value.into());
    }
    let message = format!("no model is named {}", text.quoted());
    match nearest(&text.value, route.models.keys().map(|name| &**name)) {
        Some(near) => node.refuse_with(message, format!("did you mean {near:?}?")),
        None => node.refuse_with(message, "use the name of a [models.<name>] section"),
    }
}
