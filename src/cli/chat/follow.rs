//! One stream from its beginning to its end, over as many connections as it takes.
//!
//! Invariants: no event is shown twice and none is left out: after a cut the stream is resumed
//! right behind the last event shown, and as long as none was shown the request is sent again under
//! the same claim, which joins it. Cancel is asked for once; from then on the end is waited for no
//! longer than [`Patience::end`].

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

use super::lines::{Broken, lines};
use super::screen::{End, Screen};
use super::session::{NoAnswer, Session, why};
use super::trouble::Trouble;

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How long nothing at all may come before it is given up.
    pub give_up: Duration,
    /// How long the end of a cancelled stream is waited for.
    pub end: Duration,
}

impl Default for Patience {
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

/// What is asked, and the name under which it is asked.
pub(super) struct Question {
    /// Made by us, so that it can be cancelled before the server has said anything.
    pub claim: String,
    /// The request's body.
    pub body: Bytes,
}

/// The user's wish to stop.
pub(super) struct Interrupt {
    pressed: mpsc::Receiver<()>,
    cancelled: Option<Instant>,
}

impl Interrupt {
    /// An interrupt that is told of by `pressed`.
    pub(super) const fn new(pressed: mpsc::Receiver<()>) -> Self {
        Self {
            pressed,
            cancelled: None,
        }
    }

    /// True once cancel was asked for.
    pub(super) const fn is_cancelled(&self) -> bool {
        self.cancelled.is_some()
    }

    /// Waits until the user wishes to stop; for ever where nobody can.
    pub(super) async fn pressed(&mut self) {
        if self.pressed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.cancelled = Some(Instant::now());
    }
}

/// Follows one stream.
pub(super) struct Follow<'a, O, E> {
    session: &'a Session,
    question: &'a Question,
    interrupt: &'a mut Interrupt,
    screen: &'a mut Screen<O, E>,
    patience: Patience,
    /// Something was shown.
    shown: bool,
    /// The id of the last event shown.
    last_id: Option<String>,
    /// The server may have read the request.
    asked: bool,
    /// Since when nothing has come, and how often it was tried since.
    outage: Option<(Instant, u32)>,
}

enum Opened {
    Stream(Response),
    Cut(String),
}

enum Read {
    End(End),
    Cut { why: String, heard: bool },
}

impl<'a, O: Write, E: Write> Follow<'a, O, E> {
    /// Follows the answer to `question`.
    pub(super) fn new(
        session: &'a Session,
        question: &'a Question,
        interrupt: &'a mut Interrupt,
        screen: &'a mut Screen<O, E>,
        patience: Patience,
    ) -> Self {
        Self {
            session,
            question,
            interrupt,
            screen,
            patience,
            shown: false,
            last_id: None,
            asked: false,
            outage: None,
        }
    }

    /// Shows the stream until its end.
    pub(super) async fn until_end(mut self) -> Result<End, Trouble> {
        loop {
            let why = match self.open().await? {
                Opened::Cut(why) => why,
                Opened::Stream(answer) => match self.read(answer).await? {
                    Read::End(end) => return Ok(end),
                    Read::Cut { why, heard } => {
                        if heard {
                            self.outage = None;
                        }
                        why
                    }
                },
            };
            self.pause(why).await?;
        }
    }

    async fn open(&mut self) -> Result<Opened, Trouble> {
        let (session, question) = (self.session, self.question);
        let answer = match self.last_id.clone() {
            None if !self.interrupt.is_cancelled() || !self.asked => {
                self.watching(session.begin(&question.claim, question.body.clone()))
                    .await?
            }
            last_id => {
                self.watching(session.resume(&question.claim, last_id.as_deref()))
                    .await?
            }
        };
        match answer {
            Ok(answer) => self.judge(answer).await,
            Err(no) if no.before_connected && !self.asked => Err(self.session.unreachable(no)),
            Err(NoAnswer {
                why,
                before_connected,
            }) => {
                self.asked |= !before_connected;
                Ok(Opened::Cut(why))
            }
        }
    }

    /// What an answer's head means. What may be better a little later is a cut, once there is
    /// something to lose.
    async fn judge(&mut self, answer: Response) -> Result<Opened, Trouble> {
        let status = answer.status();
        let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        if passing && self.asked {
            return Ok(Opened::Cut(format!("the server answered {status}")));
        }
        let answer = self.session.good(answer).await?;
        let content_type = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if status == StatusCode::NO_CONTENT {
            return Err(self
                .session
                .foreign("it says that all was sent, but its end was not"));
        }
        if !content_type.starts_with("text/event-stream") {
            return Err(self.session.foreign("no event stream at /v1/streams"));
        }
        self.asked = true;
        Ok(Opened::Stream(answer))
    }

    async fn read(&mut self, answer: Response) -> Result<Read, Trouble> {
        let heard = AtomicBool::new(false);
        let body = answer.bytes_stream().inspect(|read| {
            heard.fetch_or(read.is_ok(), Ordering::Relaxed);
        });
        let mut events = pin!(lines(body).eventsource());
        loop {
            let why = match self.watching(events.next()).await? {
                Some(Ok(event)) => match self.take(event).await? {
                    Some(end) => return Ok(Read::End(end)),
                    None => continue,
                },
                Some(Err(EventStreamError::Transport(Broken::Cut(error)))) => why(&error),
                Some(Err(error)) => return Err(Trouble::Unreadable(error.to_string())),
                None => "the connection was closed before the end".to_owned(),
            };
            return Ok(Read::Cut {
                why,
                heard: heard.load(Ordering::Relaxed),
            });
        }
    }

    /// Shows an event, then remembers its place. Where nobody can be shown anything any more, the
    /// generation is stopped.
    async fn take(&mut self, event: Event) -> Result<Option<End>, Trouble> {
        let end = match self.screen.show(&event) {
            Err(closed @ Trouble::Output(_)) => {
                self.session.cancel(&self.question.claim).await?;
                return Err(closed);
            }
            shown => shown?,
        };
        self.shown = true;
        self.last_id = Some(event.id).filter(|id| !id.is_empty());
        Ok(end)
    }

    async fn pause(&mut self, why: String) -> Result<(), Trouble> {
        if self.shown && self.last_id.is_none() {
            return Err(Trouble::Lost {
                why: format!("{why}, and its events carry no ids to resume by"),
            });
        }
        let (since, tries) = self.outage.unwrap_or_else(|| (Instant::now(), 0));
        if since.elapsed() >= self.patience.give_up {
            return Err(Trouble::Lost { why });
        }
        let pause = self
            .patience
            .first
            .saturating_mul(1 << tries.min(16))
            .min(self.patience.longest);
        self.screen
            .note(&format!("connection lost ({why}); resuming in {pause:?}"))?;
        self.outage = Some((since, tries + 1));
        self.watching(tokio::time::sleep(pause)).await
    }

    /// Waits for `future`, and meanwhile for the user's wish to stop, which is passed on.
    async fn watching<F: Future>(&mut self, future: F) -> Result<F::Output, Trouble> {
        let mut future = pin!(future);
        loop {
            let left = self.interrupt.cancelled.map_or(Duration::MAX, |since| {
                self.patience.end.saturating_sub(since.elapsed())
            });
            tokio::select! {
                biased;
                output = &mut future => return Ok(output),
                Some(()) = self.interrupt.pressed.recv(), if self.interrupt.cancelled.is_none() => self.cancel().await?,
                () = tokio::time::sleep(left), if self.interrupt.cancelled.is_some() => return Err(Trouble::NoEnd),
            }
        }
    }

    async fn cancel(&mut self) -> Result<(), Trouble> {
        self.interrupt.cancelled = Some(Instant::now());
        self.screen
            .note("cancelling; press again to leave at once")?;
        self.session.cancel(&self.question.claim).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::*;
    use crate::cli::chat::screen::Look;
    use crate::cli::chat::scripted::{Asked, chunked, closed, read_request, refusal, whole};

    const EVENTS: [&str; 5] = [
        "event: start\nretry: 1000\ndata: {\"stream\":\"s\",\"model\":\"m\",\"created\":1}\nid: s.0\n\n",
        ": heartbeat\nevent: text\ndata: {\"delta\":\"Gr\u{fc}\"}\nid: s.1\n\n",
        "event: text\ndata: {\"delta\":\"\u{df}e \"}\nid: s.2\n\n",
        "event: text\ndata: {\"delta\":\"!\"}\nid: s.3\n\n",
        "event: end\ndata: {\"reason\":\"stop\",\"native_reason\":null,\"usage\":null}\nid: s.4\n\n",
    ];
    const CANCELLED: &str = "event: end\ndata: {\"reason\":\"cancelled\"}\nid: s.9\n\n";

    /// How the test ends, what was printed, and what the server was asked.
    struct Outcome {
        end: Result<End, Trouble>,
        out: String,
        err: String,
        asked: Vec<Asked>,
    }

    const AT_ONCE: Patience = Patience {
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
        patience: Patience,
    ) -> (Result<End, Trouble>, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, Look::default());
        let question = Question {
            claim: "c".repeat(26),
            body: Bytes::from_static(b"{}"),
        };
        let mut interrupt = Interrupt::new(pressed);
        let end = Follow::new(session, &question, &mut interrupt, &mut screen, patience)
            .until_end()
            .await;
        (
            end,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    /// Answers each request with the next of `answers`, byte for byte, and closes.
    async fn scripted(answers: Vec<Vec<u8>>, patience: Patience) -> Outcome {
        let (listener, session) = listen().await;
        let serve = async {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.push(read_request(&mut stream).await);
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            asked
        };
        let (_tell, pressed) = mpsc::channel(1);
        let (asked, (end, out, err)) = tokio::join!(serve, follow(&session, pressed, patience));
        Outcome {
            end,
            out,
            err,
            asked,
        }
    }

    /// The events behind `id`, as a server with a journal sends them.
    fn behind(id: Option<&str>) -> String {
        let seen = id.map_or(0, |id| {
            id.strip_prefix("s.").unwrap().parse::<usize>().unwrap() + 1
        });
        EVENTS[seen..].concat()
    }

    /// One server that cuts the first answer after `cut` bytes, and answers the second request as a
    /// journal does.
    async fn cut_at(
        (listener, session): &(TcpListener, Session),
        cut: usize,
        first: &[u8],
        spell: fn(&str) -> Vec<u8>,
    ) -> Outcome {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![read_request(&mut stream).await];
            stream.write_all(&first[..cut]).await.unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(read_request(&mut stream).await);
            stream
                .write_all(&spell(&behind(asked[1].header("last-event-id"))))
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            asked
        };
        let (_tell, pressed) = mpsc::channel(1);
        let (asked, (end, out, err)) = tokio::join!(serve, follow(session, pressed, AT_ONCE));
        Outcome {
            end,
            out,
            err,
            asked,
        }
    }

    #[tokio::test]
    async fn cut_at_any_byte_nothing_is_lost_and_nothing_comes_twice() {
        let place = listen().await;
        for spell in [chunked as fn(&str) -> Vec<u8>, closed] {
            let first = spell(&EVENTS.concat());
            let end = first.len() - EVENTS[4].len() / 2;
            for cut in 0..end {
                let outcome = cut_at(&place, cut, &first, spell).await;
                assert_eq!(outcome.out, "Gr\u{fc}\u{df}e !\n", "cut at {cut}");
                assert_eq!(outcome.end.unwrap().reason, "stop", "cut at {cut}");
                assert!(outcome.err.contains("connection lost"), "cut at {cut}");
                assert!(outcome.asked[0].line.starts_with("POST /v1/streams "));
            }
        }
    }

    #[tokio::test]
    async fn before_the_first_event_the_request_is_repeated_and_after_it_resumed() {
        let first = closed(&EVENTS.concat());
        let place = listen().await;
        let early = cut_at(&place, 0, &first, closed).await.asked;
        assert!(early[1].line.starts_with("POST /v1/streams "), "{early:?}");
        assert_eq!(
            (early[0].header("x-stream-id"), &early[0].body),
            (early[1].header("x-stream-id"), &early[1].body)
        );
        let late = cut_at(&place, first.len() - EVENTS[4].len() - 1, &first, closed)
            .await
            .asked;
        assert!(
            late[1]
                .line
                .starts_with(&format!("GET /v1/streams/{} ", "c".repeat(26))),
            "{late:?}"
        );
        assert_eq!(late[1].header("last-event-id"), Some("s.2"));
        for asked in early.iter().chain(&late) {
            assert_eq!(
                (asked.header("authorization"), asked.header("accept")),
                (Some("Bearer sk-1"), Some("text/event-stream"))
            );
        }
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_while_there_is_something_to_lose() {
        let head = closed(&EVENTS[..3].concat());
        let answers = vec![
            head,
            refusal("503 Service Unavailable", "store_unavailable"),
            closed(&EVENTS[3..].concat()),
        ];
        let outcome = scripted(answers, AT_ONCE).await;
        assert_eq!(
            (outcome.out.as_str(), outcome.end.unwrap().reason.as_str()),
            ("Gr\u{fc}\u{df}e !\n", "stop")
        );
    }

    #[tokio::test]
    async fn refusals_are_final() {
        let first = scripted(
            vec![refusal("503 Service Unavailable", "shutting_down")],
            AT_ONCE,
        )
        .await;
        assert!(
            matches!(first.end, Err(Trouble::Refused(refused)) if refused.code == "shutting_down")
        );
        let later = scripted(
            vec![closed(EVENTS[0]), refusal("410 Gone", "replay_expired")],
            AT_ONCE,
        )
        .await;
        assert!(
            matches!(later.end, Err(Trouble::Refused(refused)) if refused.code == "replay_expired")
        );
        let foreign = scripted(vec![whole("")], AT_ONCE).await;
        assert!(matches!(foreign.end, Err(Trouble::Foreign { .. })));
    }

    #[tokio::test]
    async fn nobody_there_is_told_at_once() {
        let (listener, session) = listen().await;
        drop(listener);
        let (_tell, pressed) = mpsc::channel(1);
        let (end, ..) = follow(&session, pressed, AT_ONCE).await;
        assert!(matches!(end, Err(Trouble::Unreachable { .. })));
    }

    #[tokio::test]
    async fn patience_ends() {
        let patience = Patience {
            give_up: Duration::ZERO,
            ..AT_ONCE
        };
        let outcome = scripted(vec![closed(EVENTS[0])], patience).await;
        assert!(matches!(outcome.end, Err(Trouble::Lost { .. })));
    }

    #[tokio::test]
    async fn without_ids_nothing_is_repeated_by_guessing() {
        let outcome = scripted(
            vec![closed("event: text\ndata: {\"delta\":\"a\"}\n\n")],
            AT_ONCE,
        )
        .await;
        assert!(matches!(outcome.end, Err(Trouble::Lost { why }) if why.contains("no ids")));
        assert_eq!(outcome.out, "a");
    }

    /// A server whose stream begins, and goes on until it is cancelled.
    #[derive(Clone)]
    struct Endless {
        beginning: Vec<u8>,
        end: &'static str,
        /// The user presses before the beginning is sent, not after.
        early: bool,
        press: mpsc::Sender<()>,
        cancelled: Arc<Notify>,
        asked: mpsc::UnboundedSender<String>,
    }

    impl Endless {
        async fn serve(self, listener: TcpListener) {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(self.clone().answer(stream));
            }
        }

        async fn answer(self, mut stream: TcpStream) {
            let asked = read_request(&mut stream).await;
            self.asked.send(asked.line.clone()).unwrap();
            if asked.line.contains("/cancel ") {
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
        patience: Patience,
    ) -> (Result<End, Trouble>, String, Vec<String>) {
        let (listener, session) = listen().await;
        let (press, pressed) = mpsc::channel(1);
        if early {
            press.try_send(()).unwrap();
        }
        let (asked, mut lines) = mpsc::unbounded_channel();
        let beginning = closed(&EVENTS[..2].concat());
        let server = Endless {
            beginning,
            end,
            early,
            press,
            cancelled: Arc::default(),
            asked,
        };
        let serving = tokio::spawn(server.serve(listener));
        let (end, out, _) = follow(&session, pressed, patience).await;
        serving.abort();
        (
            end,
            out,
            std::iter::from_fn(|| lines.try_recv().ok()).collect(),
        )
    }

    #[tokio::test]
    async fn an_interrupt_cancels_and_shows_the_end() {
        for early in [false, true] {
            let (end, out, asked) = interrupted(early, CANCELLED, AT_ONCE).await;
            assert_eq!(
                (end.unwrap().reason.as_str(), out.as_str()),
                ("cancelled", "Gr\u{fc}\n")
            );
            let cancels = asked.iter().filter(|line| {
                **line == format!("POST /v1/streams/{}/cancel HTTP/1.1", "c".repeat(26))
            });
            assert_eq!((cancels.count(), asked.len()), (1, 2), "{asked:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_never_ends_is_left() {
        let patience = Patience {
            end: Duration::ZERO,
            ..AT_ONCE
        };
        let (end, out, _) = interrupted(false, "", patience).await;
        assert!(matches!(end, Err(Trouble::NoEnd)));
        assert_eq!(out, "Gr\u{fc}");
    }

    #[tokio::test]
    async fn a_closed_output_cancels() {
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
            Screen::new(Closed, Vec::new(), Look::default()),
            Interrupt::new(pressed),
        );
        let question = Question {
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
            let asked = read_request(&mut cancel).await;
            cancel.write_all(&whole("{}")).await.unwrap();
            asked.line
        };
        let follow =
            Follow::new(&session, &question, &mut interrupt, &mut screen, AT_ONCE).until_end();
        let (line, end) = tokio::join!(serve, follow);
        assert!(
            matches!(end, Err(Trouble::Output(_))) && line.contains("/cancel "),
            "{line}"
        );
    }
}
