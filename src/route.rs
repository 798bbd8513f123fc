//! Which targets answer for a model.
//!
//! Invariants: a [`Plan`] is never empty; it is made once for a request, so that a reload changes nothing half-way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;

use crate::model::fault::{Code, Fault};
use crate::model::target::{Account, Target};

/// The models and accounts that are configured.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The accounts by name.
    pub accounts: BTreeMap<ByteString, Arc<Account>>,
    /// The models by the name clients ask for.
    pub models: BTreeMap<ByteString, Model>,
}

/// A model's route.
#[derive(Debug, Clone)]
pub struct Model {
    /// The tiers in order: the next one is asked when all of one have failed before their first content.
    pub tiers: Vec<Vec<Weighted>>,
    /// How often one target is asked again.
    pub retries: u32,
}

/// A target and its share of its tier.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// The target.
    pub target: Target,
    /// Its share; 1 where not said.
    pub weight: u32,
}

/// How often one target is asked again where the configuration does not say.
pub const RETRIES: u32 = 1;

/// The targets to ask, in order.
#[derive(Debug, Clone)]
pub struct Plan {
    first: Target,
    rest: Vec<Target>,
    /// How often each is asked again.
    pub retries: u32,
}

impl Plan {
    /// This target alone, asked once.
    #[must_use]
    pub fn of(target: Target) -> Self {
        Self { first: target, rest: Vec::new(), retries: 0 }
    }

    /// The targets in order; at least one.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// The routes of the moment.
#[derive(Debug, Default)]
pub struct Routes {
    settings: Settings,
}

impl Routes {
    /// From the configuration.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.settings.accounts.values()
    }

    /// The names clients may ask for (those of `direct` accounts not among them, as nobody lists them).
    pub fn names(&self) -> impl Iterator<Item = &ByteString> {
        self.settings.models.keys()
    }

    /// True where a client may ask for that name.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.settings.models.contains_key(model) || self.direct(model).is_some()
    }

    /// The targets for a model that `may_use` lets this caller have.
    ///
    /// # Errors
    /// 403 `model_not_allowed`; 404 `model_not_found` with the nearest names the caller may use.
    pub fn plan(&self, model: &str, may_use: impl Fn(&str) -> bool) -> Result<Plan, Fault> {
        if !self.knows(model) {
            return Err(self.unknown(model, may_use));
        }
        if !may_use(model) {
            let message = format!("this key may not use the model `{model}`");
            return Err(Fault::new(Code::ModelNotAllowed, message).with_param("model"));
        }
        let configured = self.settings.models.get(model).and_then(|model| ordered(&model.tiers).map(|targets| (targets, model.retries)));
        let direct = || self.direct(model).map(|target| ((target, Vec::new()), RETRIES));
        let ((first, rest), retries) = configured.or_else(direct).ok_or_else(|| self.unknown(model, may_use))?;
        Ok(Plan { first, rest, retries })
    }

    /// `provider/model` of an account that allows it.
    fn direct(&self, model: &str) -> Option<Target> {
        let (provider, model) = model.split_once('/')?;
        let account = self.settings.accounts.get(provider).filter(|account| account.direct && !model.is_empty())?;
        Some(Target { account: account.clone(), model: model.into() })
    }

    fn unknown(&self, model: &str, may_use: impl Fn(&str) -> bool) -> Fault {
        let mut near: Vec<_> = self.names().filter(|name| may_use(name)).map(|name| (strsim::jaro_winkler(model, name), name)).collect();
        near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let near: Vec<_> = near.iter().filter(|(likeness, _)| *likeness > 0.6).take(3).map(|(_, name)| format!("`{name}`")).collect();
        let shown: String = model.chars().filter(|c| !c.is_control()).take(100).collect();
        let hint = if near.is_empty() { "GET /v1/models lists what there is".into() } else { format!("did you mean {}?", near.join(", ")) };
        Fault::new(Code::ModelNotFound, format!("no model `{shown}` here: {hint}")).with_param("model")
    }
}

/// The targets of all tiers, each tier in a random order by weight; `None` where there is none.
fn ordered(tiers: &[Vec<Weighted>]) -> Option<(Target, Vec<Target>)> {
    let mut all = tiers.iter().flat_map(|tier| drawn(tier));
    let first = all.next()?;
    Some((first, all.collect()))
}

/// A tier's targets in a random order, the heavier ones likelier first.
fn drawn(tier: &[Weighted]) -> Vec<Target> {
    let mut left: Vec<&Weighted> = tier.iter().collect();
    let mut order = Vec::with_capacity(left.len());
    while left.len() > 1 {
        let total: u64 = left.iter().map(|it| u64::from(it.weight)).sum();
        let mut ticket = random() % total.max(1);
        let at = left.iter().position(|it| {
            let hit = ticket < u64::from(it.weight);
            ticket = ticket.saturating_sub(u64::from(it.weight));
            hit
        });
        order.push(left.swap_remove(at.unwrap_or(0)).target.clone());
    }
    order.extend(left.first().map(|it| it.target.clone()));
    order
}

/// A random number; where the system has none, the first target is as good as any.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::Wire;

    fn account(name: &str, direct: bool) -> Arc<Account> {
        Arc::new(Account { name: name.into(), direct, ..Account::example(Wire::OpenaiChat, "http://127.0.0.1:1") })
    }

    fn routes() -> Routes {
        let (a, b) = (account("a", true), account("b", false));
        let one = |account: &Arc<Account>, model: &str, weight| Weighted {
            target: Target { account: account.clone(), model: model.into() },
            weight,
        };
        let smart = Model { tiers: vec![vec![one(&a, "x", 1)], vec![one(&b, "y", 1), one(&b, "z", 3)]], retries: 2 };
        let models = [("smart".into(), smart)].into();
        Routes::new(Settings { accounts: [("a".into(), a), ("b".into(), b)].into(), models })
    }

    #[test]
    fn tiers_are_asked_in_order_and_nobody_is_left_out() {
        let plan = routes().plan("smart", |_| true).unwrap();
        let names: Vec<_> = plan.targets().map(ToString::to_string).collect();
        assert_eq!((names[0].as_str(), plan.retries), ("a/x", 2));
        assert!(names[1..] == ["b/y", "b/z"] || names[1..] == ["b/z", "b/y"]);
    }

    #[test]
    fn weights_draw_the_first_of_a_tier() {
        let routes = routes();
        let firsts = (0..4000).filter(|_| routes.plan("smart", |_| true).unwrap().targets().nth(1).unwrap().model == "z").count();
        assert!((2700..3300).contains(&firsts), "{firsts} of 4000 for three quarters");
    }

    #[test]
    fn direct_names_only_where_allowed() {
        assert_eq!(routes().plan("a/any/model", |_| true).unwrap().targets().next().unwrap().model, "any/model");
        for (model, code) in [("b/any", Code::ModelNotFound), ("a/", Code::ModelNotFound), ("nope", Code::ModelNotFound)] {
            assert_eq!(routes().plan(model, |_| true).unwrap_err().code, code, "{model}");
        }
        assert_eq!(routes().plan("smart", |_| false).unwrap_err().code, Code::ModelNotAllowed);
        assert!(routes().plan("smrt", |_| true).unwrap_err().message.contains("did you mean `smart`"));
        assert!(!routes().plan("smrt", |_| false).unwrap_err().message.contains("smart`?"));
    }
}
