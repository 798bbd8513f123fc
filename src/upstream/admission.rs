//! The admission of a generation: what it has taken from limits and budgets.
//!
//! Invariant: each part is settled exactly once, whatever happens: by [`Admission::settle`], or, if
//! the admission is dropped without it, by the part itself.

use super::closing::Accounting;
use crate::ledger::{Bill, Warning};
use crate::limits::Pass;
use crate::limits::limit_state::LimitStates;
use crate::model::ask::AskHead;
use crate::model::fault::Fault;
use crate::model::ids::StreamId;
use crate::model::outcome::Outcome;

/// The right to run one generation.
#[derive(Debug)]
pub struct Admission {
    /// The share of the limits.
    pub(super) pass: Pass,
    /// The reservation in the budgets; `None` if the request is charged to none.
    bill: Option<Bill>,
}

impl Admission {
    /// Combines what limits and budgets have admitted.
    #[must_use]
    pub const fn new(pass: Pass, bill: Option<Bill>) -> Self {
        Self { pass, bill }
    }

    /// Creates an admission that no limit and no budget applies to.
    pub(super) fn unlimited() -> Self {
        Self::new(Pass::unlimited(), None)
    }

    /// Returns the state of the caller's limits at admission.
    #[must_use]
    pub const fn limit_states(&self) -> LimitStates {
        self.pass.limit_states
    }

    /// Returns the warnings about budgets that are nearly spent.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        self.bill.as_ref().map_or(&[], |bill| &bill.warnings)
    }

    /// Begins the generation: writes its row to the ledger.
    pub fn begin(&mut self, stream: &StreamId, head: &AskHead) {
        if let Some(bill) = &mut self.bill {
            bill.begin(stream, head);
        }
    }

    /// Records that an upstream is asked: the request counts from now on.
    pub const fn mark_asked(&mut self) {
        self.pass.mark_asked();
    }

    /// Charges the output so far. In most cases this is one comparison each for limits and budgets.
    ///
    /// # Errors
    /// 429 when the stream has used up a limit or a budget and is to end then.
    pub(super) fn streamed(&mut self, accounting: &Accounting) -> Result<(), Box<Fault>> {
        self.pass.record_output(accounting.output_bytes)?;
        self.bill.as_mut().map_or(Ok(()), |bill| {
            bill.record_output(accounting.output_bytes, || accounting.cost())
        })
    }

    /// Frees the slots: the generation is over, though its usage is not known yet.
    pub(super) fn release(&mut self) {
        self.pass.release();
    }

    /// Charges the final usage.
    pub(super) fn settle(&mut self, outcome: &Outcome) {
        self.pass.settle(outcome.charge);
        if let Some(bill) = &mut self.bill {
            bill.settle(outcome);
        }
    }
}
