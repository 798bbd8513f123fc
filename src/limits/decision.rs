//! The one decision over all limits of a request.
//!
//! Invariants: all accounts are checked, and then drawn on, while all of them are locked: a refused
//! request takes nothing from any. Locks are taken in the order of the scopes, each of which occurs
//! once, and providers' accounts come last and one at a time, so that two decisions never wait for
//! each other.

use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::account::{Account, Need, Shortage, State};
use super::clock::Clock;
use super::limit_state::{Kind, LimitState, LimitStates};
use super::reservation::{AppliedLimit, Reservation};
use super::{Refusal, refusal};

/// Result of a successful decision.
#[derive(Default)]
pub(super) struct Taken {
    /// Reservations on all accounts but the provider's.
    pub(super) reservations: SmallVec<[Reservation; 7]>,
    /// The provider that has room; empty if there is none to ask.
    pub(super) provider: ByteString,
    /// Reservation on the provider's account, if it has a limit.
    pub(super) provider_reservation: Option<Reservation>,
    /// The state of the caller's limits after the decision.
    pub(super) limit_states: LimitStates,
}

/// An account, locked.
struct LockedAccount<'a> {
    account: &'a Arc<Account>,
    state: MutexGuard<'a, State>,
}

/// A provider that may be asked, with its account if it has one.
pub(super) type ProviderAccount<'a> = (&'a ByteString, Option<&'a AppliedLimit>);

type LockedAccounts<'a> = SmallVec<[LockedAccount<'a>; 7]>;

/// Takes what a request needs from all `applied` accounts, and from the first of `providers` that
/// has room.
///
/// # Errors
/// The refusal of an account, or of the provider that has room soonest. Nothing is taken then.
pub(super) fn take<'a>(
    applied: &'a [AppliedLimit],
    providers: impl Iterator<Item = ProviderAccount<'a>>,
    need: Need,
    clock: Clock,
) -> Result<Taken, Box<Refusal>> {
    debug_assert!(
        applied.is_sorted_by(|one, next| one.account.scope < next.account.scope),
        "each scope once, in their order"
    );
    let now = clock.now();
    let mut locked: LockedAccounts<'a> = applied.iter().map(|it| lock(it, now)).collect();
    let shorts = locked
        .iter()
        .filter_map(|it| Some((it, it.state.check(need).err()?)));
    // The longest wait is reported: a client that came back earlier would be refused again.
    if let Some((it, short)) = shorts.max_by_key(|(_, short)| short.wait()) {
        return Err(refusal_by(&locked, it, short, need));
    }
    // After the caller's own limits: what no provider could change is refused first.
    let (provider, account) = first_with_room(&locked, providers, need, now)?;
    let limited = account.is_some();
    locked.extend(account);
    let mut reservations: SmallVec<[Reservation; 7]> = locked
        .iter_mut()
        .map(|it| Reservation::new(it.account, clock, it.state.take(need)))
        .collect();
    // The provider's account was locked last.
    let provider_reservation = if limited { reservations.pop() } else { None };
    Ok(Taken {
        reservations,
        provider,
        provider_reservation,
        limit_states: limit_states(&locked),
    })
}

fn lock(applied: &AppliedLimit, now: u64) -> LockedAccount<'_> {
    LockedAccount {
        account: &applied.account,
        state: applied.account.lock_with_limit(&applied.limit, now),
    }
}

/// Returns the first provider that has room, with its account locked; if none has, the refusal of
/// the provider that has room soonest.
fn first_with_room<'a>(
    locked: &LockedAccounts<'a>,
    providers: impl Iterator<Item = ProviderAccount<'a>>,
    need: Need,
    now: u64,
) -> Result<(ByteString, Option<LockedAccount<'a>>), Box<Refusal>> {
    let mut soonest: Option<(Shortage, Box<Refusal>)> = None;
    for (name, applied) in providers {
        let Some(applied) = applied else {
            // A provider without a limit always has room.
            return Ok((name.clone(), None));
        };
        let account = lock(applied, now);
        let Err(short) = account.state.check(need) else {
            return Ok((name.clone(), Some(account)));
        };
        if soonest
            .as_ref()
            .is_none_or(|(other, _)| short.wait() < other.wait())
        {
            soonest = Some((short, refusal_by(locked, &account, short, need)));
        }
    }
    soonest.map_or(Ok((ByteString::new(), None)), |(_, refused)| Err(refused))
}

fn refusal_by(
    locked: &LockedAccounts<'_>,
    by: &LockedAccount<'_>,
    short: Shortage,
    need: Need,
) -> Box<Refusal> {
    let scope = by.account.scope;
    let mut limit_states = limit_states(locked);
    // The headers report the limit that refused, not the tightest one.
    match short {
        Shortage::Exhausted(Kind::Requests, _) => {
            limit_states.requests = by.state.limit_state(scope, Kind::Requests);
        }
        Shortage::Exhausted(Kind::Tokens, _) | Shortage::NeverFits(_) => {
            limit_states.tokens = by.state.limit_state(scope, Kind::Tokens);
        }
        // No header reports concurrency.
        Shortage::NoSlot(_) => {}
    }
    Box::new(Refusal {
        fault: refusal::refused(scope, short, need, &by.state),
        limit_states,
    })
}

/// Returns the state of the tightest limit of each kind.
fn limit_states(locked: &LockedAccounts<'_>) -> LimitStates {
    LimitStates {
        requests: tightest_state(locked, Kind::Requests),
        tokens: tightest_state(locked, Kind::Tokens),
    }
}

fn tightest_state(locked: &LockedAccounts<'_>, kind: Kind) -> Option<LimitState> {
    let rooms = locked
        .iter()
        .filter_map(|it| Some((it, it.state.room(kind)?)));
    rooms
        .min_by_key(|(_, room)| *room)
        .and_then(|(it, _)| it.state.limit_state(it.account.scope, kind))
}
