//! The one decision over all limits of a request.
//!
//! Invariants: all accounts are looked at, and then drawn on, while all of them are held: a refused
//! request takes nothing from any. They are held in the order of their scopes, of which each comes
//! once, and a provider's last and one at a time, so that no two decisions wait for each other.

use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::account::{Account, Need, Short, State};
use super::clock::Clock;
use super::limit_state::{Kind, LimitState, LimitStates};
use super::reservation::{Applied, Reservation};
use super::{Refused, refusal};

/// What was taken.
pub(super) struct Taken {
    /// From all accounts but the provider's.
    pub(super) reservations: SmallVec<[Reservation; 7]>,
    /// Which provider has room.
    pub(super) provider: ByteString,
    /// What was taken there, if it has a limit.
    pub(super) of_provider: Option<Reservation>,
    /// Where the caller stands now.
    pub(super) limit_states: LimitStates,
}

/// An account that nobody else can draw on meanwhile.
struct Held<'a> {
    account: &'a Arc<Account>,
    state: MutexGuard<'a, State>,
}

/// A provider that may be asked, and its account if it has one.
pub(super) type ProviderAccount<'a> = (&'a ByteString, Option<&'a Applied>);

type All<'a> = SmallVec<[Held<'a>; 7]>;

/// Takes what a request needs from all `applied`, and from the first of `providers` that has room.
///
/// # Errors
/// When one of them, or every provider, has not enough: then nothing is taken.
pub(super) fn take<'a>(
    applied: &'a [Applied],
    providers: impl Iterator<Item = ProviderAccount<'a>>,
    need: Need,
    clock: Clock,
) -> Result<Taken, Box<Refused>> {
    debug_assert!(
        applied.is_sorted_by(|one, next| one.account.scope < next.account.scope),
        "each scope once, in their order"
    );
    let now = clock.now();
    let mut held: All<'a> = applied.iter().map(|it| hold(it, now)).collect();
    let shorts = held
        .iter()
        .filter_map(|it| Some((it, it.state.look(need).err()?)));
    if let Some((it, short)) = shorts.max_by_key(|(_, short)| short.wait()) {
        return Err(refused(&held, it, short, need));
    }
    let (provider, theirs) = with_room(&held, providers, need, now)?;
    let limited = theirs.is_some();
    held.extend(theirs);
    let mut reservations: SmallVec<[Reservation; 7]> = held
        .iter_mut()
        .map(|it| Reservation::new(it.account, clock, it.state.take(need)))
        .collect();
    let of_provider = if limited { reservations.pop() } else { None };
    Ok(Taken {
        reservations,
        provider,
        of_provider,
        limit_states: limit_states(&held),
    })
}

fn hold(applied: &Applied, now: u64) -> Held<'_> {
    Held {
        account: &applied.account,
        state: applied.account.under(&applied.limit, now),
    }
}

/// The first provider that has room; where none has, the refusal of the one that has some soonest.
fn with_room<'a>(
    held: &All<'a>,
    providers: impl Iterator<Item = ProviderAccount<'a>>,
    need: Need,
    now: u64,
) -> Result<(ByteString, Option<Held<'a>>), Box<Refused>> {
    let mut soonest: Option<(Short, Box<Refused>)> = None;
    for (name, applied) in providers {
        let Some(applied) = applied else {
            return Ok((name.clone(), None));
        };
        let theirs = hold(applied, now);
        let Err(short) = theirs.state.look(need) else {
            return Ok((name.clone(), Some(theirs)));
        };
        if soonest
            .as_ref()
            .is_none_or(|(other, _)| short.wait() < other.wait())
        {
            soonest = Some((short, refused(held, &theirs, short, need)));
        }
    }
    soonest.map_or(Ok((ByteString::new(), None)), |(_, refused)| Err(refused))
}

fn refused(held: &All<'_>, by: &Held<'_>, short: Short, need: Need) -> Box<Refused> {
    let scope = by.account.scope;
    let mut limit_states = limit_states(held);
    match short {
        Short::Out(Kind::Requests, _) => {
            limit_states.requests = by.state.limit_state(scope, Kind::Requests);
        }
        Short::Out(Kind::Tokens, _) | Short::Never(_) => {
            limit_states.tokens = by.state.limit_state(scope, Kind::Tokens);
        }
        Short::Slots(_) => {}
    }
    Box::new(Refused {
        fault: refusal::refused(scope, short, need, &by.state),
        limit_states,
    })
}

/// Where the caller stands with the tightest limit of each kind.
fn limit_states(held: &All<'_>) -> LimitStates {
    LimitStates {
        requests: tightest(held, Kind::Requests),
        tokens: tightest(held, Kind::Tokens),
    }
}

fn tightest(held: &All<'_>, kind: Kind) -> Option<LimitState> {
    let rooms = held
        .iter()
        .filter_map(|it| Some((it, it.state.room(kind)?)));
    rooms
        .min_by_key(|(_, room)| *room)
        .and_then(|(it, _)| it.state.limit_state(it.account.scope, kind))
}
