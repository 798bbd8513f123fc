//! What is no mistake, and will surprise all the same.

use std::collections::BTreeSet;

use super::Config;
use crate::model::target::Target;

/// The targets that a warning names, at the most.
const NAMED: usize = 5;

impl Config {
    /// Sentences for the operator.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.auth.required && !self.auth.keys.is_empty() {
            warnings.push(
                "there are keys, and auth.mode is \"none\": everybody may ask, and no key, nor what is limited by it, counts; set mode = \"required\""
                    .to_owned(),
            );
        }
        if !self.budgets.are_set() {
            return warnings;
        }
        if self.data_dir.is_none() {
            warnings.push(
                "there are budgets and no `data_dir`: what was spent is forgotten at every restart; set data_dir = \"/var/lib/sluicegate\""
                    .to_owned(),
            );
        }
        let unpriced = self.unpriced();
        if !unpriced.is_empty() {
            let more = unpriced.len().saturating_sub(NAMED);
            let named = unpriced
                .into_iter()
                .take(NAMED)
                .collect::<Vec<_>>()
                .join(", ");
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            warnings.push(format!("there are budgets, and no price for {named}{more}: what these answer is charged to no budget; add [prices.\"provider/model\"]"));
        }
        warnings
    }

    /// The targets that have no price: those of routes, and `provider/*` of an account that clients
    /// may name.
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
