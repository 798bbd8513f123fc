//! `[ui]`

use bytestring::ByteString;

use crate::config::nearest::nearest;
use crate::config::node::Node;
use crate::config::schema::UI;
use crate::config::table::Table;
use crate::route::Settings;

/// The model of the dialect `ui` where the client names none.
pub(in crate::config) fn model(root: &Table<'_, '_>, route: &Settings) -> Option<ByteString> {
    root.section("ui", UI, |table| {
        table.read("model", |node| known(node, route))
    })
    .flatten()
}

fn known(node: &Node<'_, '_>, route: &Settings) -> Option<ByteString> {
    let text = node.text()?;
    let named = text
        .value
        .split_once('/')
        .filter(|(_, model)| !model.is_empty());
    let direct = named
        .and_then(|(provider, _)| route.providers.get(provider))
        .is_some_and(|it| it.direct);
    // In a file that is read in part only, the model may stand in the other one.
    if direct || route.models.contains_key(text.value.as_str()) || node.doc.is_partial() {
        return Some(text.value.into());
    }
    let message = format!("there is no model {}", text.quoted());
    match nearest(&text.value, route.models.keys().map(|name| &**name)) {
        Some(near) => node.refuse_with(message, format!("did you mean {near:?}?")),
        None => node.refuse_with(message, "name one of [models.<name>]"),
    }
}
