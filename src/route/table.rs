//! What is configured: accounts, models and their tiers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::balance::{self, Order};
use super::plan::{Candidate, Plan};
use super::registry::RegistryUpdate;
use super::rules::Rules;
use super::stable::Stable;
use super::stats::RouteStats;
use crate::model::target::{Provider, Target};

/// The models and accounts that are configured.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The accounts by name.
    pub providers: BTreeMap<ByteString, Arc<Provider>>,
    /// The models by the name clients ask for.
    pub models: BTreeMap<ByteString, Model>,
    /// When a target that fails is left alone.
    pub rules: Rules,
}

/// A model's route.
#[derive(Debug, Clone)]
pub struct Model {
    /// The tiers in order: the next one is asked when all of one have failed before their first
    /// content.
    pub tiers: Vec<Vec<Weighted>>,
    /// How often one target is asked again.
    pub retries: u32,
    /// When a second target is asked beside the first.
    pub hedge_after: Option<HedgeAfter>,
    /// The same conversation goes to the same target of a tier.
    pub sticky: bool,
}

/// When a second target is asked beside the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After this time without a first content.
    Time(Duration),
    /// After the time in which nineteen of twenty first contents of the route have come lately.
    P95,
}

/// A target and its share of its tier.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The target.
    pub target: Target,
    /// Its share; 1 where not said.
    pub weight: u32,
}

/// A model's route, ready for use.
#[derive(Debug)]
pub(super) struct Row {
    name: ByteString,
    tiers: Vec<Vec<Share>>,
    retries: u32,
    hedge_after: Option<HedgeAfter>,
    pub(super) sticky: bool,
    stats: Arc<RouteStats>,
}

/// A target of a tier.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) candidate: Arc<Candidate>,
    pub(super) weight: u32,
    /// Of its name.
    pub(super) hash: u64,
}

impl Share {
    pub(super) fn new(candidate: Arc<Candidate>, weight: u32) -> Self {
        let mut name = Stable::default();
        name.field(&candidate.target.provider.name);
        name.field(&candidate.target.model);
        Self {
            candidate,
            weight: weight.max(1),
            hash: name.hash(),
        }
    }
}

impl Row {
    pub(super) fn new(
        name: &ByteString,
        model: &Model,
        rules: Rules,
        turning: &mut RegistryUpdate,
    ) -> Self {
        let mut share = |it: &Weighted| {
            let (target, health) = (it.target.clone(), turning.target(&it.target, rules));
            Share::new(Arc::new(Candidate { target, health }), it.weight)
        };
        let tiers = model
            .tiers
            .iter()
            .map(|tier| tier.iter().map(&mut share).collect())
            .collect();
        let stats = turning.route(name, rules);
        Self {
            name: name.clone(),
            tiers,
            retries: model.retries,
            hedge_after: model.hedge_after,
            sticky: model.sticky,
            stats,
        }
    }

    /// The order for one request; `key` is what is to stick.
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
