//! Tests of the ledger on a disk: settled, cut off and damaged rows, and reports during writes.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::report::{Format, GroupBy, ReportQuery};
use super::*;
use crate::model::ask::AskHead;
use crate::model::ids::StreamId;
use crate::model::outcome::Outcome;
use crate::model::usage::Usage;
use crate::model::wire::DialectId;

const SOON: Duration = Duration::from_secs(20);

/// The folder of one test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sluicegate-ledger-{}", StreamId::random())))
    }

    fn file(&self) -> PathBuf {
        files::months(&self.0).unwrap().pop().unwrap().1
    }

    /// Copies the folder as a killed process leaves it: nothing is dropped, the lock is released.
    fn copy_after_kill(&self) -> Self {
        let copy = Self::new();
        fs::create_dir_all(copy.0.join("ledger")).unwrap();
        fs::copy(
            self.file(),
            copy.0.join("ledger").join(self.file().file_name().unwrap()),
        )
        .unwrap();
        copy
    }

    fn report(&self, query: &ReportQuery) -> String {
        let mut out = Vec::new();
        report::write(&self.0, query, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows(&self) -> Vec<serde_json::Value> {
        self.report(&ReportQuery {
            format: Format::Json,
            ..ReportQuery::default()
        })
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn budgets() -> Budgets {
    let budget = |month: &str| Budget {
        month: Some(money(month)),
        ..Budget::default()
    };
    Budgets {
        user: budget("100"),
        keys: [("web".into(), budget("10"))].into(),
        ..Budgets::default()
    }
}

fn customer() -> Customer {
    Customer {
        key: Some("web".into()),
        team: Some("growth".into()),
        user: Some("=ann, \"x\"".into()),
    }
}

fn begin(ledger: &Arc<Ledger>, estimate: &str) -> Bill {
    let estimate = Estimate {
        prompt: Money::ZERO,
        cost: money(estimate),
        priced: true,
    };
    begun(ledger.reserve(&budgets(), customer(), estimate).unwrap())
}

fn begun(mut bill: Bill) -> Bill {
    let head = AskHead {
        input_estimate: 5,
        ..AskHead::example(DialectId::Events)
    };
    bill.begin(&StreamId::random(), &head);
    bill
}

fn settle(mut bill: Bill, cost: &str) {
    let usage = Usage {
        input: Some(10),
        output: Some(3),
        cached_input: Some(4),
        cost: Some(money(cost)),
        ..Usage::default()
    };
    let mut outcome = Outcome::example();
    outcome.end.usage = Some(usage);
    bill.settle(&outcome);
}

fn key() -> Payer {
    Payer::Key("web".into())
}

fn month_of(ledger: &Ledger, payer: &Payer) -> String {
    ledger.spent(payer).1.to_string()
}

#[test]
fn a_restart_restores_spending_and_closes_streams_that_were_cut_off() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    settle(begin(&ledger, "5"), "0.25");
    settle(begin(&ledger, "5"), "0.5");
    drop(
        ledger
            .reserve(&budgets(), customer(), Estimate::default())
            .unwrap(),
    );
    let lost = begin(&ledger, "1.5");
    ledger.flush(SOON);
    assert_eq!(
        (month_of(&ledger, &key()), ledger.reserved()),
        ("0.75".into(), money("12")),
        "1.5 reserved on four accounts, for day and month"
    );
    let copy = scratch.copy_after_kill();
    let again = Ledger::open(Some(&copy.0), &budgets()).unwrap();
    again.flush(SOON);
    let user = Payer::User {
        key: "web".into(),
        user: "=ann, \"x\"".into(),
    };
    for payer in [key(), user, Payer::Team("growth".into()), Payer::Global] {
        assert_eq!(month_of(&again, &payer), "2.25", "{payer:?}");
    }
    let rows = copy.rows();
    assert_eq!(
        rows.len(),
        3,
        "a row for each stream that began, none for a dropped reservation"
    );
    assert_eq!(
        (
            &rows[2]["status"],
            &rows[2]["code"],
            rows[2]["cost"].as_f64()
        ),
        (&"failed".into(), &"lost".into(), Some(1.5))
    );
    drop(again);
    let third = Ledger::open(Some(&copy.0), &budgets()).unwrap();
    assert_eq!(
        (month_of(&third, &key()), copy.rows().len()),
        ("2.25".into(), 3),
        "closed streams stay closed"
    );
    drop(lost);
    assert_eq!(ledger.reserved(), Money::ZERO);
}

#[test]
fn an_unsettled_bill_is_charged_its_reservation() {
    let ledger = Ledger::open(None, &budgets()).unwrap();
    let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _bill = begin(&ledger, "1.5");
        panic!("a bug");
    }));
    assert!(text.is_err());
    assert_eq!(
        (month_of(&ledger, &key()), ledger.reserved()),
        ("1.5".into(), Money::ZERO)
    );
}

/// Streams a hundred steps, each of which costs `each` more, until the stream is cut.
fn streamed(bill: &mut Bill, each: &str) -> (Money, Option<Fault>) {
    let mut costs = Money::ZERO;
    for step in 1..=100 {
        costs = costs.plus(money(each));
        if let Err(fault) = bill.record_output(step * 300, || Some(costs)) {
            return (costs, Some(*fault));
        }
    }
    (costs, None)
}

#[test]
fn a_stream_is_cut_when_a_budget_is_spent_only_if_configured() {
    let month = |most: &str| Budget {
        month: Some(money(most)),
        ..Budget::default()
    };
    let (none, ten) = (Budget::default(), month("10"));
    let of = |global, user, web, red| Budgets {
        global,
        user,
        keys: [("web".into(), web)].into(),
        teams: [("growth".into(), red)].into(),
        cut: true,
    };
    for (scope, budgets) in [
        ("global", of(ten, none, none, none)),
        ("user", of(none, ten, none, none)),
        ("key", of(none, none, ten, none)),
        ("team", of(month("11"), month("11"), month("11"), ten)),
    ] {
        for cut in [true, false] {
            let budgets = Budgets {
                cut,
                ..budgets.clone()
            };
            let ledger = Ledger::open(None, &budgets).unwrap();
            let estimate = Estimate {
                prompt: Money::ZERO,
                cost: money("1"),
                priced: true,
            };
            let reservation = || ledger.reserve(&budgets, customer(), estimate);
            let mut bill = begun(reservation().unwrap());
            let (costs, fault) = streamed(&mut bill, "0.25");
            assert_eq!(costs, money(if cut { "10.25" } else { "25" }), "{scope}");
            assert_eq!(
                reservation().unwrap_err().retry_after,
                Some(Duration::from_secs(1)),
                "{scope}: the whole budget is reserved"
            );
            if let Some(fault) = fault {
                assert_eq!(
                    (fault.code, fault.limit, fault.no_client_retry),
                    (Code::BudgetExceeded, Some(scope), true)
                );
                assert!(
                    fault
                        .message
                        .contains(&format!("the {scope} budget for this month ran out")),
                    "{fault}"
                );
                assert!(fault.retry_after.unwrap() <= Month::until_next(now_ms()) + SOON);
            }
            settle(bill, &costs.to_string());
            assert_eq!(
                (month_of(&ledger, &key()), ledger.reserved()),
                (costs.to_string(), Money::ZERO),
                "{scope}"
            );
        }
    }
}

#[test]
fn costs_are_computed_once_per_step_and_never_without_a_price() {
    let ledger = Ledger::open(None, &budgets()).unwrap();
    let mut bill = begin(&ledger, "1");
    let mut looks = 0;
    for bytes in 1..=10 * 257 {
        let look = || {
            looks += 1;
            Some(money("0.5"))
        };
        bill.record_output(bytes, look).unwrap();
    }
    assert_eq!(looks, 10);
    drop(bill);
    let mut unpriced = begin(&ledger, "1");
    unpriced.record_output(1, || None).unwrap();
    unpriced
        .record_output(1 << 40, || unreachable!("its target has no price"))
        .unwrap();
}

#[test]
fn a_crash_charges_at_least_half_of_a_raised_reservation_and_a_panic_all() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    let mut bill = begin(&ledger, "1");
    let lines = || {
        ledger.flush(SOON);
        fs::read_to_string(scratch.file()).unwrap().lines().count()
    };
    assert_eq!(lines(), 1);
    let (costs, _) = streamed(&mut bill, "0.09");
    assert_eq!(
        (costs, lines()),
        (money("9"), 4),
        "at 2.07, 4.23 and 8.55, each more than double the last"
    );
    let copy = scratch.copy_after_kill();
    let again = Ledger::open(Some(&copy.0), &budgets()).unwrap();
    assert_eq!(
        month_of(&again, &key()),
        "8.55",
        "the last of its lines counts"
    );
    drop(bill);
    assert_eq!(
        (month_of(&ledger, &key()), ledger.reserved()),
        ("9".into(), Money::ZERO)
    );
    ledger.flush(SOON);
    assert_eq!(
        (
            scratch.rows().len(),
            money(&scratch.rows()[0]["cost"].to_string())
        ),
        (1, money("9"))
    );
}

#[test]
fn a_torn_last_line_and_damaged_lines_do_not_affect_other_rows() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    settle(begin(&ledger, "5"), "0.25");
    drop(ledger);
    let whole = fs::read(scratch.file()).unwrap();
    let end = whole
        .strip_suffix(b"\n")
        .unwrap()
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap()
        + 1;
    for cut in end..whole.len() {
        fs::write(scratch.file(), &whole[..cut]).unwrap();
        let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
        assert_eq!(
            month_of(&ledger, &key()),
            "5",
            "cut at {cut}: it began and its end is unknown"
        );
        settle(begin(&ledger, "1"), "0.125");
        drop(ledger);
        let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
        assert_eq!(
            (month_of(&ledger, &key()), scratch.rows().len()),
            ("5.125".into(), 2),
            "cut at {cut}"
        );
    }
    let mut file = OpenOptions::new()
        .append(true)
        .open(scratch.file())
        .unwrap();
    file.write_all(b"\0\0\0\0\n{\"id\":1}\n").unwrap();
    file.write_all(&[b'x'; 200_000]).unwrap();
    file.write_all(b"\n").unwrap();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    settle(begin(&ledger, "1"), "0.25");
    drop(ledger);
    let mut out = Vec::new();
    assert_eq!(
        report::write(&scratch.0, &ReportQuery::default(), &mut out).unwrap(),
        3,
        "damaged lines are counted"
    );
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    assert_eq!(month_of(&ledger, &key()), "5.375");
}

#[test]
fn one_process_writes_and_others_read() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    let refused = Ledger::open(Some(&scratch.0), &budgets())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("another sluicegate uses"), "{refused}");
    let bill = begin(&ledger, "1");
    ledger.flush(SOON);
    assert_eq!(scratch.rows()[0]["status"], "running");
    settle(bill, "0.5");
    ledger.flush(SOON);
    assert_eq!(scratch.rows()[0]["status"], "completed");
    drop(ledger);
    assert!(
        Ledger::open(Some(&scratch.0), &budgets()).is_ok(),
        "dropping the ledger releases the folder"
    );
}

#[test]
fn files_are_readable_by_this_user_only() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    settle(begin(&ledger, "1"), "0.5");
    drop(ledger);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&scratch.0), mode(&scratch.0.join("ledger"))),
        (0o700, 0o700)
    );
    assert_eq!(
        (mode(&scratch.file()), mode(&scratch.0.join("lock"))),
        (0o600, 0o600)
    );
}

#[test]
fn an_unwritable_disk_loses_no_row_and_blocks_new_generations() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    // No file can be created in a folder that is a file.
    let folder = scratch.0.join("ledger");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, b"").unwrap();
    let bill = begin(&ledger, "1");
    let mut streams = 1;
    let refused = loop {
        match ledger.reserve(&Budgets::default(), customer(), Estimate::default()) {
            Ok(bill) => drop(begun(bill)),
            Err(fault) => break fault,
        }
        streams += 1;
        assert!(streams < 100_000, "memory is bounded");
    };
    assert_eq!(
        (refused.code, refused.retry_after.is_some()),
        (Code::StoreUnavailable, true)
    );
    settle(bill, "0.5");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    ledger.flush(SOON);
    assert_eq!(scratch.rows().len(), streams);
    assert!(
        ledger
            .reserve(&budgets(), customer(), Estimate::default())
            .is_ok()
    );
}

#[test]
fn with_concurrent_writers_the_sum_of_the_rows_is_the_spending() {
    let scratch = Scratch::new();
    let ledger = Ledger::open(Some(&scratch.0), &budgets()).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread: u64| {
            let ledger = ledger.clone();
            std::thread::spawn(move || {
                for number in 0..500 {
                    let reservation = ledger
                        .reserve(
                            &Budgets::default(),
                            customer(),
                            Estimate {
                                cost: Money::from_nanos(7),
                                ..Estimate::default()
                            },
                        )
                        .unwrap();
                    settle(
                        begun(reservation),
                        &Money::from_nanos(number * 13 + thread).to_string(),
                    );
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    ledger.flush(SOON);
    let rows = scratch.rows();
    let sum = rows.iter().fold(Money::ZERO, |sum, row| {
        sum.plus(money(&row["cost"].to_string()))
    });
    assert_eq!((rows.len(), sum), (2000, ledger.spent(&key()).1));
    assert_eq!(ledger.reserved(), Money::ZERO);
    let sums = scratch.report(&ReportQuery {
        by: Some(GroupBy::Key),
        ..ReportQuery::default()
    });
    assert_eq!(
        sums,
        format!("key,{}\r\nweb,2000,20000,8000,0,6000,0,{sum},0,0\r\n", SUMS)
    );
}

const SUMS: &str = "streams,input_tokens,cached_input_tokens,cache_write_tokens,output_tokens,reasoning_tokens,cost,estimated,unpriced";

/// Writes a ledger of two months by hand.
fn history() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.0.join("ledger")).unwrap();
    let row = |id: &'static str, began: u64, cost: &str| Row {
        id: id.into(),
        began,
        ended: Some(began + 5),
        user: Some("=ann".into()),
        dialect: "events".into(),
        model: "m, the best".into(),
        status: "completed".into(),
        cost: Some(money(cost)),
        ..Row::default()
    };
    const NOVEMBER: u64 = 1_793_491_200_000;
    for (month, rows) in [
        ("2026-10", vec![row("a", NOVEMBER - 1, "1")]),
        (
            "2026-11",
            vec![
                row("b", NOVEMBER, "0.1"),
                row("c", NOVEMBER + 86_400_000, "0.2"),
            ],
        ),
    ] {
        let text: Vec<u8> = rows
            .iter()
            .flat_map(|row| {
                [
                    Row {
                        ended: None,
                        ..row.clone()
                    }
                    .to_line(),
                    row.to_line(),
                ]
                .concat()
            })
            .collect();
        fs::write(scratch.0.join(format!("ledger/{month}.jsonl")), text).unwrap();
    }
    fs::write(scratch.0.join("ledger/notes.txt"), "not a month").unwrap();
    scratch
}

#[test]
fn reports_select_days_and_support_both_formats() {
    let scratch = history();
    let day = |text: &str| Some(text.parse().unwrap());
    let query = |from, to, by, format| ReportQuery {
        from,
        to,
        by,
        format,
    };
    insta::assert_snapshot!(
        [
            query(None, None, None, Format::Csv),
            query(None, day("2026-10-31"), None, Format::Json),
            query(
                day("2026-11-01"),
                day("2026-11-01"),
                Some(GroupBy::Model),
                Format::Csv
            ),
            query(day("2026-11-01"), None, Some(GroupBy::User), Format::Json),
            query(None, None, Some(GroupBy::Day), Format::Csv),
            query(None, None, Some(GroupBy::Month), Format::Json),
            query(day("2027-01-01"), None, Some(GroupBy::Key), Format::Csv),
        ]
        .map(|query| scratch.report(&query))
        .join("\n")
    );
}

#[test]
fn refusals_report_when_a_budget_is_renewed() {
    let ledger = Ledger::open(None, &budgets()).unwrap();
    settle(begin(&ledger, "1"), "9.5");
    let estimate = |prompt: &str, cost: &str| Estimate {
        prompt: money(prompt),
        cost: money(cost),
        priced: true,
    };
    let spent = ledger
        .reserve(&budgets(), customer(), estimate("0", "0.6"))
        .unwrap_err();
    assert_eq!(
        (spent.code, spent.limit, spent.no_client_retry),
        (Code::BudgetExceeded, Some("key"), true)
    );
    assert!(spent.retry_after.unwrap() <= Month::until_next(now_ms()) + SOON);
    let reservation = ledger
        .reserve(&budgets(), customer(), estimate("0", "0.4"))
        .unwrap();
    assert_eq!(
        warning_header(&reservation.warnings).unwrap(),
        "key;period=month;used=99"
    );
    let reserved = ledger
        .reserve(&budgets(), customer(), estimate("0", "0.2"))
        .unwrap_err();
    assert_eq!(
        (
            reserved.code,
            reserved.no_client_retry,
            reserved.retry_after
        ),
        (Code::BudgetExceeded, false, Some(Duration::from_secs(1)))
    );
    let dear = ledger
        .reserve(&budgets(), customer(), estimate("11", "12"))
        .unwrap_err();
    assert_eq!((dear.code, dear.limit), (Code::InvalidRequest, Some("key")));
}
