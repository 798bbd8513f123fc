//! The accounts of those whom no configuration names: addresses and end users.
//!
//! Invariants: memory is bounded, however many come: an account that is full again and that nobody
//! holds says nothing and is forgotten; at most [`KEPT`] are remembered, and who comes when there
//! is no room shares one of a few spare accounts with others, so that the limit holds for them too,
//! together. Names are known by a keyed digest alone.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use super::account::Account;
use super::{Limit, Scope};

/// Accounts that are remembered, at most: 128 Ki of them take about 24 MiB.
pub(super) const KEPT: usize = 1 << 17;
/// Parts of the crowd with a lock of their own.
const SHARDS: usize = 64;
/// Spare accounts of a shard, for those who come when it is full.
const SPARE: u128 = 16;
/// A shard is not looked through for accounts to forget before it has so many.
const FEW: usize = 64;
/// A full shard is looked through this often, nanoseconds: it takes the time of some requests.
const LOOK_AGAIN: u64 = 1_000_000_000;

/// Accounts by whose they are.
#[derive(Debug)]
pub(super) struct BoundedAccounts {
    scope: Scope,
    shards: Box<[Mutex<Shard>]>,
    /// The most accounts in a shard, spare ones aside.
    room: usize,
    secrets: [RandomState; 2],
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<u128, Arc<Account>>,
    /// It is looked through at this size.
    look_at: usize,
    looked: u64,
}

impl BoundedAccounts {
    pub(super) fn new(scope: Scope, kept: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            scope,
            shards,
            room: kept.div_ceil(SHARDS),
            secrets: [RandomState::new(), RandomState::new()],
        }
    }

    /// The account of that one.
    pub(super) fn find(&self, who: impl Hash, limit: Limit, now: u64) -> Arc<Account> {
        let [one, other] = &self.secrets;
        let digest = u128::from(one.hash_one(&who)) << 64 | u128::from(other.hash_one(&who));
        let number = usize::try_from(digest % SHARDS as u128).unwrap_or_default();
        let mut shard = self
            .shards
            .get(number)
            .expect("a remainder is a shard's number")
            .lock();
        if let Some(account) = shard.accounts.get(&digest) {
            return account.clone();
        }
        shard.forget(self.room, now);
        let key = if shard.accounts.len() < self.room {
            digest
        } else {
            spare(digest)
        };
        shard
            .accounts
            .entry(key)
            .or_insert_with(|| Arc::new(Account::new(self.scope, limit, now)))
            .clone()
    }

    /// Calls `look` with every account.
    pub(super) fn each(&self, mut look: impl FnMut(&Account)) {
        self.shards.iter().for_each(|shard| {
            shard
                .lock()
                .accounts
                .values()
                .for_each(|account| look(account));
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

/// The key of the spare account for a digest: far from what a digest is, but for a chance that
/// nobody meets.
const fn spare(digest: u128) -> u128 {
    (digest >> 64) % SPARE
}

impl Shard {
    /// Forgets accounts that say nothing, when it is worth a look.
    fn forget(&mut self, room: usize, now: u64) {
        if self.accounts.len() < self.look_at.max(FEW).min(room) {
            return;
        }
        let full = self.accounts.len() >= room;
        if full && self.looked != 0 && now.saturating_sub(self.looked) < LOOK_AGAIN {
            return;
        }
        self.looked = now.max(1);
        // Whoever has found an account and not yet taken from it holds it.
        self.accounts
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.now(now).is_idle());
        self.look_at = self.accounts.len().saturating_mul(2);
        if self.accounts.capacity() / 4 > self.accounts.len() {
            self.accounts.shrink_to(self.look_at);
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

    fn drawn(bounded: &BoundedAccounts, who: u32, now: u64) -> bool {
        let account = bounded.find(who, limit(), now);
        let mut state = account.under(&limit(), now);
        let admitted = state.look(Need::default()).is_ok();
        if admitted {
            state.take(Need::default());
            state.release();
        }
        admitted
    }

    #[test]
    fn a_million_users_take_bounded_memory_and_are_still_limited() {
        let bounded = BoundedAccounts::new(Scope::User, KEPT);
        let mut most = 0;
        for who in 0..1_000_000 {
            drawn(&bounded, who, u64::from(who));
            if who % 1000 == 0 {
                most = most.max(bounded.len());
            }
        }
        let bound = KEPT + SHARDS * 17;
        assert!(most <= bound && bounded.len() <= bound, "{most} accounts");
        assert!(
            (0..1000).all(|who| !drawn(&bounded, who, 1_000_000)),
            "those who are known have used up theirs"
        );
        let strangers = (2_000_000..2_100_000)
            .filter(|who| drawn(&bounded, *who, 1_000_000))
            .count();
        assert!(
            strangers <= SHARDS * 16,
            "{strangers} strangers were let in by spare accounts"
        );
    }

    #[test]
    fn accounts_that_are_full_again_are_forgotten() {
        let bounded = BoundedAccounts::new(Scope::User, 1 << 10);
        (0..1_000_000).for_each(|who| {
            assert!(
                drawn(&bounded, who, u64::from(who) * SECOND),
                "each is let in as room is made for it"
            );
        });
        assert!(bounded.len() <= 1 << 10, "{} accounts", bounded.len());
        let later = 1_000_000 * SECOND;
        bounded
            .find(7, limit(), later)
            .under(&limit(), later)
            .take(Need::default());
        (0..100_000).for_each(|who| {
            drawn(&bounded, 2_000_000 + who, later + u64::from(who) * SECOND);
        });
        assert_eq!(
            bounded.find(7, limit(), later).state().running,
            1,
            "who runs something is remembered"
        );
    }
}
