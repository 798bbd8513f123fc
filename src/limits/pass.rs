//! The right to run one generation, and its settlement.
//!
//! Invariants: its accounts are settled exactly once, whatever happens: by [`Pass::settle`], or, if
//! the pass is dropped without it, with the amount recorded until then. A provider's account is
//! drawn on only while the provider is asked, by the [`ProviderPass`] of the attempt.

use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::account::Need;
use super::decision::Taken;
use super::limit_state::LimitStates;
use super::reservation::Reservation;
use super::table::{LimitTable, Subject};
use super::{Refusal, Settings};
use crate::model::fault::Fault;
use crate::model::outcome::Charge;
use crate::model::usage;

/// Maximum number of tokens charged for one generation: no model has room for so many, and a larger
/// figure would be an upstream's mistake that closes an account for days.
const MAX_TOKENS: u64 = 100_000_000;

/// The right to run one generation.
#[derive(Debug)]
pub struct Pass {
    table: Arc<LimitTable>,
    need: Need,
    reservations: SmallVec<[Reservation; 7]>,
    /// The provider's reservation taken with all others, until an attempt needs it.
    unused_provider: Option<ProviderPass>,
    /// The final charge, once it is known.
    charge: Option<Charge>,
    /// An upstream was asked.
    asked: bool,
    /// Bytes of output so far.
    output_bytes: u64,
    /// Bytes of output covered by what was taken.
    paid: u64,
    /// State of the caller's limits at admission.
    pub limit_states: LimitStates,
}

/// The right to ask one provider for one generation, for the duration of an attempt. Dropping it
/// frees its slot; only the request itself counts as used.
#[derive(Debug)]
pub struct ProviderPass {
    provider: ByteString,
    reservation: Option<Reservation>,
}

impl ProviderPass {
    /// Returns the provider's name.
    #[must_use]
    pub const fn provider(&self) -> &ByteString {
        &self.provider
    }

    /// Records that the provider is asked: the request counts, whatever its outcome.
    pub fn mark_asked(&mut self) {
        if let Some(reservation) = &mut self.reservation {
            reservation.owe(0);
        }
    }
}

impl LimitTable {
    /// Decides over all limits at once. `providers` are the ones that may be asked, in order; a
    /// provider without room is skipped.
    ///
    /// # Errors
    /// 429 `rate_limited` when a limit does not have enough left, 400 when it can never have.
    /// Nothing is taken then.
    pub fn admit<'a>(
        self: &'a Arc<Self>,
        subject: &Subject<'_>,
        providers: impl Iterator<Item = &'a ByteString>,
        need: Need,
    ) -> Result<Pass, Box<Refusal>> {
        let taken = self.take(subject, providers, need)?;
        Ok(Pass::new(self.clone(), need, taken))
    }
}

impl Pass {
    fn new(table: Arc<LimitTable>, need: Need, taken: Taken) -> Self {
        let mut pass = Self {
            table,
            need,
            reservations: taken.reservations,
            unused_provider: Some(ProviderPass {
                provider: taken.provider,
                reservation: taken.provider_reservation,
            }),
            charge: None,
            asked: false,
            output_bytes: 0,
            paid: u64::MAX,
            limit_states: taken.limit_states,
        };
        pass.update_paid();
        pass
    }

    /// Creates a pass that no limit applies to.
    #[must_use]
    pub fn unlimited() -> Self {
        let table = Arc::new(LimitTable::new(&Arc::default(), Settings::default()));
        Self::new(table, Need::default(), Taken::default())
    }

    /// Returns the right to ask that provider: the one taken with the pass, or a new one in its
    /// place. Two may be held at a time.
    ///
    /// # Errors
    /// 429 with the limit `provider` if its account has nothing left: the target is skipped as if
    /// the provider itself had answered so.
    pub fn provider_pass(&mut self, provider: &ByteString) -> Result<ProviderPass, Box<Fault>> {
        if let Some(unused_provider) = self
            .unused_provider
            .take_if(|unused_provider| unused_provider.provider == *provider)
        {
            return Ok(unused_provider);
        }
        let reservation = self.table.provider(provider, self.need)?;
        // The unused reservation taken at admission is given back: only providers that are asked
        // hold one.
        self.unused_provider = None;
        Ok(ProviderPass {
            provider: provider.clone(),
            reservation,
        })
    }

    /// Records that an upstream is asked: the prompt is owed from now on.
    pub const fn mark_asked(&mut self) {
        self.asked = true;
    }

    /// Keeps the reservation of the attempt that answers: its provider's account is settled with
    /// all others.
    pub fn keep(&mut self, provider_pass: ProviderPass) {
        self.unused_provider = None;
        self.reservations.extend(provider_pass.reservation);
        self.update_paid();
    }

    /// Records the total output so far, bytes. Cheap enough for every token.
    ///
    /// # Errors
    /// 429 when this exhausts an account and the stream is to end then (`on_exceeded = "cut"`).
    pub fn record_output(&mut self, bytes: u64) -> Result<(), Box<Fault>> {
        self.output_bytes = bytes;
        // Most calls end here: the accounts are updated only once per step.
        if bytes > self.paid {
            self.take_owed(bytes)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn take_owed(&mut self, bytes: u64) -> Result<(), Box<Fault>> {
        let owed = self.owed();
        self.paid = bytes.saturating_add(usage::OUTPUT_STEP);
        let mut exhausted = Ok(());
        for reservation in &mut self.reservations {
            // Not `and_then`: every account takes its share, even after one of them is in debt.
            exhausted = exhausted.and(reservation.take_owed(owed));
        }
        if self.table.cuts_streams() {
            exhausted
        } else {
            Ok(())
        }
    }

    /// Frees the slots: the generation is over, though its usage is not known yet.
    pub fn release(&mut self) {
        // No attempt follows: the slot of an unused provider is freed too.
        self.unused_provider = None;
        self.reservations.iter_mut().for_each(Reservation::release);
    }

    /// Settles all accounts with this charge. Later charges have no effect.
    pub fn settle(&mut self, charge: Charge) {
        // The first charge counts: the drop that follows must not change it.
        self.charge.get_or_insert(charge);
        self.finish();
    }

    fn finish(&mut self) {
        self.unused_provider = None;
        // Without a final charge: the prompt and what was streamed, or nothing if no upstream was
        // asked.
        let recorded = if self.asked {
            Charge::Tokens(self.owed())
        } else {
            Charge::Nothing
        };
        if let Charge::Tokens(tokens) = self.charge.unwrap_or(recorded) {
            self.reservations
                .iter_mut()
                .for_each(|reservation| reservation.owe(tokens.min(MAX_TOKENS)));
        }
        // Dropping them settles them.
        self.reservations.clear();
    }

    /// Returns the tokens owed as far as is known.
    fn owed(&self) -> u64 {
        self.need
            .input
            .saturating_add(usage::estimate(self.output_bytes))
            .min(MAX_TOKENS)
    }

    /// Recomputes up to how many bytes of output all accounts are paid.
    fn update_paid(&mut self) {
        let output = |reservation: &Reservation| {
            reservation
                .taken()
                // Four bytes of output per token, as in `usage::estimate`.
                .map(|taken| taken.saturating_sub(self.need.input).saturating_mul(4))
        };
        self.paid = self
            .reservations
            .iter()
            .filter_map(output)
            .min()
            .unwrap_or(u64::MAX);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.finish();
    }
}
