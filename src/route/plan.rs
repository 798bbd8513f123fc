//! The ordered targets of one request.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::candidate::{Candidate, Order};
use super::health::Health;
use super::rules::Rules;
use super::stats::RouteStats;
use crate::model::target::Target;

/// Minimum wait before a hedge by measured times: less than a round trip does not tell a slow
/// target from a fast one.
const SOONEST: Duration = Duration::from_millis(10);

/// The targets to ask, in order; never empty.
#[derive(Debug, Clone)]
pub struct Plan {
    first: Arc<Candidate>,
    rest: Order,
    /// Number of retries of each target.
    pub retries: u32,
    /// When a second target is asked beside the first.
    pub hedge_after: Option<HedgeAfter>,
    /// The statistics of the route.
    pub stats: Arc<RouteStats>,
    /// The model's label in metrics: its name if it is configured, `provider/*` if a client has
    /// named the target.
    pub label: ByteString,
}

/// When a second target is asked beside the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After this time without a first content.
    Time(Duration),
    /// After the recent 95th percentile of the route's times to the first content.
    P95,
}

impl Plan {
    /// Creates a plan with a single target that is asked once and whose health is not known.
    #[must_use]
    pub fn single(target: Target) -> Self {
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

    /// Creates a plan from an order of targets; `None` if it is empty.
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

    /// Returns the targets in order; at least one.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.candidates().map(|candidate| &candidate.target)
    }

    /// Returns the targets with their health, in order; at least one.
    pub fn candidates(&self) -> impl Iterator<Item = &Arc<Candidate>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Records the time of a first content, or a lower bound of it, if the route hedges by measured
    /// times.
    pub fn observe(&self, took: Duration) {
        // Only hedges by measured times read them.
        if self.hedge_after == Some(HedgeAfter::P95) {
            self.stats.observe(took);
        }
    }

    /// Returns the time after which a second target is asked; `None` waits as long as the target's
    /// own clocks allow.
    #[must_use]
    pub fn hedge_wait(&self) -> Option<Duration> {
        // A hedge needs a second target.
        match self.hedge_after.filter(|_| !self.rest.is_empty())? {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::P95 => self.stats.p95().map(|time| time.max(SOONEST)),
        }
    }
}
