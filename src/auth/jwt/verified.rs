//! A cache of verified tokens, so that a signature is not checked for each request.
//!
//! Invariants: only valid tokens are cached, under their SHA-256, until they expire and for at most
//! [`MAX_AGE`]; another key set clears the cache; two generations of at most [`MAX_GENERATION`]
//! tokens bound its memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::keyset::KeySet;

/// Maximum time a token is cached.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// Maximum number of tokens in a generation: about 4 MiB with their grants, and twice that in
/// total.
const MAX_GENERATION: usize = 8192;

/// A cache of the grants of verified tokens.
#[derive(Debug)]
pub(in crate::auth) struct VerifiedTokens<T> {
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
    value: Arc<T>,
}

impl<T> Default for VerifiedTokens<T> {
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

impl<T> VerifiedTokens<T> {
    /// Returns the cached value of the token with this digest, if it was verified with these keys
    /// and has not expired.
    pub(in crate::auth) fn find(
        &self,
        digest: &[u8; 32],
        keys: &Arc<KeySet>,
        now: SystemTime,
    ) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.clear_if_keys_changed(keys);
        let entry = state.young.get(digest).or_else(|| state.old.get(digest))?;
        (now < entry.until).then(|| entry.value.clone())
    }

    /// Caches the value of a token that was verified with these keys and expires at `until`.
    pub(in crate::auth) fn insert(
        &self,
        digest: [u8; 32],
        keys: &Arc<KeySet>,
        until: SystemTime,
        now: SystemTime,
        value: Arc<T>,
    ) {
        let mut state = self.state.lock();
        state.clear_if_keys_changed(keys);
        // Dropping the older generation as a whole bounds the memory without tracking the use of
        // each token.
        if state.young.len() >= MAX_GENERATION {
            state.old = std::mem::take(&mut state.young);
        }
        state.young.insert(
            digest,
            Entry {
                until: until.min(now + MAX_AGE),
                value,
            },
        );
    }
}

impl<T> State<T> {
    fn clear_if_keys_changed(&mut self, keys: &Arc<KeySet>) {
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
        Arc::new(KeySet::from_key(VerifyingKey::from_secret("s")))
    }

    fn digest(n: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        digest
    }

    #[test]
    fn a_token_is_cached_until_it_expires_and_for_a_maximum_time() {
        let (verified, keys, now) = (VerifiedTokens::default(), keys(), SystemTime::UNIX_EPOCH);
        let after = |seconds| now + Duration::from_secs(seconds);
        verified.insert(digest(1), &keys, after(10), now, Arc::new(1));
        verified.insert(digest(2), &keys, after(10_000), now, Arc::new(2));
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
    fn another_key_set_clears_the_cache() {
        let (verified, one, now) = (VerifiedTokens::default(), keys(), SystemTime::UNIX_EPOCH);
        verified.insert(digest(1), &one, now + MAX_AGE, now, Arc::new(1));
        assert!(verified.find(&digest(1), &keys(), now).is_none());
        assert!(
            verified.find(&digest(1), &one, now).is_none(),
            "what was verified with keys that were replaced is gone"
        );
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_the_newest() {
        let (verified, keys, now) = (VerifiedTokens::default(), keys(), SystemTime::UNIX_EPOCH);
        for n in 0..5 * MAX_GENERATION {
            verified.insert(digest(n), &keys, now + MAX_AGE, now, Arc::new(n));
        }
        let state = verified.state.lock();
        assert!(state.young.len() + state.old.len() <= 2 * MAX_GENERATION);
        drop(state);
        assert_eq!(
            verified
                .find(&digest(5 * MAX_GENERATION - 1), &keys, now)
                .as_deref(),
            Some(&(5 * MAX_GENERATION - 1))
        );
    }
}
