//! Warnings about valid configurations that probably do not do what the operator intended.

use std::collections::BTreeSet;

use super::Config;
use crate::model::target::Target;

/// Maximum number of targets named in a warning.
const MAX_NAMED: usize = 5;

impl Config {
    /// Returns the warnings for the operator.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.auth.required && !self.auth.keys.is_empty() {
            warnings.push(
                "auth.mode is \"none\" although [keys] are configured: every client is accepted without a key, and the limits and budgets of keys do not apply; set auth.mode = \"required\""
                    .to_owned(),
            );
        }
        if !self.budgets.are_set() {
            return warnings;
        }
        if self.data_dir.is_none() {
            warnings.push(
                "budgets are configured without `data_dir`: the amounts spent are lost at every restart; set data_dir = \"/var/lib/sluicegate\""
                    .to_owned(),
            );
        }
        let unpriced = self.unpriced();
        if !unpriced.is_empty() {
            let more = unpriced.len().saturating_sub(MAX_NAMED);
            let named = unpriced
                .into_iter()
                .take(MAX_NAMED)
                .collect::<Vec<_>>()
                .join(", ");
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            warnings.push(format!("budgets are configured, but there is no price for {named}{more}, whose usage is charged to no budget; add [prices.\"provider/model\"]"));
        }
        warnings
    }

    /// Returns the targets without a price: targets of routes, and `provider/*` for providers with
    /// `direct = true`.
    fn unpriced(&self) -> BTreeSet<String> {
        let routed = self
            .route
            .models
            .values()
            .flat_map(|model| model.tiers.iter().flatten())
            .map(|weighted| weighted.target.clone());
        let direct = self
            .route
            .providers
            .values()
            .filter(|provider| provider.direct);
        let direct = direct.map(|provider| Target {
            provider: provider.clone(),
            model: "*".into(),
        });
        routed
            .chain(direct)
            .filter(|target| target.price().is_none())
            .map(|target| target.to_string())
            .collect()
    }
}
