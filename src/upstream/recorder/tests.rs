//! The messages that recordings send, and the files that the thread writes.

use std::fs;

use super::*;
use crate::config::scratch::Scratch;
use crate::model::wire::WireId;
use crate::wire::recording::{Recording, SIZE_BOUND, header_line};

const MAX: u64 = 1 << 30;

/// A recorder whose thread is not running.
fn idle_recorder() -> (Recorder, mpsc::Receiver<WriterMessage>) {
    let recorder = Recorder::default();
    let (sender, messages) = mpsc::channel();
    *recorder.0.writer.lock() = Some(sender);
    (recorder, messages)
}

/// Processes all messages as the thread would.
fn process_all(recorder: Recorder, messages: &mpsc::Receiver<WriterMessage>) {
    let queued = recorder.0.queued.clone();
    drop(recorder);
    writer::Writer::new(queued.clone()).run(messages);
    assert_eq!(queued.load(Ordering::Relaxed), 0, "the queue is empty");
}

fn start_recording(
    recorder: &Recorder,
    scratch: &Scratch,
    max: u64,
    name: &str,
) -> ActiveRecording {
    let record = Record {
        dir: scratch.path().join("deep/er"),
        max,
    };
    recorder
        .start(
            &record,
            name.into(),
            header_line(WireId::OpenaiChat, "text/event-stream", 200),
            Secrets::default(),
        )
        .unwrap()
}

fn names(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(scratch.path().join("deep/er"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn chunks_are_written_with_their_times() {
    let (scratch, (recorder, messages)) = (Scratch::new(), idle_recorder());
    let mut recording = start_recording(&recorder, &scratch, MAX, "a");
    recording.record(&"data: é".into());
    tokio::time::advance(Duration::from_millis(30)).await;
    recording.record(&Bytes::from_static(b"\n\xff\n"));
    drop(recording);
    process_all(recorder, &messages);
    let recording =
        Recording::parse(&fs::read(scratch.path().join("deep/er/a.rec")).unwrap()).unwrap();
    let chunks: Vec<_> = recording
        .chunks
        .iter()
        .map(|it| (it.at.as_millis(), it.bytes.to_vec()))
        .collect();
    assert_eq!(
        chunks,
        [
            (0, "data: é".as_bytes().to_vec()),
            (30, b"\n\xff\n".to_vec())
        ]
    );
}

#[tokio::test]
async fn only_a_recording_that_overflows_the_queue_is_given_up() {
    let (scratch, (recorder, messages)) = (Scratch::new(), idle_recorder());
    let mut good = start_recording(&recorder, &scratch, MAX, "good");
    good.record(&"data".into());
    let mut large = start_recording(&recorder, &scratch, MAX, "large");
    let megabyte = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..64 {
        large.record(&megabyte);
    }
    assert!(recorder.0.queued.load(Ordering::Relaxed) <= MAX_QUEUED_BYTES);
    drop((good, large));
    process_all(recorder, &messages);
    assert_eq!(names(&scratch), ["good.rec"]);
}

#[tokio::test]
async fn queued_new_recordings_are_bounded() {
    let (scratch, (recorder, messages)) = (Scratch::new(), idle_recorder());
    let begin = |n: usize| {
        recorder.start(
            &Record {
                dir: scratch.path().join("deep/er"),
                max: MAX,
            },
            n.to_string(),
            vec![b'\n'; 64 << 10],
            Secrets::default(),
        )
    };
    let started: Vec<_> = (0..1000).map_while(begin).collect();
    assert!(
        (100..257).contains(&started.len()),
        "{} of at most 256",
        started.len()
    );
    drop(started);
    while let Ok(message) = messages.try_recv() {
        if let WriterMessage::Begin(_, new_recording) = &message {
            recorder
                .0
                .queued
                .fetch_sub(new_recording_cost(&new_recording.head), Ordering::Relaxed);
        }
    }
    assert!(begin(0).is_some(), "it records again once it has caught up");
    drop(messages);
}

#[tokio::test]
async fn a_recording_too_large_to_replay_is_given_up() {
    let (scratch, recorder) = (Scratch::new(), Recorder::default());
    drop(recorder.writer().unwrap());
    let mut large = start_recording(&recorder, &scratch, MAX, "large");
    // Each of these bytes takes six in the file.
    let piece = Bytes::from(vec![0; SIZE_BOUND / 6 / 8]);
    for _ in 0..8 {
        large.record(&piece);
        recorder.flush(Duration::from_secs(60));
    }
    assert!(large.stopped.load(Ordering::Relaxed));
    drop(large);
    recorder.flush(Duration::from_secs(60));
    assert_eq!(names(&scratch), [""; 0]);
}

#[tokio::test]
async fn freed_room_is_found_when_the_folder_is_measured_again() {
    let (scratch, (recorder, messages)) = (Scratch::new(), idle_recorder());
    scratch.write("deep/er/left.rec.part", &"x".repeat(900));
    scratch.write("deep/er/notes", &"x".repeat(9000));
    for name in ["a", "b"] {
        drop(start_recording(&recorder, &scratch, 950, name));
    }
    let writer = recorder.writer().unwrap();
    let mut thread = writer::Writer::new(recorder.0.queued.clone());
    while let Ok(message) = messages.try_recv() {
        thread.handle(message);
    }
    assert_eq!(
        names(&scratch),
        ["left.rec.part", "notes"],
        "files left by a crash count and are not touched"
    );
    fs::remove_file(scratch.path().join("deep/er/left.rec.part")).unwrap();
    drop(start_recording(&recorder, &scratch, 950, "c"));
    writer
        .send(WriterMessage::Folder(scratch.path().join("deep/er")))
        .unwrap();
    drop(start_recording(&recorder, &scratch, 950, "d"));
    drop((recorder, writer));
    thread.run(&messages);
    assert_eq!(names(&scratch), ["d.rec", "notes"]);
}
