//! What has been spent of budgets, and what is reserved for streams that run.
//!
//! Invariants: one decision over all budgets of a request, in one step — a refused one takes
//! nothing from any of them; a stream counts for the day and the month in which it began, its
//! reservation as well; what was spent in a period is the sum of the costs of its rows; memory is
//! bounded whatever callers call themselves.

use std::collections::HashMap;
use std::time::Duration;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::period::{Day, Month};
use super::{Budget, Payer, Period, Warning};
use crate::model::money::Money;

/// Accounts that are kept. A key or a team is one, and so is an end user where users have a budget:
/// a million are about 200 MB. Those past it share one account, so that nobody spends beyond a
/// budget by being one more.
const MOST: usize = 1 << 20;

/// The accounts of one request.
pub(super) type Payers = SmallVec<[(Payer, Budget); 4]>;

/// Money of one period.
#[derive(Debug, Clone, Copy, Default)]
struct Fill<P> {
    period: P,
    spent: Money,
    reserved: Money,
    /// It was said in the log that this period's budget is nearly spent.
    warned: bool,
}

impl<P: Copy + Ord + Default> Fill<P> {
    /// The fill of `now`: a new period begins with nothing spent. A clock that goes back changes
    /// nothing.
    fn at(&mut self, now: P) -> &mut Self {
        if now > self.period {
            *self = Self {
                period: now,
                ..Self::default()
            };
        }
        self
    }

    fn used(&self) -> Money {
        self.spent.plus(self.reserved)
    }

    /// What others have of it, once the reservation of a stream that began in `period` is raised;
    /// `None` where that period is over, and its budget with it.
    fn raise(&mut self, (period, now): (P, P), from: Money, to: Money) -> Option<Self> {
        if self.at(now).period != period {
            return None;
        }
        let others = Self {
            reserved: self.reserved.minus(from),
            ..*self
        };
        self.reserved = others.reserved.plus(to);
        Some(others)
    }

    fn settle(&mut self, period: P, reserved: Money, cost: Money) {
        if self.at(period).period == period {
            self.reserved = self.reserved.minus(reserved);
            self.spent = self.spent.plus(cost);
        }
    }
}

/// One account.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    day: Fill<Day>,
    month: Fill<Month>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// This budget is spent, for so long.
    Spent(&'static str, &'static str, Duration),
    /// What is left of it is reserved for streams that run.
    Reserved(&'static str, &'static str),
    /// The prompt alone costs more than this budget ever holds.
    TooDear(&'static str, &'static str),
}

/// A budget that does not hold what a running stream has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgrown {
    pub(super) scope: &'static str,
    pub(super) period: &'static str,
    /// Until it begins anew, where it is spent; `None` where what is left of it is reserved for
    /// others.
    pub(super) left: Option<Duration>,
}

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    all: HashMap<Payer, Account>,
    /// The month in which those of earlier months were let go.
    swept: Month,
}

impl Accounts {
    /// Reserves `cost` of every budget, of which the prompt is `prompt`; never more than a budget
    /// holds.
    pub(super) fn reserve(
        &mut self,
        payers: &Payers,
        (prompt, cost): (Money, Money),
        ms: u64,
    ) -> Result<SmallVec<[Warning; 1]>, Exceeded> {
        let now = Period::of(ms);
        self.sweep(now.month);
        let mut refused: Option<Exceeded> = None;
        for (payer, budget) in payers {
            let account = self.account(payer);
            let (day, month) = (*account.day.at(now.day), *account.month.at(now.month));
            let scope = payer.scope();
            let looks = [
                look(&day, budget.day, (prompt, cost), (scope, "day"), || {
                    Day::left(ms)
                }),
                look(
                    &month,
                    budget.month,
                    (prompt, cost),
                    (scope, "month"),
                    || Month::left(ms),
                ),
            ];
            for exceeded in looks.into_iter().filter_map(Result::err) {
                refused = Some(
                    refused
                        .take()
                        .map_or(exceeded.clone(), |before| worse(before, exceeded)),
                );
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let mut warnings = SmallVec::new();
        for (payer, budget) in payers {
            let account = self.account(payer);
            account.day.reserved = account.day.reserved.plus(cost);
            account.month.reserved = account.month.reserved.plus(cost);
            let scope = payer.scope();
            warn(
                &mut account.day,
                budget.day,
                budget.warn_at,
                (payer, scope, "day"),
                &mut warnings,
            );
            warn(
                &mut account.month,
                budget.month,
                budget.warn_at,
                (payer, scope, "month"),
                &mut warnings,
            );
        }
        Ok(warnings)
    }

    /// Raises what is `reserved` for a stream that `costs` so much by now, and says which budget
    /// does not hold that. It is reserved all the same, as it is owed.
    pub(super) fn raise(
        &mut self,
        payers: &Payers,
        (began, now): (u64, u64),
        (reserved, costs): (Money, Money),
    ) -> Result<(), Outgrown> {
        let (then, today, raised) = (Period::of(began), Period::of(now), reserved.max(costs));
        let mut outgrown = None;
        for (payer, budget) in payers {
            let (account, scope) = (self.account(payer), payer.scope());
            let day = account.day.raise((then.day, today.day), reserved, raised);
            let month = account
                .month
                .raise((then.month, today.month), reserved, raised);
            let day = day.and_then(|others| {
                outgrows(&others, budget.day, costs, (scope, "day"), || {
                    Day::left(now)
                })
            });
            let month = month.and_then(|others| {
                outgrows(&others, budget.month, costs, (scope, "month"), || {
                    Month::left(now)
                })
            });
            // The one that stands longest is told.
            outgrown = outgrown
                .into_iter()
                .chain(day)
                .chain(month)
                .max_by_key(|it: &Outgrown| it.left);
        }
        outgrown.map_or(Ok(()), Err)
    }

    /// Gives a reservation back and takes what was spent instead.
    pub(super) fn settle(&mut self, payers: &Payers, period: Period, reserved: Money, cost: Money) {
        for (payer, _) in payers {
            let account = self.account(payer);
            account.day.settle(period.day, reserved, cost);
            account.month.settle(period.month, reserved, cost);
        }
    }

    /// What an account has spent today and this month, and what is reserved.
    pub(super) fn spent(&mut self, payer: &Payer, ms: u64) -> [Money; 4] {
        let now = Period::of(ms);
        let account = self.account(payer);
        let (day, month) = (*account.day.at(now.day), *account.month.at(now.month));
        [day.spent, month.spent, day.reserved, month.reserved]
    }

    /// Money that is reserved, over all accounts.
    pub(super) fn reserved(&self) -> Money {
        self.all.values().fold(Money::ZERO, |sum, account| {
            sum.plus(account.day.reserved).plus(account.month.reserved)
        })
    }

    /// Lets go of accounts that nothing was spent from this month, where there are too many; once a
    /// month.
    fn sweep(&mut self, month: Month) {
        if self.all.len() >= MOST && self.swept < month {
            self.swept = month;
            self.all
                .retain(|_, it| it.month.period >= month || !it.month.reserved.is_zero());
        }
    }

    fn account(&mut self, payer: &Payer) -> &mut Account {
        if self.all.len() >= MOST && !self.all.contains_key(payer) {
            return self
                .all
                .entry(Payer::User {
                    key: ByteString::new(),
                    user: ByteString::new(),
                })
                .or_default();
        }
        self.all.entry(payer.clone()).or_default()
    }
}

/// Whether a period has so much left.
fn look<P: Copy + Ord + Default>(
    fill: &Fill<P>,
    budget: Option<Money>,
    (prompt, cost): (Money, Money),
    (scope, period): (&'static str, &'static str),
    left: impl Fn() -> Duration,
) -> Result<(), Exceeded> {
    let Some(most) = budget else { return Ok(()) };
    // Never more than there is: a request that may cost the whole budget is let in while nothing of
    // it is used.
    let cost = cost.min(most);
    if prompt > most {
        Err(Exceeded::TooDear(scope, period))
    } else if fill.spent >= most || fill.spent.plus(cost) > most {
        Err(Exceeded::Spent(scope, period, left()))
    } else if fill.used().plus(cost) > most {
        Err(Exceeded::Reserved(scope, period))
    } else {
        Ok(())
    }
}

/// That budget, where a stream costs more than others have left of it.
fn outgrows<P: Copy + Ord + Default>(
    others: &Fill<P>,
    budget: Option<Money>,
    costs: Money,
    (scope, period): (&'static str, &'static str),
    left: impl Fn() -> Duration,
) -> Option<Outgrown> {
    let most = budget?;
    let is_spent = others.spent.plus(costs) > most;
    (others.used().plus(costs) > most).then(|| Outgrown {
        scope,
        period,
        left: is_spent.then(left),
    })
}

/// Of two refusals the one that stands longer.
fn worse(one: Exceeded, other: Exceeded) -> Exceeded {
    let weight = |it: &Exceeded| match it {
        Exceeded::TooDear(..) => Duration::MAX,
        Exceeded::Spent(_, _, left) => *left,
        Exceeded::Reserved(..) => Duration::ZERO,
    };
    if weight(&other) >= weight(&one) {
        other
    } else {
        one
    }
}

fn warn<P>(
    fill: &mut Fill<P>,
    budget: Option<Money>,
    warn_at: u64,
    (payer, scope, period): (&Payer, &'static str, &'static str),
    warnings: &mut SmallVec<[Warning; 1]>,
) {
    let Some(most) = budget else { return };
    let percent = fill.spent.plus(fill.reserved).percent_of(most);
    if percent < warn_at {
        return;
    }
    if !std::mem::replace(&mut fill.warned, true) {
        tracing::warn!(limit = scope, of = payer.name(), period, percent, budget = %most, "a budget is nearly spent");
    }
    warnings.push(Warning {
        scope,
        period,
        percent,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn payers(budgets: &[(Payer, Option<&str>, Option<&str>)]) -> Payers {
        let budget = |day: &Option<&str>, month: &Option<&str>| Budget {
            day: day.map(money),
            month: month.map(money),
            warn_at: 80,
        };
        budgets
            .iter()
            .map(|(payer, day, month)| (payer.clone(), budget(day, month)))
            .collect()
    }

    fn key() -> Payer {
        Payer::Key("web".into())
    }

    fn team() -> Payer {
        Payer::Team("growth".into())
    }

    fn at(day: &str, hours: u64) -> u64 {
        day.parse::<Day>().unwrap().begin() + hours * HOUR
    }

    #[test]
    fn a_budget_for_ten_admits_ten_of_fifty() {
        let (mut accounts, payers) = (Accounts::default(), payers(&[(key(), Some("1"), None)]));
        let now = at("2026-11-26", 1);
        let cost = (money("0.05"), money("0.1"));
        let admitted = (0..50)
            .filter(|_| accounts.reserve(&payers, cost, now).is_ok())
            .count();
        assert_eq!(admitted, 10);
        assert_eq!(
            accounts.reserve(&payers, cost, now),
            Err(Exceeded::Reserved("key", "day"))
        );
        for _ in 0..10 {
            accounts.settle(&payers, Period::of(now), money("0.1"), money("0.01"));
        }
        assert_eq!(
            accounts.spent(&key(), now),
            [money("0.1"), money("0.1"), Money::ZERO, Money::ZERO]
        );
        assert!(
            accounts.reserve(&payers, cost, now).is_ok(),
            "what was not used is there again"
        );
    }

    #[test]
    fn a_refused_request_takes_nothing_from_any_budget() {
        let mut accounts = Accounts::default();
        let now = at("2026-11-26", 1);
        let both = payers(&[
            (team(), Some("10"), Some("10")),
            (key(), Some("1"), Some("10")),
        ]);
        accounts.settle(&both, Period::of(now), Money::ZERO, money("1"));
        for _ in 0..5 {
            let left = Day::left(now);
            assert_eq!(
                accounts.reserve(&both, (Money::ZERO, money("0.1")), now),
                Err(Exceeded::Spent("key", "day", left))
            );
        }
        assert_eq!(accounts.reserved(), Money::ZERO);
        assert_eq!(
            accounts.spent(&team(), now),
            [money("1"), money("1"), Money::ZERO, Money::ZERO]
        );
    }

    #[test]
    fn a_day_ends_at_midnight_and_a_month_with_its_last_day() {
        for (last, next) in [("2028-02-29", "2028-03-01"), ("2026-12-31", "2027-01-01")] {
            let (mut accounts, payers) = (
                Accounts::default(),
                payers(&[(key(), Some("1"), Some("1.5"))]),
            );
            let cost = (Money::ZERO, money("0.6"));
            let morning = at(last, 1);
            accounts.settle(&payers, Period::of(morning), Money::ZERO, money("1"));
            let refused = accounts.reserve(&payers, cost, morning);
            assert_eq!(
                refused,
                Err(Exceeded::Spent("key", "month", Month::left(morning))),
                "both are spent: the longer wait is told"
            );
            assert_eq!(accounts.spent(&key(), at(next, 0)), [Money::ZERO; 4]);
            assert!(accounts.reserve(&payers, cost, at(next, 0)).is_ok());
        }
        let (mut accounts, payers) = (
            Accounts::default(),
            payers(&[(key(), Some("1"), Some("1.5"))]),
        );
        accounts.settle(
            &payers,
            Period::of(at("2026-11-26", 1)),
            Money::ZERO,
            money("1"),
        );
        let morrow = at("2026-11-27", 0);
        assert_eq!(
            accounts.spent(&key(), morrow),
            [Money::ZERO, money("1"), Money::ZERO, Money::ZERO]
        );
        assert!(
            accounts
                .reserve(&payers, (Money::ZERO, money("0.5")), morrow)
                .is_ok()
        );
    }

    #[test]
    fn a_stream_over_midnight_counts_for_the_day_it_began() {
        let (mut accounts, payers) = (
            Accounts::default(),
            payers(&[(key(), Some("1"), Some("9"))]),
        );
        let (evening, morning) = (at("2026-11-29", 23), at("2026-11-30", 1));
        accounts
            .reserve(&payers, (Money::ZERO, money("0.9")), evening)
            .unwrap();
        assert!(
            accounts
                .reserve(&payers, (Money::ZERO, money("0.9")), morning)
                .is_ok(),
            "yesterday's reservation is not today's"
        );
        accounts.settle(&payers, Period::of(evening), money("0.9"), money("0.5"));
        assert_eq!(
            accounts.spent(&key(), morning),
            [Money::ZERO, money("0.5"), money("0.9"), money("0.9")]
        );
        // The clock goes back: nothing that was spent is forgotten.
        assert_eq!(
            accounts.spent(&key(), evening),
            [Money::ZERO, money("0.5"), money("0.9"), money("0.9")]
        );
    }

    #[test]
    fn a_request_that_may_cost_it_all_is_let_in_alone_and_a_prompt_that_does_never() {
        let (mut accounts, payers) = (Accounts::default(), payers(&[(key(), Some("1"), None)]));
        let now = at("2026-11-26", 1);
        assert_eq!(
            accounts.reserve(&payers, (money("1.01"), money("9")), now),
            Err(Exceeded::TooDear("key", "day"))
        );
        assert!(
            accounts
                .reserve(&payers, (money("0.5"), money("9")), now)
                .is_ok()
        );
        assert_eq!(
            accounts.reserve(&payers, (Money::ZERO, money("0.1")), now),
            Err(Exceeded::Reserved("key", "day"))
        );
        assert_eq!(
            accounts.reserve(&payers, (Money::ZERO, Money::ZERO), now),
            Err(Exceeded::Reserved("key", "day"))
        );
    }

    fn outgrown(
        scope: &'static str,
        period: &'static str,
        left: Option<Duration>,
    ) -> Result<(), Outgrown> {
        Err(Outgrown {
            scope,
            period,
            left,
        })
    }

    #[test]
    fn what_a_stream_outgrows_is_reserved_and_others_see_it() {
        let (mut accounts, payers) = (
            Accounts::default(),
            payers(&[(key(), Some("1"), Some("9"))]),
        );
        let now = at("2026-11-26", 1);
        let cost = (Money::ZERO, money("0.3"));
        accounts.reserve(&payers, cost, now).unwrap();
        accounts.reserve(&payers, cost, now).unwrap();
        let raise = |accounts: &mut Accounts, from, costs| {
            accounts.raise(&payers, (now, now), (money(from), money(costs)))
        };
        assert_eq!(
            raise(&mut accounts, "0.3", "0.2"),
            Ok(()),
            "less than is reserved"
        );
        assert_eq!(raise(&mut accounts, "0.3", "0.5"), Ok(()));
        assert_eq!(
            accounts.reserve(&payers, cost, now),
            Err(Exceeded::Reserved("key", "day")),
            "0.8 of 1 are reserved"
        );
        assert_eq!(raise(&mut accounts, "0.5", "0.7"), Ok(()), "all of it");
        assert_eq!(
            raise(&mut accounts, "0.7", "0.8"),
            outgrown("key", "day", None),
            "the rest is the other's"
        );
        assert_eq!(
            accounts.spent(&key(), now),
            [Money::ZERO, Money::ZERO, money("1.1"), money("1.1")],
            "it is owed all the same"
        );
        accounts.settle(&payers, Period::of(now), money("0.3"), money("0.3"));
        assert_eq!(
            raise(&mut accounts, "0.8", "0.8"),
            outgrown("key", "day", Some(Day::left(now))),
            "the rest is spent"
        );
        accounts.settle(&payers, Period::of(now), money("0.8"), money("0.8"));
        assert_eq!(
            accounts.spent(&key(), now),
            [money("1.1"), money("1.1"), Money::ZERO, Money::ZERO]
        );
    }

    #[test]
    fn every_budget_is_outgrown_for_itself_and_the_longest_is_told() {
        let now = at("2026-11-26", 1);
        let user = || Payer::User {
            key: "web".into(),
            user: "ann".into(),
        };
        let spent = |budgets: &[_], costs| {
            let (mut accounts, payers) = (Accounts::default(), payers(budgets));
            accounts
                .reserve(&payers, (Money::ZERO, money("0.1")), now)
                .unwrap();
            accounts.raise(&payers, (now, now), (money("0.1"), money(costs)))
        };
        for payer in [Payer::Global, key(), team(), user()] {
            let rich = (Payer::Key("rich".into()), Some("9"), Some("9"));
            let scope = payer.scope();
            assert_eq!(
                spent(&[rich.clone(), (payer.clone(), Some("1"), None)], "1"),
                Ok(())
            );
            assert_eq!(
                spent(&[rich.clone(), (payer.clone(), Some("1"), None)], "1.01"),
                outgrown(scope, "day", Some(Day::left(now)))
            );
            assert_eq!(
                spent(&[(payer, None, Some("1")), rich], "1.01"),
                outgrown(scope, "month", Some(Month::left(now)))
            );
        }
        let several = [
            (Payer::Global, Some("1"), Some("2")),
            (key(), Some("1"), Some("1")),
            (team(), Some("1"), None),
        ];
        assert_eq!(
            spent(&several, "1.5"),
            outgrown("key", "month", Some(Month::left(now)))
        );
        assert_eq!(
            spent(&[(Payer::Global, None, None), (key(), None, None)], "9999"),
            Ok(()),
            "nobody has a budget"
        );
    }

    #[test]
    fn a_stream_that_was_let_in_alone_ends_with_its_budget() {
        let (mut accounts, payers) = (Accounts::default(), payers(&[(key(), None, Some("1"))]));
        let now = at("2026-11-26", 1);
        accounts
            .reserve(&payers, (Money::ZERO, money("9")), now)
            .unwrap();
        assert_eq!(
            accounts.raise(&payers, (now, now), (money("9"), money("1"))),
            Ok(())
        );
        let left = Some(Month::left(now));
        assert_eq!(
            accounts.raise(&payers, (now, now), (money("9"), money("1.1"))),
            outgrown("key", "month", left)
        );
        accounts.settle(&payers, Period::of(now), money("9"), money("1.1"));
        assert_eq!(accounts.reserved(), Money::ZERO);
    }

    #[test]
    fn a_period_that_is_over_ends_no_stream_and_takes_nothing() {
        let (mut accounts, payers) = (
            Accounts::default(),
            payers(&[(key(), Some("1"), Some("2"))]),
        );
        let (evening, morning) = (at("2026-11-29", 23), at("2026-11-30", 1));
        accounts
            .reserve(&payers, (Money::ZERO, money("0.5")), evening)
            .unwrap();
        assert_eq!(
            accounts.raise(&payers, (evening, morning), (money("0.5"), money("1.5"))),
            Ok(()),
            "its day is over"
        );
        assert_eq!(
            accounts.spent(&key(), morning),
            [Money::ZERO, Money::ZERO, Money::ZERO, money("1.5")]
        );
        let left = Some(Month::left(morning));
        assert_eq!(
            accounts.raise(&payers, (evening, morning), (money("1.5"), money("2.5"))),
            outgrown("key", "month", left)
        );
        accounts.settle(&payers, Period::of(evening), money("2.5"), money("2.5"));
        assert_eq!(
            accounts.spent(&key(), morning),
            [Money::ZERO, money("2.5"), Money::ZERO, Money::ZERO]
        );
    }

    #[test]
    fn warnings_come_from_their_share_on() {
        let (mut accounts, payers) = (
            Accounts::default(),
            payers(&[(key(), Some("1"), Some("10"))]),
        );
        let now = at("2026-11-26", 1);
        accounts.settle(&payers, Period::of(now), Money::ZERO, money("0.799"));
        assert_eq!(
            accounts
                .reserve(&payers, (Money::ZERO, Money::ZERO), now)
                .unwrap()
                .len(),
            0
        );
        accounts.settle(&payers, Period::of(now), Money::ZERO, money("0.038"));
        let warned = accounts
            .reserve(&payers, (Money::ZERO, Money::ZERO), now)
            .unwrap();
        assert_eq!(
            warned.as_slice(),
            [Warning {
                scope: "key",
                period: "day",
                percent: 83
            }]
        );
    }
}
