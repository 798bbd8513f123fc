//! What is known of targets and routes, by name: it outlives the configuration that named them.
//!
//! Invariants: a target whose account was changed begins anew; what no configuration names any more
//! is forgotten; targets that clients name themselves are at most [`MOST_DIRECT`].

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;

use super::health::Health;
use super::rules::Rules;
use super::stats::RouteStats;
use crate::model::target::{Credential, Provider, Target, Via};

/// Targets remembered that clients have named (`provider/model` of a `direct` account): whoever
/// invents names may not fill the memory with them.
const MOST_DIRECT: usize = 1024;

/// What is known of all targets and routes. Clones are the same book.
#[derive(Debug, Clone, Default)]
pub struct HealthRegistry {
    state: Arc<Mutex<RegistryState>>,
}

#[derive(Debug, Default)]
struct RegistryState {
    targets: HashMap<(ByteString, ByteString), TargetEntry>,
    direct: HashMap<(ByteString, ByteString), TargetEntry>,
    routes: HashMap<ByteString, Arc<RouteStats>>,
}

#[derive(Debug, Clone)]
struct TargetEntry {
    /// Of the account's configuration.
    digest: u64,
    health: Arc<Health>,
}

impl TargetEntry {
    fn new(digest: u64, rules: Rules) -> Self {
        Self {
            digest,
            health: Arc::new(Health::new(rules)),
        }
    }
}

impl HealthRegistry {
    /// Turns to a new configuration: what it does not name is forgotten, once the old one is gone.
    pub(super) fn turn(&self) -> RegistryUpdate {
        RegistryUpdate {
            registry: self.clone(),
            targets: HashMap::new(),
            routes: HashMap::new(),
        }
    }

    /// The health of a target that a client has named.
    pub(super) fn direct(&self, target: &Target, rules: Rules) -> Arc<Health> {
        let (key, digest) = (key_of(target), digest(&target.provider));
        let mut state = self.state.lock();
        let known = state
            .targets
            .get(&key)
            .or_else(|| state.direct.get(&key))
            .filter(|entry| entry.digest == digest);
        if let Some(entry) = known {
            return entry.health.clone();
        }
        if state.direct.len() >= MOST_DIRECT {
            state.direct.retain(|_, entry| {
                Arc::strong_count(&entry.health) > 1 || !entry.health.is_at_peace()
            });
        }
        let entry = TargetEntry::new(digest, rules);
        let health = entry.health.clone();
        // Where all that is known is of use, a new one is known for its own request alone.
        if state.direct.len() < MOST_DIRECT {
            state.direct.insert(key, entry);
        }
        health
    }
}

/// A book being turned to a new configuration.
pub(super) struct RegistryUpdate {
    registry: HealthRegistry,
    targets: HashMap<(ByteString, ByteString), TargetEntry>,
    routes: HashMap<ByteString, Arc<RouteStats>>,
}

impl RegistryUpdate {
    /// The health of a target of a route.
    pub(super) fn target(&mut self, target: &Target, rules: Rules) -> Arc<Health> {
        let (key, digest) = (key_of(target), digest(&target.provider));
        let state = self.registry.state.lock();
        let known = || {
            state
                .targets
                .get(&key)
                .or_else(|| state.direct.get(&key))
                .filter(|entry| entry.digest == digest)
                .cloned()
        };
        let entry = self
            .targets
            .get(&key)
            .cloned()
            .or_else(known)
            .unwrap_or_else(|| TargetEntry::new(digest, rules));
        self.targets.insert(key, entry.clone());
        entry.health
    }

    /// What is kept of a route.
    pub(super) fn route(&mut self, name: &ByteString, rules: Rules) -> Arc<RouteStats> {
        let known = self.registry.state.lock().routes.get(name).cloned();
        let stats = known.unwrap_or_else(|| Arc::new(RouteStats::new(rules)));
        self.routes.insert(name.clone(), stats.clone());
        stats
    }

    /// It is turned.
    pub(super) fn done(self) {
        let mut state = self.registry.state.lock();
        state.targets = self.targets;
        state.routes = self.routes;
    }
}

fn key_of(target: &Target) -> (ByteString, ByteString) {
    (target.provider.name.clone(), target.model.clone())
}

/// What an account is asked by: with another address or credential it is another one, whatever its
/// name.
fn digest(provider: &Provider) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &provider.via {
        Via::Http {
            wire,
            base_url,
            query,
        } => (wire.name(), base_url, query).hash(&mut hasher),
        Via::Replay(replay) => replay.dir.hash(&mut hasher),
    }
    match &provider.credential {
        Credential::Key { key, .. } => key.expose_secret().hash(&mut hasher),
        // Keys among these are of a type that hides them: one that is changed alone is tried again
        // when its time comes.
        other => format!("{other:?}").hash(&mut hasher),
    }
    for (name, value) in &provider.headers {
        (name, value.as_bytes()).hash(&mut hasher);
    }
    (
        provider.http2,
        provider.proxy.as_ref().map(|it| it.expose_secret()),
        &provider.ca_file,
        &provider.models,
    )
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::WireId;

    fn target(url: &str, model: &str) -> Target {
        Target {
            provider: Arc::new(Provider::example(WireId::OpenaiChat, url)),
            model: model.into(),
        }
    }

    fn turned(registry: &HealthRegistry, target: &Target) -> (Arc<Health>, Arc<RouteStats>) {
        let mut turning = registry.turn();
        let found = (
            turning.target(target, Rules::default()),
            turning.route(&"m".into(), Rules::default()),
        );
        turning.done();
        found
    }

    #[test]
    fn what_is_known_outlives_a_reload_where_the_account_is_the_same() {
        let registry = HealthRegistry::default();
        let (health, stats) = turned(&registry, &target("http://a", "x"));
        let (again, pulse_again) = turned(&registry, &target("http://a", "x"));
        assert!(Arc::ptr_eq(&health, &again) && Arc::ptr_eq(&stats, &pulse_again));
        let (moved, _) = turned(&registry, &target("http://b", "x"));
        assert!(!Arc::ptr_eq(&health, &moved));
        turned(&registry, &target("http://a", "y"));
        let (back, _) = turned(&registry, &target("http://a", "x"));
        assert!(
            !Arc::ptr_eq(&health, &back),
            "what was not named is forgotten"
        );
    }

    #[test]
    fn names_that_clients_invent_are_bounded() {
        let registry = HealthRegistry::default();
        let known = registry.direct(&target("http://a", "known"), Rules::default());
        for n in 0..3 * MOST_DIRECT {
            registry.direct(&target("http://a", &format!("m{n}")), Rules::default());
        }
        assert!(registry.state.lock().direct.len() <= MOST_DIRECT);
        assert!(
            Arc::ptr_eq(
                &known,
                &registry.direct(&target("http://a", "known"), Rules::default())
            ),
            "one that is in use stays"
        );
        let held: Vec<_> = (0..2 * MOST_DIRECT)
            .map(|n| registry.direct(&target("http://a", &format!("h{n}")), Rules::default()))
            .collect();
        assert!(registry.state.lock().direct.len() <= MOST_DIRECT && held.len() == 2 * MOST_DIRECT);
    }
}
