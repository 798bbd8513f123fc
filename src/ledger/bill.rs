//! The bill of one generation: reserved, begun, settled.
//!
//! Invariants: a reservation dropped before its generation begins is given back; a bill is settled
//! once, and if it is dropped unsettled (a bug of ours), the reserved amount is charged. A
//! reservation follows the cost of what has been streamed, a moment late, and is given back at its
//! raised amount.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::accounts::Payers;
use super::period::now_ms;
use super::row::{Row, truncate};
use super::{Customer, Estimate, Ledger, Period, Warning, refusal};
use crate::model::event::{End, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::money::Money;
use crate::model::target::Target;

/// Output that may stream before budgets are checked again, bytes: 64 tokens, as for limits.
const OUTPUT_STEP: u64 = 256;

/// An amount reserved for a generation.
#[derive(Debug)]
pub struct BudgetReservation {
    pub(super) ledger: Arc<Ledger>,
    pub(super) payers: Payers,
    pub(super) customer: Customer,
    /// Time of the reservation, milliseconds since 1970.
    pub(super) began: u64,
    pub(super) estimate: Estimate,
    /// The amount reserved on every budget.
    pub(super) reserved: Money,
    /// Cost up to which no budget has to be checked.
    pub(super) unchecked_cost: Money,
    /// The stream ends when a budget does not cover it any more.
    pub(super) cut: bool,
    /// Warnings about budgets that are nearly spent.
    pub warnings: SmallVec<[Warning; 1]>,
    pub(super) settled: bool,
}

/// The properties of a generation that begins.
#[derive(Debug)]
pub struct Begun<'a> {
    /// Id of the stream.
    pub stream: &'a StreamId,
    /// Name of the dialect of the request.
    pub dialect: &'static str,
    /// The model name that the client asked for.
    pub model: &'a str,
    /// Estimated number of tokens of the prompt.
    pub input_estimate: u64,
}

/// The end of a generation, as needed for its settlement.
#[derive(Debug)]
pub struct Settlement<'a> {
    /// The end of its journal, with its final usage.
    pub end: &'a End,
    /// The failure, if it failed.
    pub fault: Option<&'a Fault>,
    /// The target that answered, or the last one asked.
    pub target: Option<&'a Target>,
    /// Number of requests sent upstream.
    pub attempts: u32,
    /// Time until the first content.
    pub first_content: Option<Duration>,
    /// Time until the end.
    pub took: Duration,
}

impl BudgetReservation {
    /// Begins the generation: writes its row to the ledger.
    #[must_use]
    pub fn begin(mut self, begun: &Begun<'_>) -> Bill {
        let text = |text: Option<bytestring::ByteString>| text.map(|it| truncate(&it));
        let Customer { key, team, user } = std::mem::take(&mut self.customer);
        let row = Row {
            id: Cow::Owned(begun.stream.as_str().to_owned()),
            began: self.began,
            key: text(key),
            team: text(team),
            user: text(user),
            dialect: Cow::Borrowed(begun.dialect),
            model: truncate(begun.model),
            status: Cow::Borrowed("running"),
            input_tokens: Some(begun.input_estimate),
            estimated: true,
            // Until the settlement the reserved amount is the cost: after a crash it is charged.
            cost: self.estimate.priced.then_some(self.estimate.cost),
            ..Row::default()
        };
        self.ledger.write(&row);
        Bill {
            written: self.reserved,
            reservation: self,
            row,
            unchecked_bytes: 0,
        }
    }

    /// Raises the reservation to the cost so far.
    fn raise(&mut self, costs: Money) -> Result<(), Box<Fault>> {
        // The reservation covers it within every budget: no lock is needed.
        if costs <= self.unchecked_cost {
            return Ok(());
        }
        let covered = self
            .ledger
            .raise(&self.payers, self.began, (self.reserved, costs));
        self.reserved = self.reserved.max(costs);
        // With `on_exceeded = "finish"` the stream runs on beyond its budget.
        match covered {
            Err(overrun) if self.cut => Err(Box::new(refusal::cut(overrun))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn settle(&mut self, cost: Money) {
        // Settled once: the drop that follows must not settle again.
        if !std::mem::replace(&mut self.settled, true) {
            self.ledger.settle(
                &self.payers,
                Period::from_ms(self.began),
                self.reserved,
                cost,
            );
        }
    }
}

impl Drop for BudgetReservation {
    fn drop(&mut self) {
        // Without effect if its bill has settled it.
        self.settle(Money::ZERO);
    }
}

/// The bill of a generation that has begun.
#[derive(Debug)]
pub struct Bill {
    reservation: BudgetReservation,
    row: Row<'static>,
    /// The cost in its last row in the ledger.
    written: Money,
    /// Bytes of output up to which nothing has to be done.
    unchecked_bytes: u64,
}

impl Bill {
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
        let covered = self.reservation.raise(costs);
        // Only when it has doubled: after a crash at least half of the cost is charged.
        if self.reservation.reserved > self.written.plus(self.written) {
            self.written = self.reservation.reserved;
            self.row.cost = Some(self.written);
            self.reservation.ledger.write(&self.row);
        }
        covered
    }

    /// Charges the actual cost and writes the final row.
    pub fn settle(mut self, it: &Settlement<'_>) {
        let used = it.end.usage.unwrap_or_default();
        let row = Row {
            ended: Some(now_ms()),
            provider: it.target.map(|target| truncate(&target.provider.name)),
            target: it.target.map(|target| truncate(&target.model)),
            status: Cow::Borrowed(it.end.reason.outcome()),
            reason: Some(Cow::Borrowed(it.end.reason.name())),
            code: it.fault.map(|fault| Cow::Borrowed(fault.code.as_str())),
            input_tokens: used.input,
            cached_input_tokens: used.cached_input,
            cache_write_tokens: used.cache_write,
            output_tokens: used.output,
            reasoning_tokens: used.reasoning,
            estimated: used.estimated,
            cost: used.cost,
            attempts: it.attempts,
            first_content_ms: it.first_content.map(millis),
            duration_ms: Some(millis(it.took)),
            ..std::mem::take(&mut self.row)
        };
        self.close(&row);
    }

    fn close(&mut self, row: &Row<'_>) {
        self.reservation.settle(row.cost.unwrap_or_default());
        self.reservation.ledger.write(row);
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if !self.reservation.settled {
            let row = unsettled(std::mem::take(&mut self.row), Code::InternalError.as_str());
            let row = Row {
                // The reservation may have grown since the last row was written.
                cost: row.cost.map(|_| self.reservation.reserved),
                ..row
            };
            self.close(&row);
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

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
