//! The targets of one request, in order.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::balance::Order;
use super::health::Health;
use super::rules::Rules;
use super::stats::RouteStats;
use super::table::HedgeAfter;
use crate::model::target::Target;

/// A second target is not asked sooner by the measured times: less than a round trip tells a slow
/// target from no other.
const SOONEST: Duration = Duration::from_millis(10);

/// A target, and what is known of it.
#[derive(Debug)]
pub struct Candidate {
    /// The target.
    pub target: Target,
    /// What is known of it.
    pub health: Arc<Health>,
}

/// The targets to ask, in order; never empty.
#[derive(Debug, Clone)]
pub struct Plan {
    first: Arc<Candidate>,
    rest: Order,
    /// How often each is asked again.
    pub retries: u32,
    /// When a second one is asked beside the first.
    pub hedge_after: Option<HedgeAfter>,
    /// What is kept of the route.
    pub stats: Arc<RouteStats>,
    /// What metrics call the model: its name where it is configured, `provider/*` where a client
    /// has named the target.
    pub label: ByteString,
}

impl Plan {
    /// This target alone, asked once; nothing is known of it.
    #[must_use]
    pub fn of(target: Target) -> Self {
        let alone = Arc::new(Candidate {
            target,
            health: Arc::new(Health::new(Rules::default())),
        });
        let stats = Arc::new(RouteStats::new(Rules::default()));
        Self {
            first: alone,
            rest: Order::new(),
            retries: 0,
            hedge_after: None,
            stats,
            label: ByteString::new(),
        }
    }

    /// These, where there is one.
    pub(super) fn new(
        mut order: Order,
        retries: u32,
        hedge_after: Option<HedgeAfter>,
        stats: Arc<RouteStats>,
        label: ByteString,
    ) -> Option<Self> {
        if order.is_empty() {
            return None;
        }
        let first = order.remove(0);
        Some(Self {
            first,
            rest: order,
            retries,
            hedge_after,
            stats,
            label,
        })
    }

    /// The targets in order; at least one.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.candidates().map(|candidate| &candidate.target)
    }

    /// The same with what is known of them.
    pub fn candidates(&self) -> impl Iterator<Item = &Arc<Candidate>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// A target gave its first content after this time, or would have taken longer.
    pub fn observe(&self, took: Duration) {
        if self.hedge_after == Some(HedgeAfter::P95) {
            self.stats.observe(took);
        }
    }

    /// How long the first target may take before a second one is asked; `None`: as long as its
    /// clocks have it.
    #[must_use]
    pub fn hedge_wait(&self) -> Option<Duration> {
        match self.hedge_after.filter(|_| !self.rest.is_empty())? {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::P95 => self.stats.p95().map(|time| time.max(SOONEST)),
        }
    }
}
