//! What is known of targets and routes, by name: it outlives the configuration that named them.
//!
//! Invariants: a target whose account was changed begins anew; what no configuration names any more is forgotten;
//! targets that clients name themselves are at most [`MOST_DIRECT`].

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytestring::ByteString;
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;

use super::health::Health;
use super::pulse::Pulse;
use super::rules::Rules;
use crate::model::target::{Account, Credential, Target, Via};

/// Targets remembered that clients have named (`provider/model` of a `direct` account): whoever invents names may not
/// fill the memory with them.
const MOST_DIRECT: usize = 1024;

/// What is known of all targets and routes. Clones are the same book.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    targets: HashMap<(ByteString, ByteString), Page>,
    direct: HashMap<(ByteString, ByteString), Page>,
    routes: HashMap<ByteString, Arc<Pulse>>,
}

#[derive(Debug, Clone)]
struct Page {
    /// Of the account's configuration.
    digest: u64,
    health: Arc<Health>,
}

impl Page {
    fn new(digest: u64, rules: Rules) -> Self {
        Self { digest, health: Arc::new(Health::new(rules)) }
    }
}

impl Book {
    /// Turns to a new configuration: what it does not name is forgotten, once the old one is gone.
    pub(super) fn turn(&self) -> Turning {
        Turning { book: self.clone(), targets: HashMap::new(), routes: HashMap::new() }
    }

    /// The health of a target that a client has named.
    pub(super) fn direct(&self, target: &Target, rules: Rules) -> Arc<Health> {
        let (key, digest) = (key_of(target), digest(&target.account));
        let mut pages = self.pages.lock();
        let known = pages.targets.get(&key).or_else(|| pages.direct.get(&key)).filter(|page| page.digest == digest);
        if let Some(page) = known {
            return page.health.clone();
        }
        if pages.direct.len() >= MOST_DIRECT {
            pages.direct.retain(|_, page| Arc::strong_count(&page.health) > 1 || !page.health.is_at_peace());
        }
        let page = Page::new(digest, rules);
        let health = page.health.clone();
        // Where all that is known is of use, a new one is known for its own request alone.
        if pages.direct.len() < MOST_DIRECT {
            pages.direct.insert(key, page);
        }
        health
    }
}

/// A book being turned to a new configuration.
pub(super) struct Turning {
    book: Book,
    targets: HashMap<(ByteString, ByteString), Page>,
    routes: HashMap<ByteString, Arc<Pulse>>,
}

impl Turning {
    /// The health of a target of a route.
    pub(super) fn target(&mut self, target: &Target, rules: Rules) -> Arc<Health> {
        let (key, digest) = (key_of(target), digest(&target.account));
        let pages = self.book.pages.lock();
        let known = || pages.targets.get(&key).or_else(|| pages.direct.get(&key)).filter(|page| page.digest == digest).cloned();
        let page = self.targets.get(&key).cloned().or_else(known).unwrap_or_else(|| Page::new(digest, rules));
        self.targets.insert(key, page.clone());
        page.health
    }

    /// What is kept of a route.
    pub(super) fn route(&mut self, name: &ByteString, rules: Rules) -> Arc<Pulse> {
        let known = self.book.pages.lock().routes.get(name).cloned();
        let pulse = known.unwrap_or_else(|| Arc::new(Pulse::new(rules)));
        self.routes.insert(name.clone(), pulse.clone());
        pulse
    }

    /// It is turned.
    pub(super) fn done(self) {
        let mut pages = self.book.pages.lock();
        pages.targets = self.targets;
        pages.routes = self.routes;
    }
}

fn key_of(target: &Target) -> (ByteString, ByteString) {
    (target.account.name.clone(), target.model.clone())
}

/// What an account is asked by: with another address or credential it is another one, whatever its name.
fn digest(account: &Account) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &account.via {
        Via::Http { wire, base_url, query } => (wire.name(), base_url, query).hash(&mut hasher),
        Via::Replay(replay) => replay.dir.hash(&mut hasher),
    }
    match &account.credential {
        Credential::Key { key, .. } => key.expose_secret().hash(&mut hasher),
        // Keys among these are of a type that hides them: one that is changed alone is tried again when its time comes.
        other => format!("{other:?}").hash(&mut hasher),
    }
    for (name, value) in &account.headers {
        (name, value.as_bytes()).hash(&mut hasher);
    }
    (account.http2, account.proxy.as_ref().map(|it| it.expose_secret()), &account.ca_file, &account.models).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::Wire;

    fn target(url: &str, model: &str) -> Target {
        Target { account: Arc::new(Account::example(Wire::OpenaiChat, url)), model: model.into() }
    }

    fn turned(book: &Book, target: &Target) -> (Arc<Health>, Arc<Pulse>) {
        let mut turning = book.turn();
        let found = (turning.target(target, Rules::default()), turning.route(&"m".into(), Rules::default()));
        turning.done();
        found
    }

    #[test]
    fn what_is_known_outlives_a_reload_where_the_account_is_the_same() {
        let book = Book::default();
        let (health, pulse) = turned(&book, &target("http://a", "x"));
        let (again, pulse_again) = turned(&book, &target("http://a", "x"));
        assert!(Arc::ptr_eq(&health, &again) && Arc::ptr_eq(&pulse, &pulse_again));
        let (moved, _) = turned(&book, &target("http://b", "x"));
        assert!(!Arc::ptr_eq(&health, &moved));
        turned(&book, &target("http://a", "y"));
        let (back, _) = turned(&book, &target("http://a", "x"));
        assert!(!Arc::ptr_eq(&health, &back), "what was not named is forgotten");
    }

    #[test]
    fn names_that_clients_invent_are_bounded() {
        let book = Book::default();
        let known = book.direct(&target("http://a", "known"), Rules::default());
        for n in 0..3 * MOST_DIRECT {
            book.direct(&target("http://a", &format!("m{n}")), Rules::default());
        }
        assert!(book.pages.lock().direct.len() <= MOST_DIRECT);
        assert!(Arc::ptr_eq(&known, &book.direct(&target("http://a", "known"), Rules::default())), "one that is in use stays");
        let held: Vec<_> = (0..2 * MOST_DIRECT).map(|n| book.direct(&target("http://a", &format!("h{n}")), Rules::default())).collect();
        assert!(book.pages.lock().direct.len() <= MOST_DIRECT && held.len() == 2 * MOST_DIRECT);
    }
}
