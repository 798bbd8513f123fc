use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smallvec::smallvec;
use tokio::time::advance;

use super::*;
use crate::model::ask::AskHead;
use crate::model::entry::{ENTRY_OVERHEAD, Entry};
use crate::model::event::{End, Event, Failure, Reason};
use crate::model::ids::Position;
use crate::model::profile::PayloadIds;
use crate::model::usage::Usage;
use crate::model::wire::DialectId;

fn spec() -> StreamSpec {
    StreamSpec {
        owner: CallerId::Anonymous,
        head: AskHead::example(DialectId::Events).into(),
        payload_ids: PayloadIds::NONE,
        digest: digest("/p", b"body"),
        on_disconnect: OnDisconnect::Cancel,
        retention: Duration::from_secs(60),
        max_bytes: 1 << 20,
        max_readers: 3,
    }
}

fn begin(hub: &Hub, spec: StreamSpec) -> (Writer, Reader) {
    let claim = hub.claim(&spec.owner, Vec::new());
    hub.begin(claim, spec)
}

fn text(delta: &str) -> Entry {
    Entry::new(smallvec![Event::Text {
        choice: 0,
        delta: delta.into()
    }])
}

fn end(reason: Reason) -> Entry {
    Entry::new(smallvec![Event::End(Box::new(End {
        reason,
        native: None,
        usage: Some(Usage::default())
    }))])
}

fn failed() -> Entry {
    let failure = Failure {
        fault: Fault::new(Code::UpstreamError, "no"),
        passed_on: false,
    };
    let mut entry = end(Reason::Error);
    entry.events.insert(0, Event::Error(Box::new(failure)));
    entry
}

/// Reads everything that is available now. Returns the text and the last step.
fn read(reader: &mut Reader) -> (String, Poll<ReadStep>) {
    let mut text_read = String::new();
    loop {
        let step = reader.poll_read(
            &Context::from_waker(Waker::noop()),
            usize::MAX,
            true,
            |_, entry| {
                text_read.extend(entry.events.iter().filter_map(|event| match event {
                    Event::Text { delta, .. } => Some(&**delta),
                    _ => None,
                }));
                0
            },
        );
        if step != Poll::Ready(ReadStep::Read) {
            return (text_read, step);
        }
    }
}

fn names(text: &str) -> Vec<ClaimKey> {
    vec![ClaimKey::Name(text.into())]
}

const NAME: &str = "a-name-of-22-characters";

#[tokio::test]
async fn every_reader_reads_each_entry_once_from_its_position() {
    let hub = Hub::new(1 << 20);
    let (mut writer, mut first) = begin(&hub, spec());
    let mut text_read = String::new();
    for word in ["a", "b", "c", "d", "e"] {
        writer.append(&mut vec![text(word)]);
        text_read.push_str(&read(&mut first).0);
    }
    assert_eq!(text_read, "abcde");
    let stream = writer.stream().clone();
    for (after, expected) in [
        (None, "abcde"),
        (Some(0), "abcde"),
        (Some(2), "cde"),
        (Some(5), ""),
    ] {
        let mut late =
            Reader::attach(&stream, after.map(|seq| Position { seq, part: None })).unwrap();
        assert_eq!(
            read(&mut late),
            (expected.to_owned(), Poll::Pending),
            "after {after:?}"
        );
    }
    writer.finish(end(Reason::Stop));
    assert_eq!(
        read(&mut first),
        (String::new(), Poll::Ready(ReadStep::Ended))
    );
    assert_eq!(
        Reader::attach(&stream, Some(Position { seq: 7, part: None }))
            .unwrap_err()
            .code,
        Code::BadEventId
    );
}

#[tokio::test]
async fn a_slow_reader_gets_merged_deltas_and_loses_no_text() {
    let hub = Hub::new(1 << 20);
    let (mut writer, mut reader) = begin(&hub, spec());
    writer.append(&mut (0..1000).map(|n| text(&format!("{n},"))).collect());
    let mut span = Vec::new();
    let step = reader.poll_read(
        &Context::from_waker(Waker::noop()),
        usize::MAX,
        true,
        |entries, _| {
            span.push((entries.first, entries.last));
            0
        },
    );
    assert_eq!(
        (step, span),
        (Poll::Ready(ReadStep::Read), vec![(0, 0), (1, 1000)]),
        "the start, and one text"
    );
    let expected: String = (0..1000).map(|n| format!("{n},")).collect();
    assert_eq!(
        read(&mut Reader::attach(writer.stream(), None).unwrap()).0,
        expected
    );
}

#[tokio::test]
async fn a_stream_over_its_bound_evicts_entries_and_reports_expired_positions() {
    let hub = Hub::new(1 << 20);
    let (mut writer, mut slow) = begin(
        &hub,
        StreamSpec {
            max_bytes: 10 * (ENTRY_OVERHEAD + 1),
            ..spec()
        },
    );
    for _ in 0..100 {
        writer.append(&mut vec![text("x")]);
    }
    let stream = writer.stream().clone();
    assert_eq!(read(&mut slow).1, Poll::Ready(ReadStep::Overtaken));
    assert_eq!(
        Reader::attach(
            &stream,
            Some(Position {
                seq: 50,
                part: None
            })
        )
        .unwrap_err()
        .code,
        Code::ReplayExpired
    );
    let mut late = Reader::attach(
        &stream,
        Some(Position {
            seq: 95,
            part: None,
        }),
    )
    .unwrap();
    assert_eq!(read(&mut late).0, "xxxxx");
    let mut past_events = Vec::new();
    late.visit_past(|(PastEntry::Summary(entry) | PastEntry::Entry(entry))| {
        past_events.extend(entry.events.iter().cloned());
    });
    assert!(
        matches!(past_events[0], Event::Start(_)),
        "encoders still get the start event"
    );
    assert!(stream.status(true).answer.is_none());
}

#[tokio::test]
async fn finished_streams_are_removed_first_when_memory_is_full() {
    let hub = Hub::new(68 * 1024);
    let (mut done, done_reader) = begin(&hub, spec());
    done.append(&mut vec![text(&"x".repeat(20_000))]);
    let finished = done.stream().id().clone();
    done.finish(end(Reason::Stop));
    drop(done_reader);
    let (mut running, _reader) = begin(&hub, spec());
    for _ in 0..3 {
        running.append(&mut vec![text(&"y".repeat(20_000))]);
    }
    assert!(hub.by_id(&CallerId::Anonymous, &finished).is_none());
    let mut whole = Reader::attach(running.stream(), None).unwrap();
    assert_eq!(
        read(&mut whole).0.len(),
        60_000,
        "the running stream kept all its entries"
    );
    running.append(&mut vec![text(&"y".repeat(20_000))]);
    assert_eq!(
        Reader::attach(running.stream(), None).unwrap_err().code,
        Code::ReplayExpired
    );
}

#[tokio::test]
async fn a_dropped_writer_still_ends_its_journal() {
    let hub = Hub::new(1 << 20);
    let (writer, mut reader) = begin(&hub, spec());
    let stream = writer.stream().clone();
    drop(writer);
    assert_eq!(read(&mut reader).1, Poll::Ready(ReadStep::Ended));
    assert_eq!(
        stream.status(false).fault.unwrap().code,
        Code::InternalError
    );
}

#[tokio::test(start_paused = true)]
async fn the_on_disconnect_policy_applies_to_the_last_reader() {
    let hub = Hub::new(1 << 20);
    let with = |on_disconnect| {
        begin(
            &hub,
            StreamSpec {
                on_disconnect,
                ..spec()
            },
        )
    };
    let (writer, reader) = with(OnDisconnect::Cancel);
    let second = Reader::attach(writer.stream(), None).unwrap();
    drop(reader);
    assert_eq!(
        writer.stream().cancelled(),
        None,
        "a reader is still attached"
    );
    drop(second);
    assert_eq!(writer.stream().cancelled(), Some(Cause::Disconnect));

    let (writer, reader) = with(OnDisconnect::Continue);
    drop(reader);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(writer.stream().cancelled(), None);

    let (writer, reader) = with(OnDisconnect::Grace(Duration::from_secs(15)));
    drop(reader);
    tokio::task::yield_now().await;
    advance(Duration::from_secs(14)).await;
    let back = Reader::attach(writer.stream(), None).unwrap();
    advance(Duration::from_secs(2)).await;
    tokio::task::yield_now().await;
    assert_eq!(
        writer.stream().cancelled(),
        None,
        "a reader came back in time"
    );
    drop(back);
    tokio::task::yield_now().await;
    advance(Duration::from_secs(16)).await;
    tokio::task::yield_now().await;
    assert_eq!(writer.stream().cancelled(), Some(Cause::Disconnect));
}

#[tokio::test(start_paused = true)]
async fn finished_streams_are_removed_after_their_retention() {
    let hub = Hub::new(1 << 20);
    let sweeper = tokio::spawn({
        let hub = hub.clone();
        async move { hub.sweep().await }
    });
    tokio::task::yield_now().await;
    let (writer, _reader) = begin(&hub, spec());
    let id = writer.stream().id().clone();
    writer.finish(end(Reason::Stop));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(hub.by_id(&CallerId::Anonymous, &id).is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(hub.by_id(&CallerId::Anonymous, &id).is_none());
    sweeper.abort();
}

#[tokio::test]
async fn the_same_claim_joins_and_another_body_conflicts() {
    let hub = Hub::new(1 << 20);
    let me = CallerId::Anonymous;
    let claim = hub.claim(&me, names(NAME));
    let waiting = tokio::spawn(hub.claim(&me, names(NAME)).settle("/p", b"body"));
    tokio::task::yield_now().await;
    let ClaimOutcome::New(claim, digest) = claim.settle("/p", b"body").await.unwrap() else {
        panic!("the name is vacant")
    };
    let (mut writer, _reader) = hub.begin(claim, StreamSpec { digest, ..spec() });
    let ClaimOutcome::Joined(stream) = waiting.await.unwrap().unwrap() else {
        panic!("the stream began meanwhile")
    };
    assert!(Arc::ptr_eq(&stream, writer.stream()));
    let other = hub.claim(&me, names(NAME)).settle("/p", b"other").await;
    assert_eq!(other.unwrap_err().code, Code::StreamExists);
    let by_id = hub
        .claim(&me, names(stream.id().as_str()))
        .settle("/p", b"body")
        .await
        .unwrap();
    assert!(
        matches!(by_id, ClaimOutcome::Joined(_)),
        "a server-made id is its stream's own claim"
    );
    let stranger = hub
        .claim(&CallerId::Key("k".into()), names(NAME))
        .settle("/p", b"body")
        .await
        .unwrap();
    assert!(matches!(stranger, ClaimOutcome::New(..)));
    writer.append(&mut vec![text("x")]);
    writer.finish(failed());
    let again = hub
        .claim(&me, names(NAME))
        .settle("/p", b"body")
        .await
        .unwrap();
    assert!(
        matches!(again, ClaimOutcome::Joined(_)),
        "it failed after its first content: the claim is kept"
    );
}

#[tokio::test]
async fn a_claim_is_released_when_its_request_is_refused_or_fails_before_content() {
    let hub = Hub::new(1 << 20);
    let me = CallerId::Anonymous;
    drop(hub.claim(&me, names(NAME)));
    let ClaimOutcome::New(claim, digest) = hub
        .claim(&me, names(NAME))
        .settle("/p", b"x")
        .await
        .unwrap()
    else {
        panic!("the name was released")
    };
    let (writer, _reader) = hub.begin(claim, StreamSpec { digest, ..spec() });
    writer.finish(failed());
    assert!(
        hub.find(&me, NAME).is_ok(),
        "the name finds the failed stream until a new request takes it"
    );
    let again = hub
        .claim(&me, names(NAME))
        .settle("/p", b"another body")
        .await
        .unwrap();
    assert!(matches!(again, ClaimOutcome::New(..)));
}

#[tokio::test(start_paused = true)]
async fn a_name_can_be_cancelled_before_its_request_arrives() {
    let hub = Hub::new(1 << 20);
    let me = CallerId::Anonymous;
    let start = async |hub: &Hub| {
        let ClaimOutcome::New(claim, digest) = hub
            .claim(&CallerId::Anonymous, names(NAME))
            .settle("/p", b"x")
            .await
            .unwrap()
        else {
            panic!("the name is vacant")
        };
        hub.begin(claim, StreamSpec { digest, ..spec() })
    };
    assert_eq!(
        hub.cancel(&me, NAME).await.unwrap_err().code,
        Code::StreamNotFound
    );
    let (writer, _reader) = start(&hub).await;
    assert_eq!(writer.stream().cancelled(), Some(Cause::Client));
    hub.forget(&writer.stream().clone());

    assert!(hub.cancel(&me, NAME).await.is_err());
    advance(Duration::from_secs(31)).await;
    let (writer, _reader) = start(&hub).await;
    assert_eq!(
        writer.stream().cancelled(),
        None,
        "an early cancel is remembered for 30 s"
    );
    hub.forget(&writer.stream().clone());

    let claim = hub.claim(&me, names(NAME));
    let cancelling = tokio::spawn({
        let hub = hub.clone();
        async move { hub.cancel(&CallerId::Anonymous, NAME).await }
    });
    tokio::task::yield_now().await;
    let ClaimOutcome::New(claim, digest) = claim.settle("/p", b"x").await.unwrap() else {
        panic!("the name is held")
    };
    let (writer, _reader) = hub.begin(claim, StreamSpec { digest, ..spec() });
    assert_eq!(
        writer.stream().cancelled(),
        Some(Cause::Client),
        "cancelled while the body was being read"
    );
    assert!(Arc::ptr_eq(
        &cancelling.await.unwrap().unwrap(),
        writer.stream()
    ));
}

#[tokio::test]
async fn a_caller_finds_only_its_own_streams() {
    let hub = Hub::new(1 << 20);
    let (writer, _reader) = begin(&hub, spec());
    let id = writer.stream().id().to_string();
    let stranger = CallerId::Key("other".into());
    let foreign = hub.find(&stranger, &id).unwrap_err();
    let unknown = hub
        .find(&stranger, &StreamId::random().to_string())
        .unwrap_err();
    assert_eq!(foreign.code, unknown.code);
    assert!(hub.list(&stranger).is_empty());
    assert!(hub.cancel(&stranger, &id).await.is_err());
    assert_eq!(writer.stream().cancelled(), None);
}

#[tokio::test]
async fn the_readers_of_a_stream_are_bounded() {
    let hub = Hub::new(1 << 20);
    let (writer, _first) = begin(&hub, spec());
    let more: Vec<_> = (0..2)
        .map(|_| Reader::attach(writer.stream(), None).unwrap())
        .collect();
    assert_eq!(
        Reader::attach(writer.stream(), None).unwrap_err().limit,
        Some("readers")
    );
    drop(more);
    assert!(Reader::attach(writer.stream(), None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_name_stays_cancelled_when_its_request_is_refused() {
    let hub = Hub::new(1 << 20);
    assert_eq!(
        hub.cancel(&CallerId::Anonymous, NAME)
            .await
            .unwrap_err()
            .code,
        Code::StreamNotFound
    );
    drop(hub.claim(&CallerId::Anonymous, names(NAME)));
    let pending = hub.claim(&CallerId::Anonymous, names(NAME));
    let cancel = tokio::spawn({
        let hub = hub.clone();
        async move { hub.cancel(&CallerId::Anonymous, NAME).await.map(drop) }
    });
    tokio::task::yield_now().await;
    drop(pending);
    assert_eq!(
        cancel.await.unwrap().unwrap_err().code,
        Code::StreamNotFound
    );
    let (writer, _reader) = hub.begin(hub.claim(&CallerId::Anonymous, names(NAME)), spec());
    assert_eq!(writer.stream().cancelled(), Some(Cause::Client));
}

#[tokio::test]
async fn leaving_does_not_apply_the_on_disconnect_policy() {
    let hub = Hub::new(1 << 20);
    let (writer, first) = begin(
        &hub,
        StreamSpec {
            on_disconnect: OnDisconnect::Cancel,
            ..spec()
        },
    );
    first.leave();
    assert_eq!(
        (writer.stream().readers(), writer.stream().cancelled()),
        (0, None)
    );
    drop(Reader::attach(writer.stream(), None).unwrap());
    assert_eq!(writer.stream().cancelled(), Some(Cause::Disconnect));
}

#[tokio::test]
async fn many_small_streams_count_with_their_overhead() {
    const KEPT: usize = 64;
    assert!(
        size_of::<Stream>() <= super::retention::STREAM_OVERHEAD,
        "{}",
        size_of::<Stream>()
    );
    let hub = Hub::new(KEPT * super::retention::STREAM_OVERHEAD);
    for _ in 0..1000 {
        let (writer, _reader) = begin(&hub, spec());
        writer.finish(end(Reason::Stop));
    }
    let kept = hub.list(&CallerId::Anonymous).len();
    assert!((KEPT / 2..=KEPT).contains(&kept), "{kept} streams are kept");
}
