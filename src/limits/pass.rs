//! The right to run one generation, and what becomes of it.
//!
//! Invariants: its accounts are settled exactly once, whatever happens: by [`Pass::settle`], or,
//! dropped without it, with what it was told until then. A provider is drawn on only while it is
//! asked, by the [`Lane`] of the attempt.

use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::Settings;
use super::account::Need;
use super::limit_state::LimitStates;
use super::reservation::Reservation;
use super::table::LimitTable;
use crate::model::fault::Fault;
use crate::model::usage;

/// Output beyond what is paid for that may be on its way before the accounts hear of it, bytes: a
/// look at each of them costs as much as a token, and 64 tokens are nothing to an account that
/// counts them by the minute.
const STEP: u64 = 256;

/// The most tokens that one generation is charged: no model has room for so many, and a figure
/// beyond would be an upstream's mistake that closes an account for days.
const MOST: u64 = 100_000_000;

/// What a generation has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// No upstream was asked: everything is given back, the request included.
    Nothing,
    /// So many tokens; what was taken beyond is given back.
    Tokens(u64),
}

/// The right to run one generation.
#[derive(Debug)]
pub struct Pass {
    table: Arc<LimitTable>,
    need: Need,
    reservations: SmallVec<[Reservation; 7]>,
    /// The provider's part that was taken with all others, until an attempt needs it.
    first: Option<Lane>,
    /// What it has come to, once that is known.
    charge: Option<Charge>,
    /// An upstream was asked.
    asked: bool,
    /// The bytes of output that there are.
    streamed: u64,
    /// The bytes of output that are paid for.
    paid: u64,
    /// Where its caller stands.
    pub limit_states: LimitStates,
}

/// The right to ask one provider for one generation, as long as an attempt lasts. Dropped, its slot
/// is free, and nothing but the request itself was used.
#[derive(Debug)]
pub struct Lane {
    provider: ByteString,
    reservation: Option<Reservation>,
}

impl Lane {
    pub(super) const fn new(provider: ByteString, reservation: Option<Reservation>) -> Self {
        Self {
            provider,
            reservation,
        }
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &ByteString {
        &self.provider
    }

    /// Says that the provider is asked: the request counts, whatever becomes of it.
    pub fn asked(&mut self) {
        if let Some(reservation) = &mut self.reservation {
            reservation.owe(0);
        }
    }
}

impl Pass {
    pub(super) fn new(
        table: Arc<LimitTable>,
        need: Need,
        reservations: SmallVec<[Reservation; 7]>,
        first: Lane,
        limit_states: LimitStates,
    ) -> Self {
        let mut pass = Self {
            table,
            need,
            reservations,
            first: Some(first),
            charge: None,
            asked: false,
            streamed: 0,
            paid: u64::MAX,
            limit_states,
        };
        pass.reckon();
        pass
    }

    /// A pass that no limit has anything to do with.
    #[must_use]
    pub fn unlimited() -> Self {
        let table = Arc::new(LimitTable::new(&Arc::default(), Settings::default()));
        Self::new(
            table,
            Need::default(),
            SmallVec::new(),
            Lane::new(ByteString::new(), None),
            LimitStates::default(),
        )
    }

    /// The right to ask that provider: the one that came with the pass, or another in its place.
    /// Two may be held at a time.
    ///
    /// # Errors
    /// 429 with the limit `provider` where it has nothing left: to be skipped, as if it had said so
    /// itself.
    pub fn lane(&mut self, provider: &ByteString) -> Result<Lane, Box<Fault>> {
        if let Some(first) = self.first.take_if(|first| first.provider == *provider) {
            return Ok(first);
        }
        let reservation = self.table.provider(provider, self.need)?;
        self.first = None;
        Ok(Lane::new(provider.clone(), reservation))
    }

    /// Says that an upstream is asked: from now on the prompt is owed.
    pub const fn asked(&mut self) {
        self.asked = true;
    }

    /// The attempt of that lane answers: its provider is settled with, as all others are.
    pub fn keep(&mut self, lane: Lane) {
        self.first = None;
        self.reservations.extend(lane.reservation);
        self.reckon();
    }

    /// Hears how much output there is, bytes. Cheap enough for every token.
    ///
    /// # Errors
    /// 429 when an account has run dry by it, and the stream is to end then
    /// (`on_exceeded = "cut"`).
    pub fn streamed(&mut self, bytes: u64) -> Result<(), Box<Fault>> {
        self.streamed = bytes;
        if bytes > self.paid {
            self.keep_up(bytes)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn keep_up(&mut self, bytes: u64) -> Result<(), Box<Fault>> {
        let owes = self.owes();
        self.paid = bytes.saturating_add(STEP);
        let mut dry = Ok(());
        for reservation in &mut self.reservations {
            dry = dry.and(reservation.keep_up(owes));
        }
        if self.table.cuts() { dry } else { Ok(()) }
    }

    /// Frees the slots: the generation is over, though what it used is not known yet.
    pub fn release(&mut self) {
        self.first = None;
        self.reservations.iter_mut().for_each(Reservation::release);
    }

    /// Settles with all accounts. Whatever comes afterwards changes nothing.
    pub fn settle(&mut self, charge: Charge) {
        self.charge.get_or_insert(charge);
        self.close();
    }

    fn close(&mut self) {
        self.first = None;
        let told = if self.asked {
            Charge::Tokens(self.owes())
        } else {
            Charge::Nothing
        };
        if let Charge::Tokens(tokens) = self.charge.unwrap_or(told) {
            self.reservations
                .iter_mut()
                .for_each(|reservation| reservation.owe(tokens.min(MOST)));
        }
        self.reservations.clear();
    }

    /// The tokens that are owed as far as is known.
    fn owes(&self) -> u64 {
        self.need
            .input
            .saturating_add(usage::estimate(self.streamed))
            .min(MOST)
    }

    /// Finds out up to how many bytes of output all accounts are paid.
    fn reckon(&mut self) {
        let output = |reservation: &Reservation| {
            reservation
                .taken()
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
        self.close();
    }
}
