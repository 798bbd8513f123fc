//! Golden files: chosen recordings, and the repository's own, in every dialect.
//!
//! A golden is a sketch of what is sent, not a copy of it. The table says for which of its columns
//! a recording was chosen: every kind of event, finish, place of an error and known oddity is in
//! two of them at least, or in as many as there are. There are as few recordings as that takes.
//! `INSTA_UPDATE=always` writes the files anew.

mod columns;
mod seen;
mod sketch;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::corpus::recording::Recording;
use crate::corpus::{all_recordings, corpus};
use crate::rig::sse::Event;
use crate::rig::{Ask, Speech, Stage};
use seen::Seen;
use sketch::sketch;
use table::{RARE, TABLE};

/// Recordings looked at at the same time.
const AT_ONCE: usize = 4;
/// Recordings of a column, at the least.
const ENOUGH: usize = 2;

/// What a recording says in a dialect, and under which id.
async fn told(stage: &Stage, recording: &Recording, speech: Speech) -> (Vec<Event>, String) {
    let model = stage.put(
        "m",
        recording.wire,
        &recording.content_type,
        [recording.body.clone()],
    );
    let ask = Ask::chat(speech, &model, true);
    let choices = recording.choices();
    let ask = if choices > 1 && speech.has_choices() {
        ask.set("n", choices.into())
    } else {
        ask
    };
    let id = stage.ask(&ask).await.stream_id();
    let events = stage.read(&id, speech, None).await.events();
    stage.forget(&id).await;
    (events, id)
}

/// The columns that a recording has.
async fn columns_of(stage: &Stage, recording: &Recording) -> Vec<&'static str> {
    let (events, _) = told(stage, recording, Speech::Events).await;
    let seen = Seen::of(recording, events);
    columns::all()
        .filter(|(_, has)| has(&seen))
        .map(|(name, _)| name)
        .collect()
}

/// The recordings of the table, and whether the corpus is the one that it was made from. One that
/// has none of them is another; one that has some of them has lost the rest.
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
        "the corpus in {} has lost {missing:?}",
        corpus().0.display()
    );
    Some(found)
}

/// The repository's own recordings.
fn own(all: &[Recording]) -> Vec<&Recording> {
    all.iter().filter(|recording| recording.own).collect()
}

#[tokio::test]
async fn recordings_are_told_in_every_dialect_as_they_were() {
    let (all, stage) = (all_recordings(), Stage::new());
    for recording in chosen(&all)
        .unwrap_or_default()
        .into_iter()
        .chain(own(&all))
    {
        let mut golden = format!("{} {}\n", recording.folder, recording.name);
        for column in columns_of(&stage, recording).await {
            golden.push_str(&format!("  {column}\n"));
        }
        for speech in Speech::ALL {
            let (events, id) = told(&stage, recording, speech).await;
            golden.push_str(&format!("\n# {}\n{}", speech.name(), sketch(&events, &id)));
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
async fn the_table_is_true_and_leaves_nothing_out() {
    let (all, stage) = (all_recordings(), Stage::new());
    let Some(chosen) = chosen(&all) else { return };
    let mut counts: BTreeMap<&str, usize> = columns::all().map(|(name, _)| (name, 0)).collect();
    let mut wrong = Vec::new();
    for (recording, (name, claimed)) in chosen.into_iter().zip(TABLE) {
        let has = columns_of(&stage, recording).await;
        has.iter()
            .for_each(|column| *counts.get_mut(column).unwrap() += 1);
        wrong.extend(
            claimed
                .iter()
                .filter(|column| !has.contains(column))
                .map(|column| format!("{name} has not: {column}")),
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

/// What stands in fewer than two recordings stands in no more of them than the table says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rare_is_rare() {
    let all = Arc::new(all_recordings());
    if chosen(&all).is_none() {
        return;
    }
    let (mut running, next) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..AT_ONCE {
        let (all, next) = (all.clone(), next.clone());
        running.spawn(async move {
            let (stage, mut found) = (Stage::new(), Vec::new());
            while let Some(recording) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !recording.own {
                    found.extend(columns_of(&stage, recording).await);
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
