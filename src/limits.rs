//! Limits: who may ask how often, and how much at a time.
//!
//! Invariants: one decision over all limits, in one step — a refused request takes nothing from any of them; a slot is
//! held by its [`Pass`] and freed when that is dropped, on every way out; fills survive a reload. The door (per address,
//! before anything is read) is `governor`'s.

mod account;
pub mod door;
pub mod standing;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::fault::{Code, Fault};
use account::Account;
use standing::Standing;

/// One limit's figures. What is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Generations per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Generations at a time.
    pub concurrent_streams: Option<NonZeroU32>,
    /// Requests that may come at once; one minute's worth where not said.
    pub burst: Option<NonZeroU32>,
}

/// The limits that do not belong to a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Over everything.
    pub global: Limit,
    /// For each client address (IPv6 by /64), at the door. Only `requests_per_minute` and `burst` count there.
    pub ip: Limit,
}

/// Which limit it is, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Over everything.
    Global,
    /// Of one virtual key.
    Key,
}

impl Scope {
    /// The word in error objects and headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Key => "key",
        }
    }
}

/// A limit that applies to a request.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Which it is.
    pub scope: Scope,
    /// Whose it is (a key's name); empty for the global one.
    pub of: ByteString,
    /// Its figures.
    pub limit: Limit,
}

/// The fills of all limits.
#[derive(Debug, Default)]
pub struct Limits {
    accounts: Mutex<HashMap<(Scope, ByteString), Account>>,
}

/// The right to run one generation. Its slots are freed when it is dropped.
#[derive(Debug)]
pub struct Pass {
    limits: Arc<Limits>,
    slots: Vec<(Scope, ByteString)>,
    /// What is left of the tightest limit.
    pub standing: Option<Standing>,
}

/// A refusal, with what is left of the limit that refused.
#[derive(Debug)]
pub struct Refused {
    /// 429, with which limit, and when to try again.
    pub fault: Fault,
    /// For the rate headers.
    pub standing: Option<Standing>,
}

impl Limits {
    /// Decides over all limits at once.
    ///
    /// # Errors
    /// 429 `rate_limited` when one of them has nothing left: then none of them gives anything.
    pub fn admit(self: &Arc<Self>, applied: &[Applied]) -> Result<Pass, Box<Refused>> {
        let now = Instant::now();
        let mut accounts = self.accounts.lock();
        for it in applied {
            let account = accounts.entry((it.scope, it.of.clone())).or_default();
            if let Err(wait) = account.look(&it.limit, now) {
                let standing = account.standing(it, now);
                return Err(Box::new(Refused { fault: refusal(it, wait), standing }));
            }
        }
        let mut standing: Option<Standing> = None;
        let mut slots = Vec::with_capacity(applied.len());
        for it in applied {
            let account = accounts.entry((it.scope, it.of.clone())).or_default();
            account.take(&it.limit, now);
            slots.push((it.scope, it.of.clone()));
            standing = tighter(standing, account.standing(it, now));
        }
        drop(accounts);
        Ok(Pass { limits: self.clone(), slots, standing })
    }

    /// Slots that are taken, over all limits.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.accounts.lock().values().map(Account::running).sum()
    }
}

/// Why a limit has nothing left.
#[derive(Clone, Copy)]
enum Wait {
    /// Until then.
    For(Duration),
    /// Until a generation ends.
    Slot,
}

fn refusal(it: &Applied, wait: Wait) -> Fault {
    let scope = it.scope.name();
    let (message, after) = match wait {
        Wait::For(wait) => (format!("the {scope} limit of requests per minute is used up: try again in {:.1} s", wait.as_secs_f64()), wait),
        Wait::Slot => (
            format!("the {scope} limit of streams at a time is reached: try again when one has ended"),
            // Nobody knows when a stream ends; a second is what clients wait anyway.
            Duration::from_secs(1),
        ),
    };
    Fault::new(Code::RateLimited, message).with_limit(scope).with_retry_after(after)
}

/// Of two standings the one with less left.
fn tighter(one: Option<Standing>, other: Option<Standing>) -> Option<Standing> {
    match (one, other) {
        (Some(one), Some(other)) if other.remaining < one.remaining => Some(other),
        (None, other) => other,
        (one, _) => one,
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut accounts = self.limits.accounts.lock();
        for slot in &self.slots {
            if let Some(account) = accounts.get_mut(slot) {
                account.release();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(scope: Scope, per_minute: u32, streams: u32, burst: u32) -> Applied {
        let limit = Limit {
            requests_per_minute: NonZeroU32::new(per_minute),
            concurrent_streams: NonZeroU32::new(streams),
            burst: NonZeroU32::new(burst),
        };
        Applied { scope, of: ByteString::new(), limit }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_request_takes_nothing_from_the_others() {
        let limits = Arc::new(Limits::default());
        let both = [applied(Scope::Global, 60, 0, 2), applied(Scope::Key, 0, 1, 0)];
        let pass = limits.admit(&both).unwrap();
        for _ in 0..10 {
            assert_eq!(limits.admit(&both).unwrap_err().fault.limit, Some("key"));
        }
        drop(pass);
        assert_eq!(limits.admit(&both).unwrap().standing.unwrap().remaining, 0);
        assert_eq!(limits.permits(), 0);
        let refused = limits.admit(&both).unwrap_err();
        assert_eq!(refused.fault.limit, Some("global"));
        tokio::time::advance(refused.fault.retry_after.unwrap()).await;
        assert!(limits.admit(&both).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_what_was_configured() {
        let limits = Arc::new(Limits::default());
        let rule = [applied(Scope::Global, 60, 0, 0)];
        let admitted = |limits: &Arc<Limits>| (0..200).filter(|_| limits.admit(&rule).is_ok()).count();
        assert_eq!(admitted(&limits), 60);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(admitted(&limits), 10);
    }
}
