//! The spending of budgets, and the amounts reserved for running streams.
//!
//! Invariants: one decision over all budgets of a request, in one step, so that a refused request
//! takes nothing from any of them; a stream and its reservation count for the day and the month in
//! which it began; the spending of a period is the sum of the costs of its rows; memory is bounded
//! whatever names callers use.

use std::collections::HashMap;
use std::time::Duration;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::period::{Day, Month};
use super::{Budget, Payer, Period, Warning};
use crate::model::money::Money;

/// Maximum number of accounts. A key or a team has one, and so has an end user if users have a
/// budget: a million take about 200 MB. Payers beyond the bound share one account, so that new
/// names do not allow spending beyond a budget.
const MAX_ACCOUNTS: usize = 1 << 20;

/// The accounts that pay for one request, with their budgets.
pub(super) type Payers = SmallVec<[(Payer, Budget); 4]>;

/// Spending and reservations of one period.
#[derive(Debug, Clone, Copy, Default)]
struct Fill<P> {
    period: P,
    spent: Money,
    reserved: Money,
    /// The warning that this period's budget is nearly spent was logged.
    warned: bool,
}

impl<P: Copy + Ord + Default> Fill<P> {
    /// Returns the fill of the period `now`; a new period begins with nothing spent. A clock that
    /// goes back changes nothing.
    fn roll_to(&mut self, now: P) -> &mut Self {
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

    /// Raises the reservation of a stream that began in `period`. Returns what others use of the
    /// budget, or `None` if that period is over and its budget no longer applies.
    fn raise(&mut self, (period, now): (P, P), from: Money, to: Money) -> Option<Self> {
        if self.roll_to(now).period != period {
            return None;
        }
        // The stream's own reservation does not count against it.
        let others = Self {
            reserved: self.reserved.minus(from),
            ..*self
        };
        self.reserved = others.reserved.plus(to);
        Some(others)
    }

    fn settle(&mut self, period: P, reserved: Money, cost: Money) {
        // A period that is over has no budget any more.
        if self.roll_to(period).period == period {
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

/// Why a request is refused: scope, period, and for [`Exceeded::Spent`] the time until the next
/// period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// The budget is spent until the next period.
    Spent(&'static str, &'static str, Duration),
    /// The rest of the budget is reserved for running streams.
    Reserved(&'static str, &'static str),
    /// The prompt alone costs more than the budget ever holds.
    TooExpensive(&'static str, &'static str),
}

/// A budget that does not cover what a running stream has come to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun {
    pub(super) scope: &'static str,
    pub(super) period: &'static str,
    /// Time until the next period if the budget is spent; `None` if the rest of it is reserved for
    /// other streams.
    pub(super) left: Option<Duration>,
}

/// All accounts of this process.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    all: HashMap<Payer, Account>,
    /// The month in which accounts of earlier months were last removed.
    swept: Month,
}

impl Accounts {
    /// Reserves `cost`, of which the prompt is `prompt`, on every budget.
    pub(super) fn reserve(
        &mut self,
        payers: &Payers,
        (prompt, cost): (Money, Money),
        ms: u64,
    ) -> Result<SmallVec<[Warning; 1]>, Exceeded> {
        let now = Period::from_ms(ms);
        self.sweep(now.month);
        // All budgets are checked before any is drawn on: a refusal changes nothing.
        if let Some(refused) = self.refusal(payers, (prompt, cost), ms) {
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

    /// Returns the refusal of the budgets that do not cover the cost, if any.
    fn refusal(&mut self, payers: &Payers, cost: (Money, Money), ms: u64) -> Option<Exceeded> {
        let now = Period::from_ms(ms);
        let mut refused: Option<Exceeded> = None;
        for (payer, budget) in payers {
            let account = self.account(payer);
            let (day, month) = (
                *account.day.roll_to(now.day),
                *account.month.roll_to(now.month),
            );
            let scope = payer.scope();
            let checks = [
                check(&day, budget.day, cost, (scope, "day"), || {
                    Day::until_next(ms)
                }),
                check(&month, budget.month, cost, (scope, "month"), || {
                    Month::until_next(ms)
                }),
            ];
            for exceeded in checks.into_iter().filter_map(Result::err) {
                refused = Some(
                    refused
                        .take()
                        .map_or(exceeded.clone(), |before| longer_refusal(before, exceeded)),
                );
            }
        }
        refused
    }

    /// Raises the amount `reserved` for a stream that `costs` that much by now. Returns the budget
    /// that does not cover it, if any. The amount is reserved all the same, as it is owed.
    pub(super) fn raise(
        &mut self,
        payers: &Payers,
        (began, now): (u64, u64),
        (reserved, costs): (Money, Money),
    ) -> Result<(), Overrun> {
        let (then, today, raised) = (
            Period::from_ms(began),
            Period::from_ms(now),
            reserved.max(costs),
        );
        let mut overrun = None;
        for (payer, budget) in payers {
            let (account, scope) = (self.account(payer), payer.scope());
            let day = account.day.raise((then.day, today.day), reserved, raised);
            let month = account
                .month
                .raise((then.month, today.month), reserved, raised);
            let day = day.and_then(|others| {
                check_overrun(&others, budget.day, costs, (scope, "day"), || {
                    Day::until_next(now)
                })
            });
            let month = month.and_then(|others| {
                check_overrun(&others, budget.month, costs, (scope, "month"), || {
                    Month::until_next(now)
                })
            });
            // The budget with the longest wait is reported.
            overrun = overrun
                .into_iter()
                .chain(day)
                .chain(month)
                .max_by_key(|it: &Overrun| it.left);
        }
        overrun.map_or(Ok(()), Err)
    }

    /// Gives a reservation back and records the actual cost.
    pub(super) fn settle(&mut self, payers: &Payers, period: Period, reserved: Money, cost: Money) {
        for (payer, _) in payers {
            let account = self.account(payer);
            account.day.settle(period.day, reserved, cost);
            account.month.settle(period.month, reserved, cost);
        }
    }

    /// Returns the spending of an account today and this month, then the amounts reserved in both.
    pub(super) fn spent(&mut self, payer: &Payer, ms: u64) -> [Money; 4] {
        let now = Period::from_ms(ms);
        let account = self.account(payer);
        let (day, month) = (
            *account.day.roll_to(now.day),
            *account.month.roll_to(now.month),
        );
        [day.spent, month.spent, day.reserved, month.reserved]
    }

    /// Returns the amount reserved over all accounts.
    pub(super) fn reserved(&self) -> Money {
        self.all.values().fold(Money::ZERO, |sum, account| {
            sum.plus(account.day.reserved).plus(account.month.reserved)
        })
    }

    /// Removes accounts without spending in this month if there are too many; at most once a month.
    fn sweep(&mut self, month: Month) {
        if self.all.len() >= MAX_ACCOUNTS && self.swept < month {
            self.swept = month;
            self.all
                // A reservation belongs to a running stream, which settles on this account.
                .retain(|_, it| it.month.period >= month || !it.month.reserved.is_zero());
        }
    }

    fn account(&mut self, payer: &Payer) -> &mut Account {
        if self.all.len() >= MAX_ACCOUNTS && !self.all.contains_key(payer) {
            // The shared account has the key of a user with neither key nor name.
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

/// Checks whether the budget of a period covers a request.
fn check<P: Copy + Ord + Default>(
    fill: &Fill<P>,
    budget: Option<Money>,
    (prompt, cost): (Money, Money),
    (scope, period): (&'static str, &'static str),
    left: impl Fn() -> Duration,
) -> Result<(), Exceeded> {
    let Some(most) = budget else { return Ok(()) };
    // A request that may cost more than the whole budget is admitted while nothing of the budget is
    // used.
    let cost = cost.min(most);
    // `spent >= most`: a budget that is used up refuses requests without a cost too.
    if prompt > most {
        Err(Exceeded::TooExpensive(scope, period))
    } else if fill.spent >= most || fill.spent.plus(cost) > most {
        Err(Exceeded::Spent(scope, period, left()))
    } else if fill.used().plus(cost) > most {
        Err(Exceeded::Reserved(scope, period))
    } else {
        Ok(())
    }
}

/// Returns the overrun if a stream costs more than others have left of the budget.
fn check_overrun<P: Copy + Ord + Default>(
    others: &Fill<P>,
    budget: Option<Money>,
    costs: Money,
    (scope, period): (&'static str, &'static str),
    left: impl Fn() -> Duration,
) -> Option<Overrun> {
    let most = budget?;
    let is_spent = others.spent.plus(costs) > most;
    (others.used().plus(costs) > most).then(|| Overrun {
        scope,
        period,
        left: is_spent.then(left),
    })
}

/// Returns the refusal that lasts longer.
fn longer_refusal(one: Exceeded, other: Exceeded) -> Exceeded {
    let weight = |it: &Exceeded| match it {
        // No wait ever helps.
        Exceeded::TooExpensive(..) => Duration::MAX,
        Exceeded::Spent(_, _, left) => *left,
        // Another stream may end at any moment.
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
    // Logged once per period, returned to every client.
    if !std::mem::replace(&mut fill.warned, true) {
        tracing::warn!(limit = scope, of = payer.name(), period, percent, budget = %most, "a budget is nearly spent: requests are refused once it is");
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
        day.parse::<Day>().unwrap().start_ms() + hours * HOUR
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
            accounts.settle(&payers, Period::from_ms(now), money("0.1"), money("0.01"));
        }
        assert_eq!(
            accounts.spent(&key(), now),
            [money("0.1"), money("0.1"), Money::ZERO, Money::ZERO]
        );
        assert!(
            accounts.reserve(&payers, cost, now).is_ok(),
            "the unused amount is available again"
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
        accounts.settle(&both, Period::from_ms(now), Money::ZERO, money("1"));
        for _ in 0..5 {
            let left = Day::until_next(now);
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
            accounts.settle(&payers, Period::from_ms(morning), Money::ZERO, money("1"));
            let refused = accounts.reserve(&payers, cost, morning);
            assert_eq!(
                refused,
                Err(Exceeded::Spent("key", "month", Month::until_next(morning))),
                "both are spent: the longer wait is reported"
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
            Period::from_ms(at("2026-11-26", 1)),
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
            "yesterday's reservation does not count today"
        );
        accounts.settle(
            &payers,
            Period::from_ms(evening),
            money("0.9"),
            money("0.5"),
        );
        assert_eq!(
            accounts.spent(&key(), morning),
            [Money::ZERO, money("0.5"), money("0.9"), money("0.9")]
        );
        // A clock that goes back must not forget spending.
        assert_eq!(
            accounts.spent(&key(), evening),
            [Money::ZERO, money("0.5"), money("0.9"), money("0.9")]
        );
    }

    #[test]
    fn a_request_over_the_whole_budget_is_admitted_alone_but_not_such_a_prompt() {
        let (mut accounts, payers) = (Accounts::default(), payers(&[(key(), Some("1"), None)]));
        let now = at("2026-11-26", 1);
        assert_eq!(
            accounts.reserve(&payers, (money("1.01"), money("9")), now),
            Err(Exceeded::TooExpensive("key", "day"))
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

    fn overrun(
        scope: &'static str,
        period: &'static str,
        left: Option<Duration>,
    ) -> Result<(), Overrun> {
        Err(Overrun {
            scope,
            period,
            left,
        })
    }

    #[test]
    fn a_raised_reservation_counts_for_other_requests() {
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
            "less than the reserved amount"
        );
        assert_eq!(raise(&mut accounts, "0.3", "0.5"), Ok(()));
        assert_eq!(
            accounts.reserve(&payers, cost, now),
            Err(Exceeded::Reserved("key", "day")),
            "0.8 of 1 are reserved"
        );
        assert_eq!(
            raise(&mut accounts, "0.5", "0.7"),
            Ok(()),
            "exactly the rest of the budget"
        );
        assert_eq!(
            raise(&mut accounts, "0.7", "0.8"),
            overrun("key", "day", None),
            "the rest is reserved for the other stream"
        );
        assert_eq!(
            accounts.spent(&key(), now),
            [Money::ZERO, Money::ZERO, money("1.1"), money("1.1")],
            "the amount is owed all the same"
        );
        accounts.settle(&payers, Period::from_ms(now), money("0.3"), money("0.3"));
        assert_eq!(
            raise(&mut accounts, "0.8", "0.8"),
            overrun("key", "day", Some(Day::until_next(now))),
            "the rest is spent"
        );
        accounts.settle(&payers, Period::from_ms(now), money("0.8"), money("0.8"));
        assert_eq!(
            accounts.spent(&key(), now),
            [money("1.1"), money("1.1"), Money::ZERO, Money::ZERO]
        );
    }

    #[test]
    fn each_budget_is_checked_and_the_longest_overrun_is_reported() {
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
                overrun(scope, "day", Some(Day::until_next(now)))
            );
            assert_eq!(
                spent(&[(payer, None, Some("1")), rich], "1.01"),
                overrun(scope, "month", Some(Month::until_next(now)))
            );
        }
        let several = [
            (Payer::Global, Some("1"), Some("2")),
            (key(), Some("1"), Some("1")),
            (team(), Some("1"), None),
        ];
        assert_eq!(
            spent(&several, "1.5"),
            overrun("key", "month", Some(Month::until_next(now)))
        );
        assert_eq!(
            spent(&[(Payer::Global, None, None), (key(), None, None)], "9999"),
            Ok(()),
            "no budget is set"
        );
    }

    #[test]
    fn a_stream_admitted_alone_is_cut_at_its_budget() {
        let (mut accounts, payers) = (Accounts::default(), payers(&[(key(), None, Some("1"))]));
        let now = at("2026-11-26", 1);
        accounts
            .reserve(&payers, (Money::ZERO, money("9")), now)
            .unwrap();
        assert_eq!(
            accounts.raise(&payers, (now, now), (money("9"), money("1"))),
            Ok(())
        );
        let left = Some(Month::until_next(now));
        assert_eq!(
            accounts.raise(&payers, (now, now), (money("9"), money("1.1"))),
            overrun("key", "month", left)
        );
        accounts.settle(&payers, Period::from_ms(now), money("9"), money("1.1"));
        assert_eq!(accounts.reserved(), Money::ZERO);
    }

    #[test]
    fn a_past_period_cuts_no_stream_and_records_nothing() {
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
        let left = Some(Month::until_next(morning));
        assert_eq!(
            accounts.raise(&payers, (evening, morning), (money("1.5"), money("2.5"))),
            overrun("key", "month", left)
        );
        accounts.settle(
            &payers,
            Period::from_ms(evening),
            money("2.5"),
            money("2.5"),
        );
        assert_eq!(
            accounts.spent(&key(), morning),
            [Money::ZERO, money("2.5"), Money::ZERO, Money::ZERO]
        );
    }

    #[test]
    fn warnings_begin_at_their_share() {
        let (mut accounts, payers) = (
            Accounts::default(),
            payers(&[(key(), Some("1"), Some("10"))]),
        );
        let now = at("2026-11-26", 1);
        accounts.settle(&payers, Period::from_ms(now), Money::ZERO, money("0.799"));
        assert_eq!(
            accounts
                .reserve(&payers, (Money::ZERO, Money::ZERO), now)
                .unwrap()
                .len(),
            0
        );
        accounts.settle(&payers, Period::from_ms(now), Money::ZERO, money("0.038"));
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
