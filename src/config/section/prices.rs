//! `[prices]`: the prices of targets. No price list is shipped: the operator enters the prices of
//! the contract with the provider.

use std::collections::BTreeMap;

use bytestring::ByteString;
use toml::de::DeValue;

use crate::config::nearest::nearest;
use crate::config::node::Node;
use crate::config::schema::PRICE;
use crate::config::table::Table;
use crate::model::money::Money;
use crate::model::price::Price;
use crate::model::target::Prices;

/// Maximum amount of a price or a budget, in whole units of the currency. A larger one is a typing
/// error.
const MAX_AMOUNT: u64 = 1_000_000_000;

/// The prices by provider name.
#[derive(Default)]
pub(in crate::config) struct PriceList {
    providers: BTreeMap<String, Prices>,
}

impl PriceList {
    /// Reads `[prices]`. `names` are the names of all providers.
    pub(in crate::config) fn read(root: &Table<'_, '_>, names: &[&str]) -> Self {
        let mut list = Self::default();
        root.read("prices", |node| {
            Table::open_any(node)?.each(|target, node| list.add(target, node, names));
            Some(())
        });
        list
    }

    /// Returns the prices of a provider.
    pub(in crate::config) fn for_provider(&self, provider: &str) -> Prices {
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
                "the name of a price section must be a target",
                "write [prices.\"provider/model\"], or [prices.\"provider/*\"] for all other models of a provider",
            );
        };
        require_provider(&table, provider, names)?;
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

fn require_provider(table: &Table<'_, '_>, provider: &str, names: &[&str]) -> Option<()> {
    if table.doc.is_partial() || names.contains(&provider) {
        return Some(());
    }
    let help = nearest(provider, names.iter().copied()).map_or_else(
        || {
            "the part before the first slash must be the name of a [providers.<name>] section"
                .to_owned()
        },
        |near| format!("did you mean \"{near}/…\"?"),
    );
    table.missing("", format!("no provider is named {provider:?}"), help)
}

fn price(table: &Table<'_, '_>) -> Option<Price> {
    if !PRICE.iter().any(|key| table.has(key.name())) {
        return table.missing(
            "",
            "the section contains no price",
            "set what a million tokens cost: input = 1.25, output = 10.0",
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

/// Reads an amount of money, zero included. Its decimal digits are parsed, as a binary float would
/// round them.
pub(in crate::config) fn amount(node: &Node<'_, '_>) -> Option<Money> {
    let max = Money::from_nanos(MAX_AMOUNT.saturating_mul(1_000_000_000));
    let read = match node.value.get_ref() {
        // The parser's digits lack the radix prefix, so hexadecimal ones would be read as decimal.
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().parse::<Money>().ok(),
        DeValue::Float(digits) => digits.as_str().parse().ok(),
        DeValue::String(text) if text.contains("${") => node.text()?.value.trim().parse().ok(),
        _ => return node.public_mismatch("a number like 1.25"),
    };
    node.publish();
    match read.filter(|amount| *amount <= max) {
        Some(amount) => Some(amount),
        None => node.refuse(format!(
            "expected a number from 0 to {MAX_AMOUNT} with at most 9 decimal places"
        )),
    }
}
