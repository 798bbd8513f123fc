//! The health of targets and the statistics of routes, by name. They outlive the configuration that
//! named them.
//!
//! Invariants: a target whose provider was changed starts anew; what no configuration names any
//! more is removed; lessons are forgotten at every update; at most [`MOST_DIRECT`] targets that
//! clients name themselves are kept.

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

/// Maximum number of targets kept that clients have named (`provider/model` of a `direct`
/// provider): invented names must not fill the memory.
const MOST_DIRECT: usize = 1024;

/// The health of all targets and the statistics of all routes. Clones share the same state.
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
    /// Digest of the provider's configuration.
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
    /// Begins an update to a new configuration: what it does not name is removed when it is
    /// committed.
    pub(super) fn begin_update(&self) -> RegistryUpdate {
        RegistryUpdate {
            registry: self.clone(),
            targets: HashMap::new(),
            routes: HashMap::new(),
        }
    }

    /// Returns the health of a target that a client has named.
    pub(super) fn direct(&self, target: &Target, rules: Rules) -> Arc<Health> {
        let (key, digest) = (key_of(target), digest(&target.provider));
        let mut state = self.state.lock();
        // Direct requests share the health of a target that a route names.
        let known = state
            .targets
            .get(&key)
            .or_else(|| state.direct.get(&key))
            // A provider that was changed is another one: what is known of the old one does not
            // apply.
            .filter(|entry| entry.digest == digest);
        if let Some(entry) = known {
            return entry.health.clone();
        }
        if state.direct.len() >= MOST_DIRECT {
            // Entries in use stay, and so do those with a pause or an open breaker.
            state.direct.retain(|_, entry| {
                Arc::strong_count(&entry.health) > 1 || !entry.health.is_available()
            });
        }
        let entry = TargetEntry::new(digest, rules);
        let health = entry.health.clone();
        // If every kept entry is in use, the new one is not kept and serves only its own request.
        if state.direct.len() < MOST_DIRECT {
            state.direct.insert(key, entry);
        }
        health
    }
}

/// An update of the registry to a new configuration.
pub(super) struct RegistryUpdate {
    registry: HealthRegistry,
    targets: HashMap<(ByteString, ByteString), TargetEntry>,
    routes: HashMap<ByteString, Arc<RouteStats>>,
}

impl RegistryUpdate {
    /// Returns the health of a target of a route; creates it if it is not known.
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
        // Two routes that name the same target share its health.
        let entry = self
            .targets
            .get(&key)
            .cloned()
            .or_else(known)
            .unwrap_or_else(|| TargetEntry::new(digest, rules));
        self.targets.insert(key, entry.clone());
        entry.health
    }

    /// Returns the statistics of a route; creates them if they are not known.
    pub(super) fn route(&mut self, name: &ByteString, rules: Rules) -> Arc<RouteStats> {
        let known = self.registry.state.lock().routes.get(name).cloned();
        let stats = known.unwrap_or_else(|| Arc::new(RouteStats::new(rules)));
        self.routes.insert(name.clone(), stats.clone());
        stats
    }

    /// Replaces the state of the registry, and forgets what the refusals of targets have taught.
    pub(super) fn commit(self) {
        let mut state = self.registry.state.lock();
        for entry in self.targets.values().chain(state.direct.values()) {
            entry.health.lessons.forget();
        }
        state.targets = self.targets;
        state.routes = self.routes;
    }
}

fn key_of(target: &Target) -> (ByteString, ByteString) {
    (target.provider.name.clone(), target.model.clone())
}

/// Returns a digest of what identifies a provider's account: with another address or credential it
/// is another account, whatever its name.
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
        // Secrets in these types are redacted in `Debug`. A provider for which only such a secret
        // changed keeps its health and is tried again when its pause ends.
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
    use crate::model::learned::{Learned, Lesson};
    use crate::model::wire::WireId;

    fn target(url: &str, model: &str) -> Target {
        Target::example(Provider::example(WireId::OpenaiChat, url), model)
    }

    fn turned(registry: &HealthRegistry, target: &Target) -> (Arc<Health>, Arc<RouteStats>) {
        let mut update = registry.begin_update();
        let found = (
            update.target(target, Rules::default()),
            update.route(&"m".into(), Rules::default()),
        );
        update.commit();
        found
    }

    #[test]
    fn health_survives_a_reload_if_the_provider_is_unchanged() {
        let registry = HealthRegistry::default();
        let (health, stats) = turned(&registry, &target("http://a", "x"));
        let (again, stats_again) = turned(&registry, &target("http://a", "x"));
        assert!(Arc::ptr_eq(&health, &again) && Arc::ptr_eq(&stats, &stats_again));
        let (moved, _) = turned(&registry, &target("http://b", "x"));
        assert!(!Arc::ptr_eq(&health, &moved));
        turned(&registry, &target("http://a", "y"));
        let (back, _) = turned(&registry, &target("http://a", "x"));
        assert!(
            !Arc::ptr_eq(&health, &back),
            "a target that was not named is removed"
        );
    }

    #[test]
    fn a_reload_forgets_the_lessons_of_every_target() {
        let registry = HealthRegistry::default();
        let (routed, _) = turned(&registry, &target("http://a", "x"));
        let direct = registry.direct(&target("http://a", "y"), Rules::default());
        for health in [&routed, &direct] {
            health.lessons.add(Lesson::NoSummaries);
            assert!(health.lessons.learned().no_summaries);
        }
        let (same, _) = turned(&registry, &target("http://a", "x"));
        assert!(Arc::ptr_eq(&routed, &same));
        for health in [&routed, &direct] {
            assert_eq!(health.lessons.learned(), Learned::default());
        }
    }

    #[test]
    fn targets_named_by_clients_are_bounded() {
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
            "a target in use is kept"
        );
        let held: Vec<_> = (0..2 * MOST_DIRECT)
            .map(|n| registry.direct(&target("http://a", &format!("h{n}")), Rules::default()))
            .collect();
        assert!(registry.state.lock().direct.len() <= MOST_DIRECT && held.len() == 2 * MOST_DIRECT);
    }
}
