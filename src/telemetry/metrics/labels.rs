//! The labels of metrics, and the counter of money.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytestring::ByteString;
use prometheus_client::encoding::{
    CounterValueEncoder, EncodeCounterValue, EncodeLabelSet, EncodeLabelValue, LabelValueEncoder,
};
use prometheus_client::metrics::counter::Atomic;

use crate::model::money::Money;

/// A name from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) ByteString);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// Labels of a stream. `provider` is empty if no provider was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StreamLabels {
    pub(super) model: Name,
    pub(super) provider: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Status {
    #[prometheus(flatten)]
    pub(super) flow: StreamLabels,
    pub(super) status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Tokens {
    #[prometheus(flatten)]
    pub(super) flow: StreamLabels,
    pub(super) r#type: &'static str,
}

/// Labels of a rejected request. `limit` is empty if no limit was the reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Attempt {
    pub(super) provider: Name,
    pub(super) outcome: &'static str,
}

/// The value of a money counter, in billionths. Sums stay exact: they are converted to units of the
/// currency only when they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Billionths(u64);

impl Billionths {
    pub(super) const fn from_money(money: Money) -> Self {
        Self(money.as_nanos())
    }

    /// Converts to units of the currency, as exactly as a float can.
    pub(super) fn units(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact up to nine million units; beyond that a float has too few digits"
        )]
        let billionths = self.0 as f64;
        billionths / 1e9
    }
}

impl EncodeCounterValue for Billionths {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        EncodeCounterValue::encode(&self.units(), encoder)
    }
}

impl Atomic<Billionths> for AtomicU64 {
    fn inc(&self) -> Billionths {
        self.inc_by(Billionths(1))
    }

    fn inc_by(&self, more: Billionths) -> Billionths {
        Billionths(self.fetch_add(more.0, Ordering::Relaxed))
    }

    fn get(&self) -> Billionths {
        Billionths(self.load(Ordering::Relaxed))
    }
}
