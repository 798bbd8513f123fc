//! Accounts of subjects that no configuration names: client addresses and end users.
//!
//! Invariants: memory is bounded, however many subjects arrive: an account that is full again and
//! in use by nothing carries no information and is removed; at most [`MAX_ACCOUNTS`] accounts are
//! kept, and subjects that arrive when there is no room share one of a few spare accounts, so that
//! the limit applies to them too, together. Subjects are identified by a keyed digest only.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Scope;
use super::account::Account;
use crate::model::limit::Limit;

/// Maximum number of accounts: 128 Ki of them take about 24 MiB.
pub(super) const MAX_ACCOUNTS: usize = 1 << 17;
/// Number of shards, each with a lock of its own.
const SHARDS: usize = 64;
/// Number of spare accounts of a shard, for subjects that arrive when it is full.
const SPARE_ACCOUNTS: u128 = 16;
/// Number of accounts below which a shard is not swept.
const MIN_SWEPT: usize = 64;
/// Minimum time between two sweeps of a full shard, nanoseconds: one takes as long as several
/// requests.
const SWEEP_INTERVAL: u64 = 1_000_000_000;

/// Accounts by the digest of their subject.
#[derive(Debug)]
pub(super) struct BoundedAccounts {
    scope: Scope,
    shards: Box<[Mutex<Shard>]>,
    /// Maximum number of accounts in a shard, not counting spare ones.
    max_accounts: usize,
    hashers: [RandomState; 2],
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<u128, Arc<Account>>,
    /// Number of accounts at which the shard is swept next.
    sweep_at: usize,
    swept_at: u64,
}

impl BoundedAccounts {
    pub(super) fn new(scope: Scope, max_total: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            scope,
            shards,
            max_accounts: max_total.div_ceil(SHARDS),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Returns the account of a subject; creates it if there is none.
    pub(super) fn account_of(&self, subject: impl Hash, limit: Limit, now: u64) -> Arc<Account> {
        let [one, other] = &self.hashers;
        // Two independent 64-bit hashes form one digest, so that no two subjects share an account
        // by chance.
        let digest =
            u128::from(one.hash_one(&subject)) << 64 | u128::from(other.hash_one(&subject));
        let number = usize::try_from(digest % SHARDS as u128).unwrap_or_default();
        let mut shard = self
            .shards
            .get(number)
            .expect("a remainder is a shard's number")
            .lock();
        if let Some(account) = shard.accounts.get(&digest) {
            return account.clone();
        }
        shard.sweep(self.max_accounts, now);
        let key = if shard.accounts.len() < self.max_accounts {
            digest
        } else {
            spare_key(digest)
        };
        shard
            .accounts
            .entry(key)
            .or_insert_with(|| Arc::new(Account::new(self.scope, limit, now)))
            .clone()
    }

    /// Calls `visit` with every account.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&Account)) {
        self.shards.iter().for_each(|shard| {
            shard
                .lock()
                .accounts
                .values()
                .for_each(|account| visit(account));
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().accounts.len())
            .sum()
    }
}

/// Returns the key of the spare account for a digest. Spare keys are below [`SPARE_ACCOUNTS`],
/// where a digest falls with negligible probability.
const fn spare_key(digest: u128) -> u128 {
    (digest >> 64) % SPARE_ACCOUNTS
}

impl Shard {
    /// Removes idle accounts if a sweep is due.
    fn sweep(&mut self, max_accounts: usize, now: u64) {
        if self.accounts.len() < self.sweep_at.max(MIN_SWEPT).min(max_accounts) {
            return;
        }
        let full = self.accounts.len() >= max_accounts;
        if full && self.swept_at != 0 && now.saturating_sub(self.swept_at) < SWEEP_INTERVAL {
            return;
        }
        self.swept_at = now.max(1);
        // A second reference means that a request has found the account and not yet taken from it,
        // or holds a reservation.
        self.accounts
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.lock_at(now).is_idle());
        // Twice the size: the cost of a sweep is spread over as many new accounts.
        self.sweep_at = self.accounts.len().saturating_mul(2);
        if self.accounts.capacity() / 4 > self.accounts.len() {
            self.accounts.shrink_to(self.sweep_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::limits::account::Need;

    const SECOND: u64 = 1_000_000_000;

    fn limit() -> Limit {
        Limit {
            requests_per_minute: NonZeroU32::new(1),
            ..Limit::default()
        }
    }

    fn admitted_by(bounded: &BoundedAccounts, subject: u32, now: u64) -> bool {
        let account = bounded.account_of(subject, limit(), now);
        let mut state = account.lock_with_limit(&limit(), now);
        let admitted = state.check(Need::default()).is_ok();
        if admitted {
            state.take(Need::default());
            state.release();
        }
        admitted
    }

    #[test]
    fn a_million_users_take_bounded_memory_and_are_still_limited() {
        let bounded = BoundedAccounts::new(Scope::User, MAX_ACCOUNTS);
        let mut most = 0;
        for subject in 0..1_000_000 {
            admitted_by(&bounded, subject, u64::from(subject));
            if subject % 1000 == 0 {
                most = most.max(bounded.len());
            }
        }
        let bound = MAX_ACCOUNTS + SHARDS * 17;
        assert!(most <= bound && bounded.len() <= bound, "{most} accounts");
        assert!(
            (0..1000).all(|subject| !admitted_by(&bounded, subject, 1_000_000)),
            "known users have used up their limit"
        );
        let strangers = (2_000_000..2_100_000)
            .filter(|subject| admitted_by(&bounded, *subject, 1_000_000))
            .count();
        assert!(
            strangers <= SHARDS * 16,
            "spare accounts admitted {strangers} unknown users"
        );
    }

    #[test]
    fn accounts_that_are_full_again_are_removed() {
        let bounded = BoundedAccounts::new(Scope::User, 1 << 10);
        (0..1_000_000).for_each(|subject| {
            assert!(
                admitted_by(&bounded, subject, u64::from(subject) * SECOND),
                "each is admitted because full accounts are removed"
            );
        });
        assert!(bounded.len() <= 1 << 10, "{} accounts", bounded.len());
        let later = 1_000_000 * SECOND;
        bounded
            .account_of(7, limit(), later)
            .lock_with_limit(&limit(), later)
            .take(Need::default());
        (0..100_000).for_each(|subject| {
            admitted_by(
                &bounded,
                2_000_000 + subject,
                later + u64::from(subject) * SECOND,
            );
        });
        assert_eq!(
            bounded.account_of(7, limit(), later).lock().running,
            1,
            "an account with a running stream is kept"
        );
    }
}
