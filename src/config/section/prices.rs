//! `[prices]`: what targets cost. No price list is shipped: the operator writes what the contract
//! with the provider says.

use std::collections::BTreeMap;

use bytestring::ByteString;
use toml::de::DeValue;

use crate::config::nearest::nearest;
use crate::config::node::Node;
use crate::config::schema::PRICE;
use crate::config::table::Table;
use crate::model::money::{Money, Price};
use crate::model::target::Prices;

/// The most that a price or a budget may say: a slip of the pen, rather than money.
const MOST: u64 = 1_000_000_000;

/// The prices by the provider's name.
#[derive(Default)]
pub(in crate::config) struct PriceList {
    providers: BTreeMap<String, Prices>,
}

impl PriceList {
    /// Reads the section. `names` are those of all providers.
    pub(in crate::config) fn read(root: &Table<'_, '_>, names: &[&str]) -> Self {
        let mut list = Self::default();
        root.read("prices", |node| {
            Table::open_any(node)?.each(|target, node| list.add(target, node, names));
            Some(())
        });
        list
    }

    /// The prices of that provider.
    pub(in crate::config) fn of(&self, provider: &str) -> Prices {
        self.providers.get(provider).cloned().unwrap_or_default()
    }

    fn add(&mut self, target: &str, node: &Node<'_, '_>, names: &[&str]) -> Option<()> {
        let table = Table::open(node, PRICE)?;
        let Some((provider, model)) = target
            .split_once('/')
            .filter(|(provider, model)| !provider.is_empty() && !model.is_empty())
        else {
            return table.missing(
                "",
                "expected prices of a target",
                "write [prices.\"provider/model\"], or \"provider/*\" for all others of it",
            );
        };
        known(&table, provider, names)?;
        let price = price(&table)?;
        let prices = self.providers.entry(provider.to_owned()).or_default();
        if model == "*" {
            prices.others = Some(price);
        } else {
            prices.models.insert(ByteString::from(model), price);
        }
        Some(())
    }
}

fn known(table: &Table<'_, '_>, provider: &str, names: &[&str]) -> Option<()> {
    if table.doc.is_partial() || names.contains(&provider) {
        return Some(());
    }
    let help = nearest(provider, names.iter().copied()).map_or_else(
        || "what stands before the first slash names a [providers.<name>]".to_owned(),
        |near| format!("did you mean \"{near}/…\"?"),
    );
    table.missing("", format!("no provider is called {provider:?}"), help)
}

fn price(table: &Table<'_, '_>) -> Option<Price> {
    if !PRICE.iter().any(|key| table.has(key.name())) {
        return table.missing(
            "",
            "it has no price",
            "write what a million tokens cost: input = 1.25, output = 10.0",
        );
    }
    let read = |name| table.optional(name, amount);
    let (input, output) = (read("input"), read("output"));
    let (cached_input, cache_write) = (read("cached_input"), read("cache_write"));
    let (reasoning, request) = (read("reasoning"), read("request"));
    Some(Price {
        input: input?.unwrap_or_default(),
        cached_input: cached_input?,
        cache_write: cache_write?,
        output: output?.unwrap_or_default(),
        reasoning: reasoning?,
        request: request?.unwrap_or_default(),
    })
}

/// An amount of money, zero included, read by its digits.
pub(in crate::config) fn amount(node: &Node<'_, '_>) -> Option<Money> {
    let most = Money::nanos(MOST.saturating_mul(1_000_000_000));
    let read = match node.value.get_ref() {
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().parse::<Money>().ok(),
        DeValue::Float(digits) => digits.as_str().parse().ok(),
        DeValue::String(text) if text.contains("${") => node.text()?.value.trim().parse().ok(),
        _ => return node.unlike("a number like 1.25"),
    };
    node.publish();
    match read.filter(|amount| *amount <= most) {
        Some(amount) => Some(amount),
        None => node.refuse(format!(
            "expected a number from 0 to {MOST} with at most 9 digits behind the point"
        )),
    }
}
