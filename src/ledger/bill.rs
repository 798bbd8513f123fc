//! The bill of one generation: reserved, begun, settled.
//!
//! Invariants: dropped before it began, a reservation is given back; begun, it is settled once —
//! where nobody did (a bug of ours), what was reserved is charged. A reservation is never less than
//! what has been streamed costs, a moment late; it is given back as it was raised.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::accounts::Payers;
use super::period::now_ms;
use super::row::{Row, cut};
use super::{Customer, Estimate, Ledger, Period, Warning, refusal};
use crate::model::event::{End, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::money::Money;
use crate::model::target::Target;

/// Output that may be on its way before budgets hear of it, bytes: 64 tokens, as for limits.
const STEP: u64 = 256;

/// Money that is reserved for a generation.
#[derive(Debug)]
pub struct BudgetReservation {
    pub(super) ledger: Arc<Ledger>,
    pub(super) payers: Payers,
    pub(super) customer: Customer,
    /// Milliseconds since 1970.
    pub(super) began: u64,
    pub(super) estimate: Estimate,
    /// What is reserved of every budget.
    pub(super) reserved: Money,
    /// It may cost so much before any budget has to be asked.
    pub(super) safe: Money,
    /// It is ended when a budget does not hold it any more.
    pub(super) cut: bool,
    /// The budgets that are nearly spent.
    pub warnings: SmallVec<[Warning; 1]>,
    pub(super) over: bool,
}

/// A generation that begins.
#[derive(Debug)]
pub struct Begun<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The dialect it was asked in.
    pub dialect: &'static str,
    /// The model asked for.
    pub model: &'a str,
    /// The estimate of its prompt's tokens.
    pub input_estimate: u64,
}

/// How a generation ended.
#[derive(Debug)]
pub struct Settlement<'a> {
    /// How its journal ended, with what it used in the end.
    pub end: &'a End,
    /// How it failed.
    pub fault: Option<&'a Fault>,
    /// The target that answered, or was asked last.
    pub target: Option<&'a Target>,
    /// How many requests went upstream.
    pub attempts: u32,
    /// Until the first content.
    pub first_content: Option<Duration>,
    /// Until the end.
    pub took: Duration,
}

impl BudgetReservation {
    /// The generation begins: its row is in the ledger from now on.
    #[must_use]
    pub fn begin(mut self, begun: &Begun<'_>) -> Bill {
        let text = |text: Option<bytestring::ByteString>| text.map(|it| cut(&it));
        let Customer { key, team, user } = std::mem::take(&mut self.customer);
        let row = Row {
            id: Cow::Owned(begun.stream.as_str().to_owned()),
            began: self.began,
            key: text(key),
            team: text(team),
            user: text(user),
            dialect: Cow::Borrowed(begun.dialect),
            model: cut(begun.model),
            status: Cow::Borrowed("running"),
            input_tokens: Some(begun.input_estimate),
            estimated: true,
            cost: self.estimate.priced.then_some(self.estimate.cost),
            ..Row::default()
        };
        self.ledger.write(&row);
        Bill {
            written: self.reserved,
            hold: self,
            row,
            heard: 0,
        }
    }

    /// Has all of what it costs by now reserved.
    fn raise(&mut self, costs: Money) -> Result<(), Box<Fault>> {
        if costs <= self.safe {
            return Ok(());
        }
        let held = self
            .ledger
            .raise(&self.payers, self.began, (self.reserved, costs));
        self.reserved = self.reserved.max(costs);
        match held {
            Err(outgrown) if self.cut => Err(Box::new(refusal::cut(outgrown))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn settle(&mut self, cost: Money) {
        if !std::mem::replace(&mut self.over, true) {
            self.ledger
                .settle(&self.payers, Period::of(self.began), self.reserved, cost);
        }
    }
}

impl Drop for BudgetReservation {
    fn drop(&mut self) {
        self.settle(Money::ZERO);
    }
}

/// The bill of a generation that has begun.
#[derive(Debug)]
pub struct Bill {
    hold: BudgetReservation,
    row: Row<'static>,
    /// What its last row in the ledger says that it costs.
    written: Money,
    /// Up to so many bytes of output nothing is to be done.
    heard: u64,
}

impl Bill {
    /// Hears how much output there is, bytes; what all of it `costs` is asked now and then. Cheap
    /// enough for every token.
    ///
    /// # Errors
    /// 429 when a budget does not hold that any more, and the stream is to end then
    /// (`on_exceeded = "cut"`).
    pub fn streamed(
        &mut self,
        bytes: u64,
        costs: impl FnOnce() -> Option<Money>,
    ) -> Result<(), Box<Fault>> {
        if bytes > self.heard {
            self.keep_up(bytes, costs())
        } else {
            Ok(())
        }
    }

    #[cold]
    fn keep_up(&mut self, bytes: u64, costs: Option<Money>) -> Result<(), Box<Fault>> {
        let Some(costs) = costs else {
            // Its target has no price, and no other one answers now.
            self.heard = u64::MAX;
            return Ok(());
        };
        self.heard = bytes.saturating_add(STEP);
        let held = self.hold.raise(costs);
        // Not at every step: what a crash leaves to be charged is half of it at the least.
        if self.hold.reserved > self.written.plus(self.written) {
            self.written = self.hold.reserved;
            self.row.cost = Some(self.written);
            self.hold.ledger.write(&self.row);
        }
        held
    }

    /// Charges what was used, and writes the row.
    pub fn settle(mut self, it: &Settlement<'_>) {
        let used = it.end.usage.unwrap_or_default();
        let row = Row {
            ended: Some(now_ms()),
            provider: it.target.map(|target| cut(&target.provider.name)),
            target: it.target.map(|target| cut(&target.model)),
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
        self.hold.settle(row.cost.unwrap_or_default());
        self.hold.ledger.write(row);
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if !self.hold.over {
            let row = unsettled(std::mem::take(&mut self.row), Code::InternalError.as_str());
            let row = Row {
                cost: row.cost.map(|_| self.hold.reserved),
                ..row
            };
            self.close(&row);
        }
    }
}

/// The row of a stream whose end nobody has seen: charged what was reserved.
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
