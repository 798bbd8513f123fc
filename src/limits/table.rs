//! The limits in force: which accounts a request has to pass.
//!
//! Invariants: an account and its fill outlive the table that found it; a table is built once for a
//! configuration, so that a request finds its named accounts without allocating any.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::account::{Account, Need};
use super::decision::Taken;
use super::door::address::Address;
use super::reservation::{AppliedLimit, Reservation};
use super::{HeldTotals, Limits, Refusal, Scope, Settings, decision, refusal};
use crate::model::fault::Fault;
use crate::model::ids::CallerId;
use crate::model::limit::Limit;

/// Number of reads allowed for each request that a caller may have.
const READS_PER_REQUEST: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// Minimum number of reads per minute for every caller: a page that is reloaded, a client that
/// polls.
const MIN_READS: NonZeroU32 = NonZeroU32::new(600).expect("six hundred is not zero");

/// The parties of a request that limits apply to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Client address.
    pub client: IpAddr,
    /// Caller.
    pub caller: &'a CallerId,
    /// Virtual key.
    pub key: Option<&'a ByteString>,
    /// Team.
    pub team: Option<&'a ByteString>,
    /// End user, from a verified token or from the request body. It is scoped to the caller: equal
    /// names of different callers are different users.
    pub user: Option<&'a str>,
    /// Public name of the model.
    pub model: &'a ByteString,
    /// Limits that the caller's token brings for its user, beside the configured ones.
    pub own: Option<Limit>,
}

/// The accounts of one configuration.
#[derive(Debug)]
pub struct LimitTable {
    limits: Arc<Limits>,
    settings: Settings,
    global: Option<AppliedLimit>,
    keys: HashMap<ByteString, AppliedLimit>,
    teams: HashMap<ByteString, AppliedLimit>,
    models: HashMap<ByteString, AppliedLimit>,
    providers: HashMap<ByteString, AppliedLimit>,
}

impl LimitTable {
    /// Finds the accounts of a configuration. Its figures apply at once, to running streams too.
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
        // After the new accounts are found: those that the old configuration named keep their
        // fills.
        limits.forget_unnamed();
        table
    }

    /// Returns the totals held over all accounts, including those that only other tables know.
    #[must_use]
    pub fn held(&self) -> HeldTotals {
        self.limits.held()
    }

    /// Returns the maximum number of tokens reserved for an answer.
    #[must_use]
    pub const fn reserve_output(&self) -> u64 {
        self.settings.reserve_output
    }

    /// Returns true if streams end when an account is exhausted.
    pub(super) const fn cuts_streams(&self) -> bool {
        self.settings.cut
    }

    /// Takes what a request needs from all limits at once. `providers` are the ones that may be
    /// asked, in order; a provider without room is skipped.
    ///
    /// # Errors
    /// The refusal of a limit. Nothing is taken then.
    pub(super) fn take<'a>(
        &'a self,
        subject: &Subject<'_>,
        providers: impl Iterator<Item = &'a ByteString>,
        need: Need,
    ) -> Result<Taken, Box<Refusal>> {
        let applied = self.applied(subject);
        let accounts = providers.map(|name| (name, self.providers.get(name)));
        decision::take(&applied, accounts, need, self.limits.clock)
    }

    /// Counts a read of a caller that has a limit on requests: it may read ten times as often.
    ///
    /// # Errors
    /// 429 when it has no read left.
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
        // The tighter one of the key's limit and the token's own.
        let Some(requests) = of_key.and(own.unwrap_or_default()).requests_per_minute else {
            return Ok(());
        };
        let limit = Limit {
            requests_per_minute: Some(requests.saturating_mul(READS_PER_REQUEST).max(MIN_READS)),
            ..Limit::default()
        };
        let now = self.limits.clock.now();
        // Per caller, not per key: reads of one user must not use up those of another.
        let account = self.limits.readers.account_of(caller, limit, now);
        let mut state = account.lock_with_limit(&limit, now);
        state
            .check(Need::default())
            .map_err(|short| Box::new(refusal::reads(short.wait(), &state)))?;
        state.requests.take(1);
        Ok(())
    }

    /// Returns the accounts of a request, in the order of their scopes.
    fn applied(&self, subject: &Subject<'_>) -> SmallVec<[AppliedLimit; 6]> {
        let ip = self.address_limit(subject.client);
        let key = subject.key.and_then(|name| self.keys.get(name));
        let team = subject.team.and_then(|name| self.teams.get(name));
        let user = self.user_limit(subject);
        let model = self.models.get(subject.model);
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

    /// Returns the account of an address. Its requests are counted at the door.
    fn address_limit(&self, client: IpAddr) -> Option<AppliedLimit> {
        let limit = Limit {
            requests_per_minute: None,
            burst: None,
            ..self.settings.ip
        };
        limit.is_any().then(|| {
            self.applied_limit(
                self.limits.addresses.account_of(
                    Address::from_ip(client),
                    limit,
                    self.limits.clock.now(),
                ),
                limit,
            )
        })
    }

    /// Returns the account of an end user: of one named by the request, or of a caller that brings
    /// limits of its own.
    fn user_limit(&self, subject: &Subject<'_>) -> Option<AppliedLimit> {
        let limit = subject
            .own
            .map_or(self.settings.user, |own| own.and(self.settings.user));
        // Without a user or limits of its own a caller is counted by its key only.
        let known = subject.user.is_some() || subject.own.is_some();
        (known && limit.is_any()).then(|| {
            self.applied_limit(
                self.limits.users.account_of(
                    (subject.caller, subject.user),
                    limit,
                    self.limits.clock.now(),
                ),
                limit,
            )
        })
    }

    fn applied_limit(&self, account: Arc<Account>, limit: Limit) -> AppliedLimit {
        AppliedLimit { account, limit }
    }

    /// Takes a reservation on that provider's account, if it has one.
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
