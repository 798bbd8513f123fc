//! Prices and budgets: their settings, and the problem reports of wrong ones.

use bytestring::ByteString;

use super::super::Config;
use super::{ALL_KEYS, MINIMAL, parsed, problems_of};
use crate::ledger::Budget;
use crate::model::money::Money;
use crate::model::price::Price;
use crate::model::target::Target;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn price(config: &Config, provider: &str, model: &'static str) -> Option<Price> {
    let provider = config.route.providers[provider].clone();
    Target {
        provider,
        model: ByteString::from_static(model),
    }
    .price()
}

#[test]
fn a_price_is_found_by_target_then_by_provider() {
    let config = parsed(ALL_KEYS);
    let named = Price {
        input: money("1.25"),
        cached_input: Some(money("0.125")),
        cache_write: Some(money("1")),
        output: money("9999"),
        reasoning: Some(money("20")),
        request: money("0.005"),
    };
    assert_eq!(price(&config, "openai", "a/b"), Some(named));
    let others = Price {
        output: money("3"),
        ..Price::default()
    };
    assert_eq!(price(&config, "openai", "a"), Some(others));
    assert_eq!(price(&config, "mine", "c"), None);
}

#[test]
fn budgets_become_settings() {
    let config = parsed(ALL_KEYS);
    let budget = |day: Option<&str>, month: Option<&str>| Budget {
        day: day.map(money),
        month: month.map(money),
        warn_at: 90,
    };
    assert_eq!(
        config.data_dir.as_deref(),
        Some(std::path::Path::new("data"))
    );
    assert_eq!(
        config.budgets.keys,
        [("web".into(), budget(Some("20"), Some("300")))].into()
    );
    assert_eq!(
        config.budgets.teams,
        [("growth".into(), budget(Some("50"), None))].into()
    );
    assert_eq!(
        (config.budgets.global, config.budgets.user),
        (budget(None, Some("9999")), budget(Some("0.5"), None))
    );
    let plain = parsed(MINIMAL);
    assert!(!plain.budgets.are_set() && plain.data_dir.is_none());
    assert_eq!(plain.budgets.global.warn_at, 80);
}

#[test]
fn surprising_settings_give_warnings() {
    assert_eq!(parsed(MINIMAL).warnings(), [""; 0]);
    let budget = format!("[budgets]\nuser = {{ day = 1 }}{MINIMAL}");
    insta::assert_snapshot!(parsed(&budget).warnings().join("\n"));
    let priced = format!("data_dir = 'data'\n{budget}[prices.'up/*']\ninput = 1\n");
    assert_eq!(parsed(&priced).warnings(), [""; 0]);
    assert_eq!(
        parsed(ALL_KEYS).warnings().len(),
        1,
        "targets without a price"
    );
    let key = format!("[keys.web]\nsecret = 'a-secret-of-some-length'\n{MINIMAL}");
    assert!(
        matches!(&*parsed(&key).warnings(), [warning] if warning.starts_with("auth.mode is \"none\" although [keys] are configured"))
    );
    assert_eq!(
        parsed(&format!("[auth]\nmode = 'required'\n{key}")).warnings(),
        [""; 0]
    );
    assert_eq!(
        parsed(MINIMAL).needs_restart(&parsed(&priced)),
        ["data_dir"]
    );
}

/// Renders each case with its problem report.
fn reports(cases: &[&str]) -> String {
    cases
        .iter()
        .map(|case| {
            format!(
                "<<<\n{case}\n>>>\n{}\n",
                problems_of(&format!("{case}{MINIMAL}"))
            )
        })
        .collect()
}

#[test]
fn mistakes_in_prices() {
    insta::assert_snapshot!(reports(&[
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

#[test]
fn mistakes_in_budgets() {
    insta::assert_snapshot!(reports(&[
        "data_dir = ''",
        "data_dir = 5",
        "data_dir = 'Cargo.toml'",
        "[keys.web]\nsecret = 'sk-1'\nbudget = 20",
        "[keys.web]\nsecret = 'sk-1'\nbudget = {}",
        "[keys.web]\nsecret = 'sk-1'\nbudget = { day = 0, week = 3 }",
        "[budgets]\nglobal = { day = 5, month = 4 }\nusers = { day = 1 }\nteams = 7",
        "[budgets]\nteams = { red = { month = '5' } }\nwarn_at = 80",
        "[budgets]\nwarn_at = '80%'",
    ]));
}
