//! The configured routes: providers, models and their tiers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;

use super::balance;
use super::candidate::{Candidate, Order, WeightedCandidate};
use super::plan::{HedgeAfter, Plan};
use super::registry::RegistryUpdate;
use super::rules::Rules;
use super::stats::RouteStats;
use crate::model::target::{Provider, Target};

/// The configured models and providers.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The providers by name.
    pub providers: BTreeMap<ByteString, Arc<Provider>>,
    /// The models by the name that clients ask for.
    pub models: BTreeMap<ByteString, Model>,
    /// Rules for pausing a failing target.
    pub rules: Rules,
}

/// The configured route of a model.
#[derive(Debug, Clone)]
pub struct Model {
    /// The tiers in order: the next one is asked when all targets of one have failed before their
    /// first content.
    pub tiers: Vec<Vec<Weighted>>,
    /// Number of retries of one target.
    pub retries: u32,
    /// When a second target is asked beside the first.
    pub hedge_after: Option<HedgeAfter>,
    /// Requests of one conversation go to the same target of a tier.
    pub sticky: bool,
}

/// A target and its share of its tier.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The target.
    pub target: Target,
    /// Its weight; 1 by default.
    pub weight: u32,
}

/// A model's route with the health of its targets.
#[derive(Debug)]
pub(super) struct ModelRoute {
    name: ByteString,
    tiers: Vec<Vec<WeightedCandidate>>,
    retries: u32,
    hedge_after: Option<HedgeAfter>,
    pub(super) sticky: bool,
    stats: Arc<RouteStats>,
}

impl ModelRoute {
    pub(super) fn new(
        name: &ByteString,
        model: &Model,
        rules: Rules,
        update: &mut RegistryUpdate,
    ) -> Self {
        let mut share = |it: &Weighted| {
            let (target, health) = (it.target.clone(), update.target(&it.target, rules));
            WeightedCandidate::new(Arc::new(Candidate { target, health }), it.weight)
        };
        let tiers = model
            .tiers
            .iter()
            .map(|tier| tier.iter().map(&mut share).collect())
            .collect();
        let stats = update.route(name, rules);
        Self {
            name: name.clone(),
            tiers,
            retries: model.retries,
            hedge_after: model.hedge_after,
            sticky: model.sticky,
            stats,
        }
    }

    /// Plans one request; `key` is the hash of what sticks to one target.
    pub(super) fn plan(&self, key: Option<u64>) -> Option<Plan> {
        let mut order = Order::new();
        for tier in &self.tiers {
            match (tier.as_slice(), key) {
                ([alone], _) => order.push(alone.candidate.clone()),
                (tier, Some(key)) => balance::by_key(tier, key, &mut order),
                (tier, None) => balance::by_load(tier, &mut order),
            }
        }
        Plan::new(
            order,
            self.retries,
            self.hedge_after,
            self.stats.clone(),
            self.name.clone(),
        )
    }
}
