//! Serves one connection: TLS, HTTP/2 or HTTP/1, and its end.
//!
//! Invariants:
//! - A plain HTTP/1 connection, the most common case of a long response, uses minimal memory: state
//!   that only TLS or HTTP/2 need is boxed.
//! - Every connection ends when its deadline passes, the process stops, or its peer goes.
//! - A response sent before the whole request was read still reaches the client.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Deadline, FIRST_BYTE_TIMEOUT, IDLE_TIMEOUT};
use super::edge::{Edge, Handler};
use super::io::{Socket, WatchedIo};
use crate::gateway::lifecycle::{Lifecycle, Phase};

/// Maximum size of a head that becomes a request, bytes. The edge has a smaller limit and answers
/// 431 between the two.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Maximum number of header fields of a request.
const MAX_HEAD_FIELDS: usize = 256;
/// Maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;
/// Flow-control window of one HTTP/2 request, bytes; a chat of 20 MiB takes eighty windows.
const STREAM_WINDOW: u32 = 256 << 10;
/// Flow-control window of an HTTP/2 connection, bytes; larger, so that a few unread requests do not
/// block the others.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Maximum number of response bytes buffered for an HTTP/2 client that does not read.
const SEND_BUFFER: usize = 64 << 10;
/// Interval of HTTP/2 pings, which detect dead peers.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Maximum time for the response to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time a connection may take to end after its shutdown has started.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum time to read and discard the rest of a rejected request, so that its client gets to read
/// the response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one connection until it ends.
pub(super) async fn serve<H: Handler>(socket: Socket, tls: Option<TlsAcceptor>, edge: Edge<H>) {
    let ended = match tls {
        // Boxed, because its state would enlarge every plain HTTP/1 connection.
        Some(tls) => Box::pin(serve_tls(socket, tls, edge)).await,
        None => serve_clear(socket, edge).await,
    };
    if let Err(error) = ended {
        // Caused by the peer: of interest only when debugging.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn serve_clear<H: Handler>(socket: Socket, edge: Edge<H>) -> io::Result<()> {
    let mut io = WatchedIo::new(socket, Arc::clone(edge.activity()));
    let lifecycle = Arc::clone(edge.lifecycle());
    let http2 = tokio::select! {
        biased;
        detected = timeout(FIRST_BYTE_TIMEOUT, io.detect_http2()) => {
            detected.map_err(|_| no_bytes_error())??
        }
        () = lifecycle.reached(Phase::Stopped) => return Ok(()),
    };
    if http2 {
        Box::pin(serve_http2(io, edge)).await
    } else {
        serve_http1(io, edge).await
    }
}

async fn serve_tls<H: Handler>(socket: Socket, tls: TlsAcceptor, edge: Edge<H>) -> io::Result<()> {
    let lifecycle = Arc::clone(edge.lifecycle());
    let stream = tokio::select! {
        biased;
        stream = timeout(FIRST_BYTE_TIMEOUT, tls.accept(socket)) => {
            stream.map_err(|_| no_bytes_error())??
        }
        () = lifecycle.reached(Phase::Stopped) => return Ok(()),
    };
    // Over TLS, ALPN decides; the preface need not be inspected.
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = WatchedIo::new(stream, Arc::clone(edge.activity()));
    if http2 {
        serve_http2(io, edge).await
    } else {
        serve_http1(io, edge).await
    }
}

fn no_bytes_error() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing in time")
}

async fn serve_http1<I, H>(io: WatchedIo<I>, edge: Edge<H>) -> io::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let (activity, lifecycle) = (Arc::clone(edge.activity()), Arc::clone(edge.lifecycle()));
    // hyper's own head timeout would also run between requests; [`Activity`] replaces it.
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        // The buffer may exceed its limit in one read; this limit is exact.
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_FIELDS)
        // A token is small: one copied buffer is cheaper to send than three gathered ones.
        .writev(false)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(edge));
    let end = drive(&mut connection, &activity, &lifecycle).await;
    if end.needs_linger(&activity) {
        Box::pin(linger(connection.into_parts().io.into_inner().into_inner())).await;
    }
    end.into_result()
}

async fn serve_http2<I, H>(io: WatchedIo<I>, edge: Edge<H>) -> io::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let (activity, lifecycle) = (Arc::clone(edge.activity()), Arc::clone(edge.lifecycle()));
    activity.set_http2();
    let mut connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(edge));
    drive(&mut connection, &activity, &lifecycle)
        .await
        .into_result()
}

/// A connection driven by hyper.
trait DrivenConnection {
    /// Polls the connection; ready when it has ended.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;
    /// Accepts no further request; the connection ends when the requests in progress are answered.
    fn start_shutdown(&mut self);
}

impl<I, H> DrivenConnection for http1::Connection<TokioIo<I>, TowerToHyperService<Edge<H>>>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        // Keeps the socket open at the end, so that [`linger`] can close it in two steps.
        self.poll_without_shutdown(cx)
    }

    fn start_shutdown(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

impl<I, H> DrivenConnection
    for http2::Connection<TokioIo<I>, TowerToHyperService<Edge<H>>, TokioExecutor>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(self).poll(cx)
    }

    fn start_shutdown(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

/// The way a connection ended.
#[derive(Debug)]
enum ConnectionEnd {
    /// hyper reported the end: complete, or an error.
    Done(hyper::Result<()>),
    /// Its deadline passed.
    Late,
}

impl ConnectionEnd {
    /// Returns true when the client may still be sending and would lose our response if the
    /// connection were closed now.
    fn needs_linger(&self, activity: &Activity) -> bool {
        let answered = activity
            .idle_for()
            .is_some_and(|quiet| quiet < LINGER_TIMEOUT);
        !activity.is_peer_closed()
            && match self {
                Self::Done(Ok(())) => answered,
                Self::Done(Err(error)) => error.is_parse(),
                Self::Late => false,
            }
    }

    fn into_result(self) -> io::Result<()> {
        match self {
            Self::Done(result) => result.map_err(io::Error::other),
            Self::Late => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client was too slow",
            )),
        }
    }
}

/// Drives a connection and ends it at its deadline.
async fn drive<C: DrivenConnection>(
    connection: &mut C,
    activity: &Activity,
    lifecycle: &Lifecycle,
) -> ConnectionEnd {
    let (mut shutdown, mut listening) = (Shutdown::No, false);
    let mut alarm = pin!(sleep_until(
        shutdown.due(activity).unwrap_or_else(far_future)
    ));
    let mut stop = pin!(lifecycle.reached(Phase::Stopped));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.poll_connection(cx) {
                return Poll::Ready(ConnectionEnd::Done(result));
            }
            // Polled once, the future wakes this task. Poll it again only when the process is
            // ending: it is not polled for every token.
            let ask = !std::mem::replace(&mut listening, true) || lifecycle.is_ending();
            let stopped = ask && !shutdown.is_final() && stop.as_mut().poll(cx).is_ready();
            // Poll again: the graceful shutdown may end the connection at once.
            if shutdown.advance(activity, stopped) {
                connection.start_shutdown();
                continue;
            }
            let due = shutdown.due(activity);
            // A deadline that has moved to a later time is checked when the old one is reached: no
            // timer is reset per token.
            if let Some(due) = due.filter(|due| *due < alarm.deadline()) {
                alarm.as_mut().reset(due);
            }
            ready!(alarm.as_mut().poll(cx));
            match due {
                Some(due) if due > Instant::now() => alarm.as_mut().reset(due),
                None => alarm.as_mut().reset(far_future()),
                // An idle connection is closed in the regular way, not dropped.
                Some(_) if shutdown.is_idle(activity) => activity.close_after_this(),
                Some(_) => return Poll::Ready(ConnectionEnd::Late),
            }
        }
    })
    .await
}

/// Returns a time far enough in the future for a connection without a deadline.
fn far_future() -> Instant {
    Instant::now() + IDLE_TIMEOUT
}

/// The shutdown state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    No,
    /// Ends after the requests in progress; once there are none, at this time at the latest.
    Closing(Instant),
    /// The process has stopped: ends at this time, whatever is in progress.
    Stopped(Instant),
}

impl Shutdown {
    /// Advances the state if there is a reason, and returns true if it did.
    fn advance(&mut self, activity: &Activity, stopped: bool) -> bool {
        let next = match self {
            _ if stopped => Self::Stopped(Instant::now() + SHUTDOWN_TIMEOUT),
            Self::No if activity.is_last() => Self::Closing(Instant::now() + SHUTDOWN_TIMEOUT),
            _ => return false,
        };
        *self = next;
        true
    }

    /// Returns true if no further reason changes the state.
    const fn is_final(self) -> bool {
        matches!(self, Self::Stopped(_))
    }

    /// Returns true if the deadline of the connection is that of an idle one.
    fn is_idle(self, activity: &Activity) -> bool {
        self == Self::No && matches!(activity.deadline(), Some(Deadline::Idle(_)))
    }

    fn due(self, activity: &Activity) -> Option<Instant> {
        match self {
            Self::No => activity.deadline().map(Deadline::at),
            Self::Closing(by) => activity
                .deadline()
                // The last response gets the full time to be sent.
                .map(|_| by.max(activity.done_at() + SHUTDOWN_TIMEOUT)),
            Self::Stopped(by) => Some(by),
        }
    }
}

/// Closes our side, then reads and discards what the client still sends. If a socket with unread
/// bytes were closed at once, the kernel would reset the connection, and the client would lose the
/// response on its way.
async fn linger<I: AsyncRead + AsyncWrite + Unpin>(mut io: I) {
    let rest = async {
        io.shutdown().await?;
        let mut discarded = [0; 4096];
        while io.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // The result does not matter: the client has finished, its time is up, or it is gone.
    drop(timeout(LINGER_TIMEOUT, rest).await);
}
