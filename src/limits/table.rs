//! The limits of the moment: which accounts a request has to pass.
//!
//! Invariants: an account outlives the board that found it, with its fill; a board is made once for
//! a configuration, so that a request finds its accounts without making anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::account::{Account, Need};
use super::door::address::Address;
use super::pass::{Lane, Pass};
use super::reservation::{Applied, Reservation};
use super::{Held, Limit, Limits, Refused, Scope, Settings, decision, refusal};
use crate::model::fault::Fault;
use crate::model::ids::CallerId;

/// Reads for each request that a caller may have.
const READS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// Reads a minute that every caller may have: a page that is loaded again, a client that polls.
const FEWEST_READS: NonZeroU32 = NonZeroU32::new(600).expect("six hundred is not zero");

/// Who asks, as limits see it.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// From where.
    pub client: IpAddr,
    /// As whom.
    pub caller: &'a CallerId,
    /// With which virtual key.
    pub key: Option<&'a ByteString>,
    /// Of which team.
    pub team: Option<&'a ByteString>,
    /// For which end user, by a verified token or by the word of the request; one of this caller,
    /// whatever others call theirs.
    pub user: Option<&'a str>,
    /// For which model, by its public name.
    pub model: &'a ByteString,
    /// Figures that the caller brings along for its user, beside those that are configured.
    pub own: Option<Limit>,
}

/// The accounts of a configuration.
#[derive(Debug)]
pub struct LimitTable {
    limits: Arc<Limits>,
    settings: Settings,
    global: Option<Applied>,
    keys: HashMap<ByteString, Applied>,
    teams: HashMap<ByteString, Applied>,
    models: HashMap<ByteString, Applied>,
    providers: HashMap<ByteString, Applied>,
}

impl LimitTable {
    /// Finds the accounts of a configuration. Its figures are in force at once, for running streams
    /// too.
    #[must_use]
    pub fn new(limits: &Arc<Limits>, settings: Settings) -> Self {
        let find = |scope, name: &ByteString, limit: &Limit| {
            limit.is_any().then(|| limits.named(scope, name, *limit))
        };
        let all = |scope, figures: &std::collections::BTreeMap<ByteString, Limit>| {
            figures
                .iter()
                .filter_map(|(name, limit)| Some((name.clone(), find(scope, name, limit)?)))
                .collect()
        };
        let table = Self {
            limits: limits.clone(),
            global: find(Scope::Global, &ByteString::new(), &settings.global),
            keys: all(Scope::Key, &settings.keys),
            teams: all(Scope::Team, &settings.teams),
            models: all(Scope::Model, &settings.models),
            providers: all(Scope::Provider, &settings.providers),
            settings,
        };
        limits.forget_unnamed();
        table
    }

    /// What is held of all accounts, also of those that other boards know.
    #[must_use]
    pub fn held(&self) -> Held {
        self.limits.held()
    }

    /// The most that is reserved for an answer, tokens.
    #[must_use]
    pub const fn reserve_output(&self) -> u64 {
        self.settings.reserve_output
    }

    /// Streams end when an account runs dry.
    pub(super) const fn cuts(&self) -> bool {
        self.settings.cut
    }

    /// Decides over all limits at once. `providers` are those that may be asked, in order; a
    /// provider that has no room is passed over.
    ///
    /// # Errors
    /// 429 `rate_limited` when a limit has not enough left, 400 when one can never have: then none
    /// gives anything.
    pub fn admit<'a>(
        self: &'a Arc<Self>,
        who: &Who<'_>,
        providers: impl Iterator<Item = &'a ByteString>,
        need: Need,
    ) -> Result<Pass, Box<Refused>> {
        let applied = self.applied(who);
        let accounts = providers.map(|name| (name, self.providers.get(name)));
        let taken = decision::take(&applied, accounts, need, self.limits.clock)?;
        let lane = Lane::new(taken.provider, taken.of_provider);
        Ok(Pass::new(
            self.clone(),
            need,
            taken.reservations,
            lane,
            taken.limit_states,
        ))
    }

    /// Counts a read of a caller who has a limit of requests: it may have ten times as many.
    ///
    /// # Errors
    /// 429 when it has had them.
    pub fn read(
        &self,
        caller: &CallerId,
        key: Option<&ByteString>,
        own: Option<Limit>,
    ) -> Result<(), Box<Fault>> {
        let of_key = key
            .and_then(|name| self.settings.keys.get(name))
            .copied()
            .unwrap_or_default();
        let Some(requests) = of_key.and(own.unwrap_or_default()).requests_per_minute else {
            return Ok(());
        };
        let limit = Limit {
            requests_per_minute: Some(requests.saturating_mul(READS).max(FEWEST_READS)),
            ..Limit::default()
        };
        let now = self.limits.clock.now();
        let account = self.limits.readers.find(caller, limit, now);
        let mut state = account.under(&limit, now);
        state
            .look(Need::default())
            .map_err(|short| Box::new(refusal::reads(short.wait(), &state)))?;
        state.requests.take(1);
        Ok(())
    }

    /// The accounts of a request, in the order of their scopes.
    fn applied(&self, who: &Who<'_>) -> SmallVec<[Applied; 6]> {
        let ip = self.at_address(who.client);
        let key = who.key.and_then(|name| self.keys.get(name));
        let team = who.team.and_then(|name| self.teams.get(name));
        let user = self.of_user(who);
        let model = self.models.get(who.model);
        let all = [
            ip,
            key.cloned(),
            team.cloned(),
            user,
            model.cloned(),
            self.global.clone(),
        ];
        all.into_iter().flatten().collect()
    }

    /// The account of an address. Its requests are counted at the door.
    fn at_address(&self, client: IpAddr) -> Option<Applied> {
        let limit = Limit {
            requests_per_minute: None,
            burst: None,
            ..self.settings.ip
        };
        limit.is_any().then(|| {
            self.crowded(
                self.limits
                    .addresses
                    .find(Address::of(client), limit, self.limits.clock.now()),
                limit,
            )
        })
    }

    /// The account of an end user: of one that was named, or of a caller who brings figures of its
    /// own.
    fn of_user(&self, who: &Who<'_>) -> Option<Applied> {
        let limit = who
            .own
            .map_or(self.settings.user, |own| own.and(self.settings.user));
        let known = who.user.is_some() || who.own.is_some();
        (known && limit.is_any()).then(|| {
            self.crowded(
                self.limits
                    .users
                    .find((who.caller, who.user), limit, self.limits.clock.now()),
                limit,
            )
        })
    }

    fn crowded(&self, account: Arc<Account>, limit: Limit) -> Applied {
        Applied { account, limit }
    }

    /// A part of that provider's account, where it has one.
    pub(super) fn provider(
        &self,
        name: &ByteString,
        need: Need,
    ) -> Result<Option<Reservation>, Box<Fault>> {
        self.providers
            .get(name)
            .map(|applied| Reservation::take(applied, need, self.limits.clock))
            .transpose()
    }
}
