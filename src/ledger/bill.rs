//! The bill of one generation: reserved, begun, settled.
//!
//! Invariants: a bill is settled once. If it is dropped before its generation begins, the reserved
//! amount is given back; if it is dropped unsettled after that (a bug of ours), the reserved amount
//! is charged. The reservation follows the cost of what has been streamed, a moment late, and is
//! given back at its raised amount.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::accounts::Payers;
use super::period::now_ms;
use super::row::{Row, truncate};
use super::{Customer, Estimate, Ledger, Period, Warning, refusal};
use crate::model::ask::AskHead;
use crate::model::event::Reason;
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::money::Money;
use crate::model::outcome::Outcome;
use crate::model::usage::OUTPUT_STEP;

/// The bill of a generation.
#[derive(Debug)]
pub struct Bill {
    pub(super) ledger: Arc<Ledger>,
    pub(super) payers: Payers,
    pub(super) customer: Customer,
    /// Time of the reservation, milliseconds since 1970.
    pub(super) reserved_at: u64,
    pub(super) estimate: Estimate,
    /// The amount reserved on every budget.
    pub(super) reserved: Money,
    /// Cost up to which no budget has to be checked.
    pub(super) unchecked_cost: Money,
    /// The stream ends when a budget does not cover it any more.
    pub(super) cut: bool,
    /// Warnings about budgets that are nearly spent.
    pub warnings: SmallVec<[Warning; 1]>,
    pub(super) state: BillState,
    /// Bytes of output up to which nothing has to be done.
    pub(super) unchecked_bytes: u64,
}

/// The state of a bill.
#[derive(Debug)]
pub(super) enum BillState {
    /// The generation has not begun.
    Reserved,
    /// The generation runs.
    Begun {
        /// Its row in the ledger.
        row: Box<Row<'static>>,
        /// The cost in the last row that was written.
        written: Money,
    },
    /// It is settled.
    Settled,
}

impl Bill {
    /// Begins the generation: writes its row to the ledger.
    pub fn begin(&mut self, stream: &StreamId, head: &AskHead) {
        let text = |text: Option<bytestring::ByteString>| text.map(|it| truncate(&it));
        let Customer { key, team, user } = std::mem::take(&mut self.customer);
        let row = Row {
            id: Cow::Owned(stream.as_str().to_owned()),
            began: self.reserved_at,
            key: text(key),
            team: text(team),
            user: text(user),
            dialect: Cow::Borrowed(head.dialect.name()),
            model: truncate(&head.model),
            status: Cow::Borrowed("running"),
            input_tokens: Some(head.input_estimate),
            estimated: true,
            // Until the settlement the reserved amount is the cost: after a crash it is charged.
            cost: self.estimate.priced.then_some(self.estimate.cost),
            ..Row::default()
        };
        self.ledger.write(&row);
        self.state = BillState::Begun {
            row: Box::new(row),
            written: self.reserved,
        };
    }

    /// Records the total output so far, bytes. `costs` computes the cost of all of it and is called
    /// only from time to time. Cheap enough for every token.
    ///
    /// # Errors
    /// 429 when a budget does not cover the stream any more and the stream is to end then
    /// (`on_exceeded = "cut"`).
    pub fn record_output(
        &mut self,
        bytes: u64,
        costs: impl FnOnce() -> Option<Money>,
    ) -> Result<(), Box<Fault>> {
        if bytes > self.unchecked_bytes {
            self.check_budgets(bytes, costs())
        } else {
            Ok(())
        }
    }

    #[cold]
    fn check_budgets(&mut self, bytes: u64, costs: Option<Money>) -> Result<(), Box<Fault>> {
        let Some(costs) = costs else {
            // The target has no price, and after the first content no other one answers.
            self.unchecked_bytes = u64::MAX;
            return Ok(());
        };
        self.unchecked_bytes = bytes.saturating_add(OUTPUT_STEP);
        let covered = self.raise(costs);
        // Only when it has doubled: after a crash at least half of the cost is charged.
        if let BillState::Begun { row, written } = &mut self.state
            && self.reserved > written.plus(*written)
        {
            *written = self.reserved;
            row.cost = Some(self.reserved);
            self.ledger.write(row);
        }
        covered
    }

    /// Raises the reservation to the cost so far.
    fn raise(&mut self, costs: Money) -> Result<(), Box<Fault>> {
        // The reservation covers it within every budget: no lock is needed.
        if costs <= self.unchecked_cost {
            return Ok(());
        }
        let money = (self.reserved, costs);
        let covered = self.ledger.raise(&self.payers, self.reserved_at, money);
        self.reserved = self.reserved.max(costs);
        // With `on_exceeded = "finish"` the stream runs on beyond its budget.
        match covered {
            Err(overrun) if self.cut => Err(Box::new(refusal::cut(overrun))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Charges the actual cost and writes the final row.
    pub fn settle(&mut self, it: &Outcome) {
        let BillState::Begun { row, .. } = std::mem::replace(&mut self.state, BillState::Settled)
        else {
            return;
        };
        let (used, target) = (it.end.usage.unwrap_or_default(), it.target.as_ref());
        self.close(&Row {
            ended: Some(now_ms()),
            provider: target.map(|target| truncate(&target.provider.name)),
            target: target.map(|target| truncate(&target.model)),
            status: Cow::Borrowed(it.end.reason.outcome()),
            reason: Some(Cow::Borrowed(it.end.reason.name())),
            code: it
                .fault
                .as_ref()
                .map(|fault| Cow::Borrowed(fault.code.as_str())),
            input_tokens: used.input,
            cached_input_tokens: used.cached_input,
            cache_write_tokens: used.cache_write,
            output_tokens: used.output,
            reasoning_tokens: used.reasoning,
            estimated: used.estimated,
            cost: used.cost,
            attempts: it.attempts,
            first_content_ms: it.times.first_content_ms(),
            duration_ms: Some(it.times.took_ms()),
            ..*row
        });
    }

    fn close(&mut self, row: &Row<'_>) {
        self.charge(row.cost.unwrap_or_default());
        self.ledger.write(row);
    }

    fn charge(&mut self, cost: Money) {
        let period = Period::from_ms(self.reserved_at);
        self.ledger
            .settle(&self.payers, period, self.reserved, cost);
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, BillState::Settled) {
            BillState::Settled => {}
            // The generation never began: everything is given back.
            BillState::Reserved => self.charge(Money::ZERO),
            BillState::Begun { row, .. } => {
                let row = unsettled(*row, Code::InternalError.as_str());
                self.close(&Row {
                    // The reservation may have grown since the last row was written.
                    cost: row.cost.map(|_| self.reserved),
                    ..row
                });
            }
        }
    }
}

/// Returns the final row of a stream whose end is unknown: it is charged with the reserved amount.
pub(super) fn unsettled<'a>(row: Row<'a>, code: &'static str) -> Row<'a> {
    Row {
        ended: Some(now_ms()),
        status: Cow::Borrowed(Reason::Error.outcome()),
        reason: Some(Cow::Borrowed(Reason::Error.name())),
        code: Some(Cow::Borrowed(code)),
        estimated: true,
        ..row
    }
}
