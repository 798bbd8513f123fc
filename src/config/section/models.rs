//! `[models]`

use std::collections::BTreeMap;

use bytestring::ByteString;
use toml::de::DeValue;

use super::providers::Providers;
use crate::codec::quantity::parse_duration;
use crate::config::nearest::nearest;
use crate::config::node::{Node, Text};
use crate::config::quantity;
use crate::config::schema::{MODEL, TARGET};
use crate::config::table::Table;
use crate::model::target::{Target, Via};
use crate::route::{HedgeAfter, Model, RETRIES, Weighted};

/// Maximum weight of a target: sums of larger weights could overflow.
const MAX_WEIGHT: u64 = 1_000_000;

/// Maximum number of retries of one target: more would hide a failure instead of overcoming it.
const MAX_RETRIES: u64 = 10;

/// Reads `[models]`: the models by name.
pub(in crate::config) fn models(
    root: &Table<'_, '_>,
    providers: &Providers,
) -> BTreeMap<ByteString, Model> {
    let read = |node: &Node<'_, '_>| {
        Table::open_any(node).map(|table| table.each(|name, node| model(name, node, providers)))
    };
    root.read("models", read)
        .unwrap_or_default()
        .into_iter()
        .collect()
}

fn model(name: &str, node: &Node<'_, '_>, providers: &Providers) -> Option<(ByteString, Model)> {
    let table = Table::open(node, MODEL)?;
    if name.is_empty() || name.chars().any(char::is_control) {
        table.missing::<()>(
            "",
            "the name of a model must not be empty or contain control characters",
            "clients send this name as `model`",
        );
    }
    let retries = table
        .read("retries", |node| node.number(0, MAX_RETRIES))
        .and_then(|retries| u32::try_from(retries).ok());
    if !table.has("route") {
        return table.missing(
            "route",
            "missing",
            "list its targets: route = [\"provider/model\"]",
        );
    }
    let tiers = table.read("route", |node| route(node, providers))?;
    let has_several_targets = tiers.iter().map(Vec::len).sum::<usize>() > 1;
    let hedge_after = table.read("hedge_after", |node| hedge_after(node, has_several_targets));
    let sticky = table.read("sticky", |node| node.boolean()).unwrap_or(false);
    Some((
        name.into(),
        Model {
            tiers,
            retries: retries.unwrap_or(RETRIES),
            hedge_after,
            sticky,
        },
    ))
}

fn hedge_after(node: &Node<'_, '_>, has_several_targets: bool) -> Option<HedgeAfter> {
    const EXPECTED: &str = "\"p95\" or a duration like \"800ms\"";
    let text = node.text_or(EXPECTED)?;
    if !has_several_targets {
        return node.refuse_with(
            "hedging needs a second target, and this route has only one",
            "add a target to the route, or remove `hedge_after`",
        );
    }
    if text.value == "p95" {
        return Some(HedgeAfter::P95);
    }
    match parse_duration(&text.value) {
        Some(time) if time.is_zero() => node.refuse_with(
            "must be longer than zero: else every request goes to two targets",
            "set how long the first target may take: \"800ms\"",
        ),
        Some(time) if time <= quantity::MAX_DURATION => Some(HedgeAfter::Time(time)),
        _ => node.refuse(format!("expected {EXPECTED}, found {}", text.quoted())),
    }
}

fn route(node: &Node<'_, '_>, providers: &Providers) -> Option<Vec<Vec<Weighted>>> {
    const EXPECTED: &str = "a list of targets like [\"provider/model\"]";
    let tiers = node.list(EXPECTED, |node| tier(node, providers))?;
    if tiers.is_empty() {
        node.refuse_with(
            "must not be empty",
            "list at least one target: [\"provider/model\"]",
        )
    } else {
        Some(tiers)
    }
}

fn tier(node: &Node<'_, '_>, providers: &Providers) -> Option<Vec<Weighted>> {
    if node.is_list() {
        let tier = node.list("a list of targets", |node| weighted(node, providers))?;
        return if tier.is_empty() {
            node.refuse_with("this tier is empty", "list its targets, or remove it")
        } else {
            Some(tier)
        };
    }
    // Read before the check of `weight`, so that problems of the target are reported as well.
    let alone = weighted(node, providers);
    if matches!(node.value.get_ref(), DeValue::Table(table) if table.contains_key("weight")) {
        let help = "put targets that share the load into one inner list: [[{ target = \"a/x\", weight = 3 }, \"b/y\"]]";
        return node.refuse_with("`weight` has no effect on the only target of a tier", help);
    }
    alone.map(|target| vec![target])
}

fn weighted(node: &Node<'_, '_>, providers: &Providers) -> Option<Weighted> {
    if !node.is_table() {
        let text = node.text_or("a target like \"provider/model\"")?;
        return Some(Weighted {
            target: target(node, &text, providers)?,
            weight: 1,
        });
    }
    let table = Table::open(node, TARGET)?;
    if !table.has("target") {
        table.missing::<()>(
            "target",
            "missing",
            "set it: { target = \"provider/model\", weight = 3 }",
        );
    }
    let weight = table
        .read("weight", |node| node.number(1, MAX_WEIGHT))
        .and_then(|weight| u32::try_from(weight).ok());
    let target = table.read("target", |node| target(node, &node.text()?, providers))?;
    Some(Weighted {
        target,
        weight: weight.unwrap_or(1),
    })
}

fn target(node: &Node<'_, '_>, text: &Text, providers: &Providers) -> Option<Target> {
    let Some((provider, model)) = text
        .value
        .split_once('/')
        .filter(|(provider, model)| !provider.is_empty() && !model.is_empty())
    else {
        return node.refuse(format!(
            "expected a target like \"provider/model\", found {}",
            text.quoted()
        ));
    };
    let Some(provider) = providers.providers.get(provider) else {
        return report_unknown_provider(node, text, provider, providers);
    };
    if let Via::Replay(replay) = &provider.via {
        // The model becomes a file name: it must not leave the folder or name a hidden file.
        let plain = !model.contains(['/', '\\']) && !model.starts_with('.');
        if !plain || !replay.dir.join(model).is_file() {
            let help = "the model of a replay target is the name of a file in the provider's `dir`";
            return node.refuse_with(
                format!("the recording does not exist: {}", text.quoted()),
                help,
            );
        }
    }
    Some(Target {
        provider: provider.clone(),
        model: model.into(),
    })
}

fn report_unknown_provider<T>(
    node: &Node<'_, '_>,
    text: &Text,
    provider: &str,
    providers: &Providers,
) -> Option<T> {
    // A provider that is present but wrong has been reported already.
    if node.doc.is_partial() || providers.names.iter().any(|name| name == provider) {
        return None;
    }
    let message = format!("no provider is configured for the target {}", text.quoted());
    match nearest(provider, providers.names.iter().map(String::as_str)) {
        Some(near) => node.refuse_with(message, format!("did you mean \"{near}/…\"?")),
        None => node.refuse_with(
            message,
            "the part before the first slash must be the name of a [providers.<name>] section",
        ),
    }
}
