//! Tokens that were verified a short while ago, so that a signature is not checked for each
//! request.
//!
//! Invariants: only good tokens get in, under their SHA-256, until they end and for [`KEPT`] at
//! most; other keys make all of it void; two generations of at most [`GENERATION`] tokens bound its
//! memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::keyset::KeySet;

/// How long a token is remembered.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Tokens in a generation: with what they grant about 4 MiB, and twice that in all.
const GENERATION: usize = 8192;

/// What is remembered.
#[derive(Debug)]
pub(in crate::auth) struct Verified<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    keys: Option<Arc<KeySet>>,
    young: HashMap<[u8; 32], Entry<T>>,
    old: HashMap<[u8; 32], Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    until: SystemTime,
    what: Arc<T>,
}

impl<T> Default for Verified<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                keys: None,
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }
}

impl<T> Verified<T> {
    /// What the token of that digest granted when it was verified with these keys.
    pub(in crate::auth) fn find(
        &self,
        digest: &[u8; 32],
        keys: &Arc<KeySet>,
        now: SystemTime,
    ) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.renew(keys);
        let entry = state.young.get(digest).or_else(|| state.old.get(digest))?;
        (now < entry.until).then(|| entry.what.clone())
    }

    /// Remembers what a token grants that was verified with these keys and ends at `until`.
    pub(in crate::auth) fn keep(
        &self,
        digest: [u8; 32],
        keys: &Arc<KeySet>,
        until: SystemTime,
        now: SystemTime,
        what: Arc<T>,
    ) {
        let mut state = self.state.lock();
        state.renew(keys);
        if state.young.len() >= GENERATION {
            state.old = std::mem::take(&mut state.young);
        }
        state.young.insert(
            digest,
            Entry {
                until: until.min(now + KEPT),
                what,
            },
        );
    }
}

impl<T> State<T> {
    fn renew(&mut self, keys: &Arc<KeySet>) {
        if !self
            .keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys))
        {
            self.keys = Some(keys.clone());
            (self.young, self.old) = (HashMap::new(), HashMap::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keyset::VerifyingKey;
    use super::*;

    fn keys() -> Arc<KeySet> {
        Arc::new(KeySet::one(VerifyingKey::of_secret("s")))
    }

    fn digest(n: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        digest
    }

    #[test]
    fn a_token_is_remembered_until_it_ends_and_not_for_long() {
        let (verified, keys, now) = (Verified::default(), keys(), SystemTime::UNIX_EPOCH);
        let after = |seconds| now + Duration::from_secs(seconds);
        verified.keep(digest(1), &keys, after(10), now, Arc::new(1));
        verified.keep(digest(2), &keys, after(10_000), now, Arc::new(2));
        assert_eq!(
            verified.find(&digest(1), &keys, after(9)).as_deref(),
            Some(&1)
        );
        assert_eq!(verified.find(&digest(1), &keys, after(10)), None);
        assert_eq!(
            verified.find(&digest(2), &keys, after(299)).as_deref(),
            Some(&2)
        );
        assert_eq!(verified.find(&digest(2), &keys, after(300)), None);
        assert_eq!(verified.find(&digest(3), &keys, now), None);
    }

    #[test]
    fn other_keys_make_all_of_it_void() {
        let (verified, one, now) = (Verified::default(), keys(), SystemTime::UNIX_EPOCH);
        verified.keep(digest(1), &one, now + KEPT, now, Arc::new(1));
        assert!(verified.find(&digest(1), &keys(), now).is_none());
        assert!(
            verified.find(&digest(1), &one, now).is_none(),
            "what was verified with keys that were replaced is gone"
        );
    }

    #[test]
    fn its_memory_is_bounded_and_the_newest_stay() {
        let (verified, keys, now) = (Verified::default(), keys(), SystemTime::UNIX_EPOCH);
        for n in 0..5 * GENERATION {
            verified.keep(digest(n), &keys, now + KEPT, now, Arc::new(n));
        }
        let state = verified.state.lock();
        assert!(state.young.len() + state.old.len() <= 2 * GENERATION);
        drop(state);
        assert_eq!(
            verified
                .find(&digest(5 * GENERATION - 1), &keys, now)
                .as_deref(),
            Some(&(5 * GENERATION - 1))
        );
    }
}
