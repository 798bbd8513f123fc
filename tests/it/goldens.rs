//! Golden files: selected recordings, and the repository's own, in every dialect.
//!
//! A golden file is an outline of the events, not a copy. The table lists for which of its columns
//! a recording was selected: every kind of event, finish reason, error position and known oddity
//! occurs in at least two of them, or in as many as exist. The selection is as small as possible.
//! `INSTA_UPDATE=always` rewrites the files.

mod columns;
mod outline;
mod parsed;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::corpus::recording::Recording;
use crate::corpus::{all_recordings, corpus};
use crate::rig::sse::Event;
use crate::rig::{Dialect, DirectGateway, Request};
use outline::outline;
use parsed::Parsed;
use table::{RARE, TABLE};

/// Number of recordings processed at the same time.
const AT_ONCE: usize = 4;
/// Minimum number of recordings per column.
const ENOUGH: usize = 2;

/// Plays a recording in a dialect. Returns the events and the stream id.
async fn play(
    gateway: &DirectGateway,
    recording: &Recording,
    dialect: Dialect,
) -> (Vec<Event>, String) {
    let model = gateway.put(
        "m",
        recording.wire,
        &recording.content_type,
        [recording.body.clone()],
    );
    let request = Request::chat(dialect, &model, true);
    let choices = recording.choices();
    let request = if choices > 1 && dialect.has_choices() {
        request.set("n", choices.into())
    } else {
        request
    };
    let id = gateway.ask(&request).await.stream_id();
    let events = gateway.read(&id, dialect, None).await.events();
    gateway.forget(&id).await;
    (events, id)
}

/// Returns the columns that apply to a recording.
async fn columns_for(gateway: &DirectGateway, recording: &Recording) -> Vec<&'static str> {
    let (events, _) = play(gateway, recording, Dialect::Events).await;
    let parsed = Parsed::new(recording, events);
    columns::all()
        .filter(|(_, has)| has(&parsed))
        .map(|(name, _)| name)
        .collect()
}

/// Returns the recordings of the table, or `None` if the corpus contains none of them and is a
/// different one. Panics if only some are missing.
fn chosen(all: &[Recording]) -> Option<Vec<&Recording>> {
    let found: Vec<&Recording> = TABLE
        .iter()
        .filter_map(|(name, _)| all.iter().find(|it| it.name == *name))
        .collect();
    if found.is_empty() {
        println!(
            "none of the table's recordings is in {}",
            corpus().0.display()
        );
        return None;
    }
    let missing: Vec<&str> = TABLE
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !found.iter().any(|it| it.name == *name))
        .collect();
    assert!(
        missing.is_empty(),
        "the corpus in {} lacks {missing:?}",
        corpus().0.display()
    );
    Some(found)
}

/// The repository's own recordings.
fn own(all: &[Recording]) -> Vec<&Recording> {
    all.iter().filter(|recording| recording.own).collect()
}

#[tokio::test]
async fn recordings_match_their_golden_files_in_every_dialect() {
    let (all, gateway) = (all_recordings(), DirectGateway::new());
    for recording in chosen(&all)
        .unwrap_or_default()
        .into_iter()
        .chain(own(&all))
    {
        let mut golden = format!("{} {}\n", recording.folder, recording.name);
        for column in columns_for(&gateway, recording).await {
            golden.push_str(&format!("  {column}\n"));
        }
        for dialect in Dialect::ALL {
            let (events, id) = play(&gateway, recording, dialect).await;
            golden.push_str(&format!(
                "\n# {}\n{}",
                dialect.name(),
                outline(&events, &id)
            ));
        }
        let (_, name) = recording
            .name
            .rsplit_once('-')
            .unwrap_or(("", &recording.name));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("goldens/files");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{}-{name}", recording.folder), golden));
    }
}

#[tokio::test]
async fn the_table_matches_the_recordings_and_covers_every_column() {
    let (all, gateway) = (all_recordings(), DirectGateway::new());
    let Some(chosen) = chosen(&all) else { return };
    let mut counts: BTreeMap<&str, usize> = columns::all().map(|(name, _)| (name, 0)).collect();
    let mut wrong = Vec::new();
    for (recording, (name, claimed)) in chosen.into_iter().zip(TABLE) {
        let has = columns_for(&gateway, recording).await;
        has.iter()
            .for_each(|column| *counts.get_mut(column).unwrap() += 1);
        wrong.extend(
            claimed
                .iter()
                .filter(|column| !has.contains(column))
                .map(|column| format!("{name} does not have: {column}")),
        );
    }
    let claims = |column: &str| {
        TABLE
            .iter()
            .filter(|(_, claimed)| claimed.contains(&column))
            .count()
    };
    for (column, count) in &counts {
        let due = RARE
            .iter()
            .find(|(name, _)| name == column)
            .map_or(ENOUGH, |(_, count)| *count);
        if *count < due || claims(column) < due.min(ENOUGH) {
            wrong.push(format!(
                "{column}: {count} recordings of {due}, {} by the table",
                claims(column)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Features that occur in fewer than two recordings occur in no more of them than the table says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rare_columns_are_as_rare_as_the_table_says() {
    let all = Arc::new(all_recordings());
    if chosen(&all).is_none() {
        return;
    }
    let (mut running, next) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..AT_ONCE {
        let (all, next) = (all.clone(), next.clone());
        running.spawn(async move {
            let (gateway, mut found) = (DirectGateway::new(), Vec::new());
            while let Some(recording) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !recording.own {
                    found.extend(columns_for(&gateway, recording).await);
                }
            }
            found
        });
    }
    let mut counts: BTreeMap<&str, usize> = RARE.iter().map(|(name, _)| (*name, 0)).collect();
    for column in running.join_all().await.into_iter().flatten() {
        counts.entry(column).and_modify(|count| *count += 1);
    }
    assert_eq!(counts, RARE.into_iter().collect());
}
