//! A target that may be asked, alone and as part of a tier.

use std::sync::Arc;

use smallvec::SmallVec;

use super::health::Health;
use super::stable::StableHash;
use crate::model::target::Target;

/// A target with its health.
#[derive(Debug)]
pub struct Candidate {
    /// The target.
    pub target: Target,
    /// The health of the target.
    pub health: Arc<Health>,
}

/// The ordered targets of a plan.
pub(super) type Order = SmallVec<[Arc<Candidate>; 4]>;

/// A target of a tier.
#[derive(Debug)]
pub(super) struct WeightedCandidate {
    pub(super) candidate: Arc<Candidate>,
    pub(super) weight: u32,
    /// Hash of its name.
    pub(super) hash: u64,
}

impl WeightedCandidate {
    pub(super) fn new(candidate: Arc<Candidate>, weight: u32) -> Self {
        // By name, so that the hash is the same on every instance and after every restart.
        let mut name = StableHash::default();
        name.field(&candidate.target.provider.name);
        name.field(&candidate.target.model);
        Self {
            candidate,
            // Shares and loads divide by weights.
            weight: weight.max(1),
            hash: name.hash(),
        }
    }
}
