//! Prices and budgets: what the rooms get, and what is said of those that are wrong.

use bytestring::ByteString;

use super::super::Config;
use super::{ENOUGH, WHOLE, bad, good};
use crate::model::money::{Money, Price};
use crate::model::target::Target;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn price(config: &Config, provider: &str, model: &'static str) -> Option<Price> {
    let account = config.route.accounts[provider].clone();
    Target { account, model: ByteString::from_static(model) }.price()
}

#[test]
fn a_price_is_found_by_its_target_and_else_by_its_provider() {
    let config = good(WHOLE);
    let named = Price {
        input: money("1.25"),
        cached_input: Some(money("0.125")),
        cache_write: Some(money("1")),
        output: money("9999"),
        reasoning: Some(money("20")),
        request: money("0.005"),
    };
    assert_eq!(price(&config, "openai", "a/b"), Some(named));
    let others = Price { output: money("3"), ..Price::default() };
    assert_eq!(price(&config, "openai", "a"), Some(others));
    assert_eq!(price(&config, "mine", "c"), None);
}

/// Each case with what is said of it.
fn said(cases: &[&str]) -> String {
    cases.iter().map(|case| format!("<<<\n{case}\n>>>\n{}\n", bad(&format!("{case}{ENOUGH}")))).collect()
}

#[test]
fn mistakes_in_prices() {
    insta::assert_snapshot!(said(&[
        "prices = 1",
        "[prices.up]\ninput = 1",
        "[prices.\"up/\"]\ninput = 1",
        "[prices.\"pu/m\"]\ninput = 1",
        "[prices.\"elsewhere/m\"]\ninput = 1",
        "[prices.\"up/m\"]",
        "[prices.\"up/m\"]\ninptu = 1",
        "[prices.\"up/m\"]\ninput = -1.0\noutput = nan\ncached_input = 1e99\ncache_write = '1'\nreasoning = 0x10\nrequest = 0.0000000001",
    ]));
}
