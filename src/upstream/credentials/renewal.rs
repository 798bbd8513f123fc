//! When a fetched secret is renewed, and how long it is used.

use std::sync::Arc;
use std::time::Duration;

use super::{Problem, Secret};
use crate::cache::{Fetched, Policy, RenewingCache, jitter};

/// A secret is renewed at least this long before it expires …
const RENEW_AHEAD: Duration = Duration::from_secs(5 * 60);
/// … or when this fraction of its lifetime is left, whichever is earlier; but not in the first half
/// of its lifetime.
const RENEW_AHEAD_FRACTION: u32 = 10;
/// A secret is not used this long before its expiry: requests take time to arrive, and clocks
/// differ.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// Maximum time a secret is kept without a new fetch, whatever its stated lifetime.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval at which secrets without an expiry are fetched again, because files may have changed.
const REFETCH_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// A pause follows failures only; a repaired source is used within a minute.
const POLICY: Policy = Policy {
    interval: Duration::ZERO,
    first_pause: Duration::from_secs(1),
    max_pause: Duration::from_secs(60),
};

/// The cache of one provider.
pub(super) type SecretCache = RenewingCache<Secret, Problem>;

pub(super) fn new_cache() -> Arc<SecretCache> {
    RenewingCache::new(POLICY)
}

/// The result of a fetch.
#[derive(Debug)]
pub(super) struct FetchedSecret {
    /// The secret.
    pub(super) secret: Secret,
    /// Lifetime from now on; `None` if it does not expire.
    pub(super) lifetime: Option<Duration>,
}

impl From<FetchedSecret> for Fetched<Secret> {
    fn from(fetched: FetchedSecret) -> Self {
        let value = Arc::new(fetched.secret);
        let Some(life) = fetched.lifetime else {
            return Self {
                value,
                renew_after: jitter(REFETCH_INTERVAL),
                valid_for: None,
            };
        };
        let life = life.min(MAX_LIFETIME);
        let ahead = RENEW_AHEAD.max(life / RENEW_AHEAD_FRACTION).min(life / 2);
        let margin = EXPIRY_MARGIN.min(life / RENEW_AHEAD_FRACTION);
        Self {
            value,
            renew_after: jitter(life - ahead),
            valid_for: Some(life.saturating_sub(margin)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_secret_is_renewed_ahead_of_its_expiry() {
        for (lifetime, renewed_from, renewed_until, valid_for) in [
            (
                Some(HOUR),
                48 * MINUTE,
                54 * MINUTE,
                Some(HOUR - 10 * SECOND),
            ),
            (
                Some(10 * SECOND),
                Duration::from_millis(4500),
                5 * SECOND,
                Some(9 * SECOND),
            ),
            (
                Some(Duration::ZERO),
                Duration::ZERO,
                Duration::ZERO,
                Some(Duration::ZERO),
            ),
            // No lifetime of more than a day is accepted.
            (
                Some(Duration::MAX),
                19 * HOUR,
                22 * HOUR,
                Some(DAY - 10 * SECOND),
            ),
            (None, 13 * MINUTE, 15 * MINUTE, None),
        ] {
            let fetched = Fetched::from(FetchedSecret {
                secret: Secret::None,
                lifetime,
            });
            assert!(
                (renewed_from..=renewed_until).contains(&fetched.renew_after),
                "{lifetime:?}: {:?}",
                fetched.renew_after
            );
            assert_eq!(fetched.valid_for, valid_for, "{lifetime:?}");
        }
    }
}
