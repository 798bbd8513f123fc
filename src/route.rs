//! Routes: the targets of a model, their order, and the targets that are paused for now.
//!
//! `table` holds the configuration, `balance` orders the `candidate`s of a tier (a sticky one by a
//! `stable` hash), `plan` is that order for one request. Of each target `health` knows its `breaker`, its
//! `latency`, the `lessons` of its refusals, its requests in progress and the pause its provider
//! asked for. Of each route `stats` knows the budgets of `retry` and the times of first contents.
//! `registry` keeps both over a reload, except for the lessons.
//!
//! Invariants: a [`Plan`] is never empty; it is made once for a request, so that a reload does not
//! change a request half-way; no lock is held across an await; everything that is kept has a bound.

mod balance;
mod breaker;
mod candidate;
mod health;
mod latency;
mod lessons;
mod plan;
mod registry;
mod retry;
mod rules;
mod stable;
mod stats;
mod table;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;

pub use candidate::Candidate;
pub use health::{Health, Permit, Skip};
pub use plan::{HedgeAfter, Plan};
pub use registry::HealthRegistry;
pub use retry::retry_wait;
pub use rules::Rules;
pub use stable::StableHash;
pub use stats::RouteStats;
pub use table::{Model, Settings, Weighted};

use crate::model::fault::{Code, Fault};
use crate::model::printable::printable_name;
use crate::model::target::{Provider, Target};
use table::ModelRoute;

/// Default number of retries of one target.
pub const RETRIES: u32 = 1;

/// The routes of one configuration.
#[derive(Debug)]
pub struct Routes {
    providers: BTreeMap<ByteString, Arc<Provider>>,
    rows: BTreeMap<ByteString, ModelRoute>,
    rules: Rules,
    registry: HealthRegistry,
    /// Statistics of all targets together that clients name themselves.
    direct: Arc<RouteStats>,
}

impl Routes {
    /// Creates the routes of a configuration, with what the registry already knows.
    #[must_use]
    pub fn new(settings: Settings, registry: &HealthRegistry) -> Self {
        let Settings {
            providers,
            models,
            rules,
        } = settings;
        let mut update = registry.begin_update();
        let rows = models
            .iter()
            .map(|(name, model)| {
                (
                    name.clone(),
                    ModelRoute::new(name, model, rules, &mut update),
                )
            })
            .collect();
        // No model has an empty name, so the key is free for direct targets.
        let direct = update.route(&ByteString::new(), rules);
        update.commit();
        Self {
            providers,
            rows,
            rules,
            registry: registry.clone(),
            direct,
        }
    }

    /// Returns the configured model names. Targets of `direct` providers are not among them: their
    /// names are not known in advance.
    pub fn names(&self) -> impl Iterator<Item = &ByteString> {
        self.rows.keys()
    }

    /// Returns true if a client may ask for that name.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.rows.contains_key(model) || self.direct_target(model).is_some()
    }

    /// Plans the targets for a model, if `may_use` lets this caller have it. `key` returns the hash
    /// of what sticks to one target; it is called only if the route is sticky.
    ///
    /// # Errors
    /// 403 `model_not_allowed`; 404 `model_not_found` with the nearest names that the caller may
    /// use.
    pub fn plan(
        &self,
        model: &str,
        may_use: impl Fn(&str) -> bool,
        key: impl FnOnce() -> u64,
    ) -> Result<Plan, Fault> {
        if !self.knows(model) {
            return Err(self.model_not_found(model, may_use));
        }
        if !may_use(model) {
            let message = format!("this key may not use the model `{model}`");
            return Err(Fault::new(Code::ModelNotAllowed, message).with_param("model"));
        }
        let configured = self
            .rows
            .get(model)
            .map(|row| row.plan(row.sticky.then(key)));
        configured
            .unwrap_or_else(|| self.direct_plan(model))
            .ok_or_else(|| self.model_not_found(model, may_use))
    }

    /// Returns the plan of a `provider/model` name.
    fn direct_plan(&self, model: &str) -> Option<Plan> {
        let target = self.direct_target(model)?;
        let (health, label) = (
            self.registry.direct(&target, self.rules),
            // Metrics must not get a label for each name that a client invents.
            format!("{}/*", target.provider.name).into(),
        );
        let alone = [Arc::new(Candidate { target, health })]
            .into_iter()
            .collect();
        Plan::new(alone, RETRIES, None, self.direct.clone(), label)
    }

    /// Returns the target of a `provider/model` name, if its provider allows direct use.
    fn direct_target(&self, model: &str) -> Option<Target> {
        // At the first slash: names of models contain slashes themselves.
        let (provider, model) = model.split_once('/')?;
        let provider = self
            .providers
            .get(provider)
            .filter(|provider| provider.direct && !model.is_empty())?;
        Some(Target {
            provider: provider.clone(),
            model: model.into(),
        })
    }

    fn model_not_found(&self, model: &str, may_use: impl Fn(&str) -> bool) -> Fault {
        // Only names the caller may use: an error must not reveal the others.
        let mut near: Vec<_> = self
            .names()
            .filter(|name| may_use(name))
            .map(|name| (strsim::jaro_winkler(model, name), name))
            .collect();
        near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let near: Vec<_> = near
            .iter()
            .filter(|(likeness, _)| *likeness > 0.6)
            .take(3)
            .map(|(_, name)| format!("`{name}`"))
            .collect();
        // The name comes from the client and the message quotes it: it is cut and made printable.
        let printable = printable_name(model);
        let hint = if near.is_empty() {
            "GET /v1/models lists the available models".into()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        Fault::new(
            Code::ModelNotFound,
            format!("model `{printable}` not found: {hint}"),
        )
        .with_param("model")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::WireId;

    fn provider(name: &str, direct: bool) -> Arc<Provider> {
        Arc::new(Provider {
            name: name.into(),
            direct,
            ..Provider::example(WireId::OpenaiChat, "http://127.0.0.1:1")
        })
    }

    fn routes() -> Routes {
        let (a, b) = (provider("a", true), provider("b", false));
        let one = |provider: &Arc<Provider>, model: &str, weight| Weighted {
            target: Target {
                provider: provider.clone(),
                model: model.into(),
            },
            weight,
        };
        let tiers = vec![
            vec![one(&a, "x", 1)],
            vec![one(&b, "y", 1), one(&b, "z", 3)],
        ];
        let smart = Model {
            tiers,
            retries: 2,
            hedge_after: None,
            sticky: false,
        };
        let models = [("smart".into(), smart)].into();
        let providers = [("a".into(), a), ("b".into(), b)].into();
        Routes::new(
            Settings {
                providers,
                models,
                rules: Rules::default(),
            },
            &HealthRegistry::default(),
        )
    }

    #[test]
    fn tiers_are_asked_in_order_with_all_their_targets() {
        let plan = routes().plan("smart", |_| true, || 0).unwrap();
        let names: Vec<_> = plan.targets().map(ToString::to_string).collect();
        assert_eq!((names[0].as_str(), plan.retries), ("a/x", 2));
        assert!(names[1..] == ["b/y", "b/z"] || names[1..] == ["b/z", "b/y"]);
    }

    #[test]
    fn weights_decide_the_first_of_a_tier() {
        let routes = routes();
        let firsts = (0..4000)
            .filter(|_| {
                routes
                    .plan("smart", |_| true, || 0)
                    .unwrap()
                    .targets()
                    .nth(1)
                    .unwrap()
                    .model
                    == "z"
            })
            .count();
        assert!(
            (2700..3300).contains(&firsts),
            "{firsts} of 4000 for three quarters"
        );
    }

    #[test]
    fn direct_names_need_a_direct_provider() {
        assert_eq!(
            routes()
                .plan("a/any/model", |_| true, || 0)
                .unwrap()
                .targets()
                .next()
                .unwrap()
                .model,
            "any/model"
        );
        for (model, code) in [
            ("b/any", Code::ModelNotFound),
            ("a/", Code::ModelNotFound),
            ("nope", Code::ModelNotFound),
        ] {
            assert_eq!(
                routes().plan(model, |_| true, || 0).unwrap_err().code,
                code,
                "{model}"
            );
        }
        for (model, label) in [("a/any/model", "a/*"), ("smart", "smart")] {
            assert_eq!(
                routes().plan(model, |_| true, || 0).unwrap().label,
                label,
                "metrics contain no text from a client"
            );
        }
        assert_eq!(
            routes().plan("smart", |_| false, || 0).unwrap_err().code,
            Code::ModelNotAllowed
        );
        assert!(
            routes()
                .plan("smrt", |_| true, || 0)
                .unwrap_err()
                .message
                .contains("did you mean `smart`")
        );
        assert!(
            !routes()
                .plan("smrt", |_| false, || 0)
                .unwrap_err()
                .message
                .contains("smart`?")
        );
    }
}
