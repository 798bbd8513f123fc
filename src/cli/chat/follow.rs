//! Follows one stream from its beginning to its end, over as many connections as necessary.
//!
//! Invariants: no event is displayed twice and none is skipped. After a cut the stream is resumed
//! after the last displayed event; before the first event the request is sent again under the same
//! claim, which joins the running generation. Cancel is requested once; after that the end is
//! awaited for at most [`RetryPolicy::end`].

use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventsource_stream::{Event, EventStreamError, Eventsource as _};
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use reqwest::Response;
use tokio::sync::mpsc;

use super::error::ChatError;
use super::lines::{LineError, lines};
use super::screen::{End, Screen};
use super::session::{RequestError, Session, root_cause};

/// Times of retries and of giving up.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryPolicy {
    /// The first pause before a retry; each further one is twice as long.
    pub first: Duration,
    /// Maximum pause before a retry.
    pub longest: Duration,
    /// Maximum time without any received byte before the client gives up.
    pub give_up: Duration,
    /// Maximum wait for the end of a cancelled stream.
    pub end: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first: Duration::from_millis(250),
            longest: seconds(4),
            give_up: seconds(60),
            end: seconds(10),
        }
    }
}

/// The request that starts a generation.
pub(super) struct ChatRequest {
    /// The stream's name, chosen by the client so that the stream can be cancelled before the
    /// server has responded.
    pub claim: String,
    /// The request's body.
    pub body: Bytes,
}

/// The user's request to stop (Ctrl-C).
pub(super) struct Interrupt {
    pressed: mpsc::Receiver<()>,
    cancelled: Option<Instant>,
}

impl Interrupt {
    /// Creates an interrupt that is triggered by a message on `pressed`.
    pub(super) const fn new(pressed: mpsc::Receiver<()>) -> Self {
        Self {
            pressed,
            cancelled: None,
        }
    }

    /// True once cancel was requested.
    pub(super) const fn is_cancelled(&self) -> bool {
        self.cancelled.is_some()
    }

    /// Waits until the user requests to stop; forever if the channel is closed.
    pub(super) async fn pressed(&mut self) {
        if self.pressed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.cancelled = Some(Instant::now());
    }
}

/// Follows one stream and displays its events.
pub(super) struct Follower<'a, O, E> {
    session: &'a Session,
    request: &'a ChatRequest,
    interrupt: &'a mut Interrupt,
    screen: &'a mut Screen<O, E>,
    retry: RetryPolicy,
    /// True once an event was displayed.
    displayed: bool,
    /// The id of the last displayed event.
    last_id: Option<String>,
    /// True if the server may have read the request.
    request_sent: bool,
    /// The time since which no byte was received, and the number of retries since then.
    outage: Option<(Instant, u32)>,
}

enum Opened {
    Stream(Response),
    Cut(String),
}

enum Read {
    End(End),
    Cut { why: String, received_bytes: bool },
}

impl<'a, O: Write, E: Write> Follower<'a, O, E> {
    /// Creates a follower for the answer to `request`.
    pub(super) fn new(
        session: &'a Session,
        request: &'a ChatRequest,
        interrupt: &'a mut Interrupt,
        screen: &'a mut Screen<O, E>,
        retry: RetryPolicy,
    ) -> Self {
        Self {
            session,
            request,
            interrupt,
            screen,
            retry,
            displayed: false,
            last_id: None,
            request_sent: false,
            outage: None,
        }
    }

    /// Displays the stream until its end.
    pub(super) async fn until_end(mut self) -> Result<End, ChatError> {
        loop {
            let why = match self.open().await? {
                Opened::Cut(why) => why,
                Opened::Stream(answer) => match self.read(answer).await? {
                    Read::End(end) => return Ok(end),
                    Read::Cut {
                        why,
                        received_bytes,
                    } => {
                        if received_bytes {
                            self.outage = None;
                        }
                        why
                    }
                },
            };
            self.pause(why).await?;
        }
    }

    async fn open(&mut self) -> Result<Opened, ChatError> {
        let (session, request) = (self.session, self.request);
        // Before the first event the request is repeated: it starts the generation or joins it.
        // After a cancel, a request that the server may have read is not repeated, because it
        // could start a new generation.
        let answer = match self.last_id.clone() {
            None if !self.interrupt.is_cancelled() || !self.request_sent => {
                self.or_cancel(session.begin(&request.claim, request.body.clone()))
                    .await?
            }
            last_id => {
                self.or_cancel(session.resume(&request.claim, last_id.as_deref()))
                    .await?
            }
        };
        match answer {
            Ok(answer) => self.check_response(answer).await,
            Err(error) if error.before_connected && !self.request_sent => {
                Err(self.session.unreachable(error))
            }
            Err(RequestError {
                why,
                before_connected,
            }) => {
                self.request_sent |= !before_connected;
                Ok(Opened::Cut(why))
            }
        }
    }

    /// Evaluates a response head. A temporary error counts as a cut once the generation may have
    /// started; before that it is final.
    async fn check_response(&mut self, answer: Response) -> Result<Opened, ChatError> {
        let status = answer.status();
        let is_temporary = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        if is_temporary && self.request_sent {
            return Ok(Opened::Cut(format!("the server returned {status}")));
        }
        let answer = self.session.require_success(answer).await?;
        let content_type = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        // The server sends 204 to a resume at the very end of a stream.
        if status == StatusCode::NO_CONTENT {
            return Err(self.session.not_sluicegate(
                "the server reports that the stream was sent completely, but its end is missing",
            ));
        }
        if !content_type.starts_with("text/event-stream") {
            return Err(self
                .session
                .not_sluicegate("/v1/streams did not return an event stream"));
        }
        self.request_sent = true;
        Ok(Opened::Stream(answer))
    }

    async fn read(&mut self, answer: Response) -> Result<Read, ChatError> {
        let received_bytes = AtomicBool::new(false);
        let body = answer.bytes_stream().inspect(|read| {
            received_bytes.fetch_or(read.is_ok(), Ordering::Relaxed);
        });
        // Comments (heartbeats) never become events, so received bytes are observed below the
        // parser.
        let mut events = pin!(lines(body).eventsource());
        loop {
            let why = match self.or_cancel(events.next()).await? {
                Some(Ok(event)) => match self.display_event(event).await? {
                    Some(end) => return Ok(Read::End(end)),
                    None => continue,
                },
                Some(Err(EventStreamError::Transport(LineError::Cut(error)))) => root_cause(&error),
                Some(Err(error)) => return Err(ChatError::MalformedEvent(error.to_string())),
                None => "the connection was closed before the end".to_owned(),
            };
            return Ok(Read::Cut {
                why,
                received_bytes: received_bytes.load(Ordering::Relaxed),
            });
        }
    }

    /// Displays an event, then remembers its id. If the output is closed, the generation is
    /// cancelled.
    async fn display_event(&mut self, event: Event) -> Result<Option<End>, ChatError> {
        let end = match self.screen.show(&event) {
            Err(closed @ ChatError::Output(_)) => {
                self.session.cancel(&self.request.claim).await?;
                return Err(closed);
            }
            displayed => displayed?,
        };
        // The id is stored only after the event was displayed, so that a resume cannot skip it.
        self.displayed = true;
        self.last_id = Some(event.id).filter(|id| !id.is_empty());
        Ok(end)
    }

    async fn pause(&mut self, why: String) -> Result<(), ChatError> {
        // Without ids a resume would start at the beginning and print everything again.
        if self.displayed && self.last_id.is_none() {
            return Err(ChatError::ConnectionLost {
                why: format!("{why}, and its events have no ids to resume from"),
            });
        }
        let (since, tries) = self.outage.unwrap_or_else(|| (Instant::now(), 0));
        if since.elapsed() >= self.retry.give_up {
            return Err(ChatError::ConnectionLost { why });
        }
        let pause = self
            .retry
            .first
            // The exponent is capped, as a larger shift would overflow.
            .saturating_mul(1 << tries.min(16))
            .min(self.retry.longest);
        self.screen
            .note(&format!("connection lost ({why}); resuming in {pause:?}"))?;
        self.outage = Some((since, tries + 1));
        self.or_cancel(tokio::time::sleep(pause)).await
    }

    /// Waits for `future`. If the user interrupts meanwhile, the stream is cancelled and the wait
    /// continues until its deadline.
    async fn or_cancel<F: Future>(&mut self, future: F) -> Result<F::Output, ChatError> {
        let mut future = pin!(future);
        loop {
            let left = self.interrupt.cancelled.map_or(Duration::MAX, |since| {
                self.retry.end.saturating_sub(since.elapsed())
            });
            tokio::select! {
                // Output that is ready is taken first, so that an interrupt discards no event.
                biased;
                output = &mut future => return Ok(output),
                Some(()) = self.interrupt.pressed.recv(),
                    if self.interrupt.cancelled.is_none() => self.cancel().await?,
                () = tokio::time::sleep(left), if self.interrupt.cancelled.is_some() => {
                    return Err(ChatError::CancelTimeout);
                }
            }
        }
    }

    async fn cancel(&mut self) -> Result<(), ChatError> {
        self.interrupt.cancelled = Some(Instant::now());
        self.screen
            .note("cancelling; press Ctrl-C again to exit at once")?;
        self.session.cancel(&self.request.claim).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::*;
    use crate::cli::chat::screen::ScreenOptions;
    use crate::cli::chat::test_server::{
        ReceivedRequest, chunked, closed, read_request, refusal, whole,
    };

    const EVENTS: [&str; 5] = [
        "event: start\nretry: 1000\ndata: {\"stream\":\"s\",\"model\":\"m\",\"created\":1}\nid: s.0\n\n",
        ": heartbeat\nevent: text\ndata: {\"delta\":\"Gr\u{fc}\"}\nid: s.1\n\n",
        "event: text\ndata: {\"delta\":\"\u{df}e \"}\nid: s.2\n\n",
        "event: text\ndata: {\"delta\":\"!\"}\nid: s.3\n\n",
        "event: end\ndata: {\"reason\":\"stop\",\"native_reason\":null,\"usage\":null}\nid: s.4\n\n",
    ];
    const CANCELLED: &str = "event: end\ndata: {\"reason\":\"cancelled\"}\nid: s.9\n\n";

    /// The result of a test: the end, the printed text, and the requests that the server received.
    struct Outcome {
        end: Result<End, ChatError>,
        out: String,
        err: String,
        request_sent: Vec<ReceivedRequest>,
    }

    const AT_ONCE: RetryPolicy = RetryPolicy {
        first: Duration::ZERO,
        longest: Duration::ZERO,
        give_up: Duration::from_secs(60),
        end: Duration::from_secs(60),
    };

    async fn listen() -> (TcpListener, Session) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let session = Session::new(
            &format!("http://{}", listener.local_addr().unwrap()),
            Some(&"sk-1".into()),
        )
        .unwrap();
        (listener, session)
    }

    async fn follow(
        session: &Session,
        pressed: mpsc::Receiver<()>,
        retry: RetryPolicy,
    ) -> (Result<End, ChatError>, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, ScreenOptions::default());
        let request = ChatRequest {
            claim: "c".repeat(26),
            body: Bytes::from_static(b"{}"),
        };
        let mut interrupt = Interrupt::new(pressed);
        let end = Follower::new(session, &request, &mut interrupt, &mut screen, retry)
            .until_end()
            .await;
        (
            end,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    /// Responds to each request with the next of `answers`, byte for byte, and closes the
    /// connection.
    async fn run_script(answers: Vec<Vec<u8>>, retry: RetryPolicy) -> Outcome {
        let (listener, session) = listen().await;
        let serve = async {
            let mut request_sent = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                request_sent.push(read_request(&mut stream).await);
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            request_sent
        };
        let (_tell, pressed) = mpsc::channel(1);
        let (request_sent, (end, out, err)) = tokio::join!(serve, follow(&session, pressed, retry));
        Outcome {
            end,
            out,
            err,
            request_sent,
        }
    }

    /// Returns the events after `id`, as a server with a journal sends them.
    fn events_after(id: Option<&str>) -> String {
        let seen = id.map_or(0, |id| {
            id.strip_prefix("s.").unwrap().parse::<usize>().unwrap() + 1
        });
        EVENTS[seen..].concat()
    }

    /// Runs a server that cuts the first response after `cut` bytes and answers the second request
    /// from its journal.
    async fn cut_at(
        (listener, session): &(TcpListener, Session),
        cut: usize,
        first: &[u8],
        encode: fn(&str) -> Vec<u8>,
    ) -> Outcome {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request_sent = vec![read_request(&mut stream).await];
            stream.write_all(&first[..cut]).await.unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
            let (mut stream, _) = listener.accept().await.unwrap();
            request_sent.push(read_request(&mut stream).await);
            stream
                .write_all(&encode(&events_after(
                    request_sent[1].header("last-event-id"),
                )))
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            request_sent
        };
        let (_tell, pressed) = mpsc::channel(1);
        let (request_sent, (end, out, err)) =
            tokio::join!(serve, follow(session, pressed, AT_ONCE));
        Outcome {
            end,
            out,
            err,
            request_sent,
        }
    }

    #[tokio::test]
    async fn a_cut_at_any_byte_loses_and_repeats_nothing() {
        let place = listen().await;
        for encode in [chunked as fn(&str) -> Vec<u8>, closed] {
            let first = encode(&EVENTS.concat());
            let end = first.len() - EVENTS[4].len() / 2;
            for cut in 0..end {
                let outcome = cut_at(&place, cut, &first, encode).await;
                assert_eq!(outcome.out, "Gr\u{fc}\u{df}e !\n", "cut at {cut}");
                assert_eq!(outcome.end.unwrap().reason, "stop", "cut at {cut}");
                assert!(outcome.err.contains("connection lost"), "cut at {cut}");
                assert!(
                    outcome.request_sent[0]
                        .line
                        .starts_with("POST /v1/streams ")
                );
            }
        }
    }

    #[tokio::test]
    async fn before_the_first_event_the_request_is_repeated_and_after_it_resumed() {
        let first = closed(&EVENTS.concat());
        let place = listen().await;
        let early = cut_at(&place, 0, &first, closed).await.request_sent;
        assert!(early[1].line.starts_with("POST /v1/streams "), "{early:?}");
        assert_eq!(
            (early[0].header("x-stream-id"), &early[0].body),
            (early[1].header("x-stream-id"), &early[1].body)
        );
        let late = cut_at(&place, first.len() - EVENTS[4].len() - 1, &first, closed)
            .await
            .request_sent;
        assert!(
            late[1]
                .line
                .starts_with(&format!("GET /v1/streams/{} ", "c".repeat(26))),
            "{late:?}"
        );
        assert_eq!(late[1].header("last-event-id"), Some("s.2"));
        for request_sent in early.iter().chain(&late) {
            assert_eq!(
                (
                    request_sent.header("authorization"),
                    request_sent.header("accept")
                ),
                (Some("Bearer sk-1"), Some("text/event-stream"))
            );
        }
    }

    #[tokio::test]
    async fn temporary_errors_are_retried_once_the_generation_has_begun() {
        let head = closed(&EVENTS[..3].concat());
        let answers = vec![
            head,
            refusal("503 Service Unavailable", "store_unavailable"),
            closed(&EVENTS[3..].concat()),
        ];
        let outcome = run_script(answers, AT_ONCE).await;
        assert_eq!(
            (outcome.out.as_str(), outcome.end.unwrap().reason.as_str()),
            ("Gr\u{fc}\u{df}e !\n", "stop")
        );
    }

    #[tokio::test]
    async fn error_responses_are_final() {
        let first = run_script(
            vec![refusal("503 Service Unavailable", "shutting_down")],
            AT_ONCE,
        )
        .await;
        assert!(
            matches!(first.end, Err(ChatError::Rejected(refused)) if refused.code == "shutting_down")
        );
        let later = run_script(
            vec![closed(EVENTS[0]), refusal("410 Gone", "replay_expired")],
            AT_ONCE,
        )
        .await;
        assert!(
            matches!(later.end, Err(ChatError::Rejected(refused)) if refused.code == "replay_expired")
        );
        let not_sluicegate = run_script(vec![whole("")], AT_ONCE).await;
        assert!(matches!(
            not_sluicegate.end,
            Err(ChatError::NotSluicegate { .. })
        ));
    }

    #[tokio::test]
    async fn an_unreachable_server_is_reported_at_once() {
        let (listener, session) = listen().await;
        drop(listener);
        let (_tell, pressed) = mpsc::channel(1);
        let (end, ..) = follow(&session, pressed, AT_ONCE).await;
        assert!(matches!(end, Err(ChatError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn retries_end_after_the_configured_time() {
        let retry = RetryPolicy {
            give_up: Duration::ZERO,
            ..AT_ONCE
        };
        let outcome = run_script(vec![closed(EVENTS[0])], retry).await;
        assert!(matches!(outcome.end, Err(ChatError::ConnectionLost { .. })));
    }

    #[tokio::test]
    async fn a_stream_without_ids_is_not_resumed() {
        let outcome = run_script(
            vec![closed("event: text\ndata: {\"delta\":\"a\"}\n\n")],
            AT_ONCE,
        )
        .await;
        assert!(
            matches!(outcome.end, Err(ChatError::ConnectionLost { why }) if why.contains("no ids"))
        );
        assert_eq!(outcome.out, "a");
    }

    /// A server whose stream continues until it is cancelled.
    #[derive(Clone)]
    struct Endless {
        beginning: Vec<u8>,
        end: &'static str,
        /// True if the user interrupts before the beginning is sent, not after it.
        early: bool,
        press: mpsc::Sender<()>,
        cancelled: Arc<Notify>,
        request_sent: mpsc::UnboundedSender<String>,
    }

    impl Endless {
        async fn serve(self, listener: TcpListener) {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(self.clone().answer(stream));
            }
        }

        async fn answer(self, mut stream: TcpStream) {
            let request_sent = read_request(&mut stream).await;
            self.request_sent.send(request_sent.line.clone()).unwrap();
            if request_sent.line.contains("/cancel ") {
                self.cancelled.notify_one();
                return stream.write_all(&whole("{}")).await.unwrap();
            }
            if self.early {
                self.cancelled.notified().await;
            }
            stream.write_all(&self.beginning).await.unwrap();
            if !self.early {
                self.press.send(()).await.unwrap();
                self.cancelled.notified().await;
            }
            stream.write_all(self.end.as_bytes()).await.unwrap();
            if self.end.is_empty() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn interrupted(
        early: bool,
        end: &'static str,
        retry: RetryPolicy,
    ) -> (Result<End, ChatError>, String, Vec<String>) {
        let (listener, session) = listen().await;
        let (press, pressed) = mpsc::channel(1);
        if early {
            press.try_send(()).unwrap();
        }
        let (request_sent, mut lines) = mpsc::unbounded_channel();
        let beginning = closed(&EVENTS[..2].concat());
        let server = Endless {
            beginning,
            end,
            early,
            press,
            cancelled: Arc::default(),
            request_sent,
        };
        let serving = tokio::spawn(server.serve(listener));
        let (end, out, _) = follow(&session, pressed, retry).await;
        serving.abort();
        (
            end,
            out,
            std::iter::from_fn(|| lines.try_recv().ok()).collect(),
        )
    }

    #[tokio::test]
    async fn an_interrupt_cancels_and_displays_the_end() {
        for early in [false, true] {
            let (end, out, request_sent) = interrupted(early, CANCELLED, AT_ONCE).await;
            assert_eq!(
                (end.unwrap().reason.as_str(), out.as_str()),
                ("cancelled", "Gr\u{fc}\n")
            );
            let cancels = request_sent.iter().filter(|line| {
                **line == format!("POST /v1/streams/{}/cancel HTTP/1.1", "c".repeat(26))
            });
            assert_eq!(
                (cancels.count(), request_sent.len()),
                (1, 2),
                "{request_sent:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_client_stops_waiting_for_a_server_that_never_ends() {
        let retry = RetryPolicy {
            end: Duration::ZERO,
            ..AT_ONCE
        };
        let (end, out, _) = interrupted(false, "", retry).await;
        assert!(matches!(end, Err(ChatError::CancelTimeout)));
        assert_eq!(out, "Gr\u{fc}");
    }

    #[tokio::test]
    async fn a_closed_output_cancels_the_generation() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (listener, session) = listen().await;
        let (_tell, pressed) = mpsc::channel(1);
        let (mut screen, mut interrupt) = (
            Screen::new(Closed, Vec::new(), ScreenOptions::default()),
            Interrupt::new(pressed),
        );
        let request = ChatRequest {
            claim: "c".repeat(26),
            body: Bytes::from_static(b"{}"),
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream
                .write_all(&closed(&EVENTS[..2].concat()))
                .await
                .unwrap();
            let (mut cancel, _) = listener.accept().await.unwrap();
            let request_sent = read_request(&mut cancel).await;
            cancel.write_all(&whole("{}")).await.unwrap();
            request_sent.line
        };
        let follow =
            Follower::new(&session, &request, &mut interrupt, &mut screen, AT_ONCE).until_end();
        let (line, end) = tokio::join!(serve, follow);
        assert!(
            matches!(end, Err(ChatError::Output(_))) && line.contains("/cancel "),
            "{line}"
        );
    }
}
