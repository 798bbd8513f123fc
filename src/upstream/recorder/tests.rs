//! What the thread does with what it is told, and what it is told.

use std::fs;

use super::*;
use crate::config::scratch::Scratch;
use crate::model::wire::WireId;
use crate::wire::recording::{Recording, SIZE_BOUND, header_line};

const MAX: u64 = 1 << 30;

/// A recorder whose thread has not begun.
fn stopped() -> (Recorder, mpsc::Receiver<Message>) {
    let recorder = Recorder::default();
    let (sender, messages) = mpsc::channel();
    *recorder.0.writer.lock() = Some(sender);
    (recorder, messages)
}

/// Lets the thread's work be done, as far as there is any.
fn work(recorder: Recorder, messages: &mpsc::Receiver<Message>) {
    let waiting = recorder.0.waiting.clone();
    drop(recorder);
    writer::Writer::new(waiting.clone()).run(messages);
    assert_eq!(waiting.load(Ordering::Relaxed), 0, "nothing is left lying");
}

fn tape(recorder: &Recorder, scratch: &Scratch, max: u64, name: &str) -> Tape {
    let record = Record {
        dir: scratch.path().join("deep/er"),
        max,
    };
    recorder
        .tape(
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
async fn what_was_read_is_written_with_its_times() {
    let (scratch, (recorder, messages)) = (Scratch::new(), stopped());
    let mut tape = tape(&recorder, &scratch, MAX, "a");
    tape.read(&"data: é".into());
    tokio::time::advance(Duration::from_millis(30)).await;
    tape.read(&Bytes::from_static(b"\n\xff\n"));
    drop(tape);
    work(recorder, &messages);
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
async fn what_the_disk_cannot_keep_up_with_is_given_up_and_nothing_else() {
    let (scratch, (recorder, messages)) = (Scratch::new(), stopped());
    let mut good = tape(&recorder, &scratch, MAX, "good");
    good.read(&"data".into());
    let mut large = tape(&recorder, &scratch, MAX, "large");
    let megabyte = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..64 {
        large.read(&megabyte);
    }
    assert!(recorder.0.waiting.load(Ordering::Relaxed) <= WAITING);
    drop((good, large));
    work(recorder, &messages);
    assert_eq!(names(&scratch), ["good.rec"]);
}

#[tokio::test]
async fn what_waits_to_begin_is_bounded_too() {
    let (scratch, (recorder, messages)) = (Scratch::new(), stopped());
    let begin = |n: usize| {
        recorder.tape(
            &Record {
                dir: scratch.path().join("deep/er"),
                max: MAX,
            },
            n.to_string(),
            vec![b'\n'; 64 << 10],
            Secrets::default(),
        )
    };
    let begun: Vec<_> = (0..1000).map_while(begin).collect();
    assert!(
        (100..257).contains(&begun.len()),
        "{} of at most 256",
        begun.len()
    );
    drop(begun);
    while let Ok(message) = messages.try_recv() {
        if let Message::Begin(_, beginning) = &message {
            recorder
                .0
                .waiting
                .fetch_sub(beginning_cost(&beginning.head), Ordering::Relaxed);
        }
    }
    assert!(begin(0).is_some(), "once it has caught up it records again");
    drop(messages);
}

#[tokio::test]
async fn what_could_not_be_played_is_given_up() {
    let (scratch, recorder) = (Scratch::new(), Recorder::default());
    drop(recorder.writer().unwrap());
    let mut large = tape(&recorder, &scratch, MAX, "large");
    // Each of these bytes has six in the file.
    let piece = Bytes::from(vec![0; SIZE_BOUND / 6 / 8]);
    for _ in 0..8 {
        large.read(&piece);
        recorder.flush(Duration::from_secs(60));
    }
    assert!(large.over.load(Ordering::Relaxed));
    drop(large);
    recorder.flush(Duration::from_secs(60));
    assert_eq!(names(&scratch), [""; 0]);
}

#[tokio::test]
async fn room_that_was_made_is_found_when_the_folder_is_opened_again() {
    let (scratch, (recorder, messages)) = (Scratch::new(), stopped());
    scratch.write("deep/er/left.rec.part", &"x".repeat(900));
    scratch.write("deep/er/notes", &"x".repeat(9000));
    for name in ["a", "b"] {
        drop(tape(&recorder, &scratch, 950, name));
    }
    let writer = recorder.writer().unwrap();
    let mut thread = writer::Writer::new(recorder.0.waiting.clone());
    while let Ok(message) = messages.try_recv() {
        thread.take(message);
    }
    assert_eq!(
        names(&scratch),
        ["left.rec.part", "notes"],
        "what a crash has left counts, and is left alone"
    );
    fs::remove_file(scratch.path().join("deep/er/left.rec.part")).unwrap();
    drop(tape(&recorder, &scratch, 950, "c"));
    writer
        .send(Message::Folder(scratch.path().join("deep/er")))
        .unwrap();
    drop(tape(&recorder, &scratch, 950, "d"));
    drop((recorder, writer));
    thread.run(&messages);
    assert_eq!(names(&scratch), ["d.rec", "notes"]);
}
