//! One connection: TLS, HTTP/2 or HTTP/1, and when it ends.
//!
//! Invariants: plain HTTP/1, the most common case of a long answer, holds no more than it needs:
//! what only TLS or HTTP/2 need is boxed; every connection ends when its deadline passes, when the
//! process stops, or when its peer goes; an answer given before all of a request was read still
//! reaches the client.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Deadline, FIRST_BYTE, IDLE};
use super::edge::{Edge, Handler};
use super::io::{Socket, Watched};
use crate::gateway::lifecycle::{Lifecycle, Phase};

/// Heads up to this size become requests (and get our own 431 where they are over the edge's
/// bound).
const HEAD_BYTES: usize = 64 << 10;
/// Header fields of one request.
const HEAD_FIELDS: usize = 256;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 250;
/// What one HTTP/2 request may send ahead of being read; a chat of 20 MiB takes eighty turns.
const STREAM_WINDOW: u32 = 256 << 10;
/// … and all of a connection together, so that a few unread ones do not hold up the others.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of an answer kept for an HTTP/2 client that does not take them.
const SEND_BUFFER: usize = 64 << 10;
/// Pings find dead HTTP/2 peers.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection may take to end once it was told to.
pub(super) const FLUSH: Duration = Duration::from_secs(2);
/// How long the rest of a refused request is read and thrown away, so that its sender comes to
/// reading the answer.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(socket: Socket, tls: Option<TlsAcceptor>, edge: Edge<H>) {
    let ended = match tls {
        Some(tls) => Box::pin(serve_tls(socket, tls, edge)).await,
        None => serve_clear(socket, edge).await,
    };
    if let Err(error) = ended {
        // The peer's doing: worth a word only to somebody who looks for it.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn serve_clear<H: Handler>(socket: Socket, edge: Edge<H>) -> io::Result<()> {
    let mut io = Watched::new(socket, Arc::clone(edge.activity()));
    let lifecycle = Arc::clone(edge.lifecycle());
    let http2 = tokio::select! {
        biased;
        told = timeout(FIRST_BYTE, io.speaks_http2()) => told.map_err(|_| silent())??,
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
        stream = timeout(FIRST_BYTE, tls.accept(socket)) => stream.map_err(|_| silent())??,
        () = lifecycle.reached(Phase::Stopped) => return Ok(()),
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Watched::new(stream, Arc::clone(edge.activity()));
    if http2 {
        serve_http2(io, edge).await
    } else {
        serve_http1(io, edge).await
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client said nothing")
}

async fn serve_http1<I, H>(io: Watched<I>, edge: Edge<H>) -> io::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let (activity, lifecycle) = (Arc::clone(edge.activity()), Arc::clone(edge.lifecycle()));
    // Its own head timeout would run between requests as well, so ours (`Activity`) does the work
    // of it.
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        // The buffer may grow past its bound in one read; this is exact.
        .max_header_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        // A token is small: copied into one buffer it goes out cheaper than gathered from three.
        .writev(false)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(edge));
    let end = drive(&mut connection, &activity, &lifecycle).await;
    if end.leaves_client_sending(&activity) {
        Box::pin(linger(connection.into_parts().io.into_inner().into_inner())).await;
    }
    end.into_result()
}

async fn serve_http2<I, H>(io: Watched<I>, edge: Edge<H>) -> io::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let (activity, lifecycle) = (Arc::clone(edge.activity()), Arc::clone(edge.lifecycle()));
    activity.is_http2();
    let mut connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEAD_BYTES as u32)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(edge));
    drive(&mut connection, &activity, &lifecycle)
        .await
        .into_result()
}

/// A connection as hyper drives it.
trait Talk {
    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;
    /// No further request; the connection ends when those in hand are answered.
    fn wind_up(&mut self);
}

impl<I, H> Talk for http1::Connection<TokioIo<I>, TowerToHyperService<Edge<H>>>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll_without_shutdown(cx)
    }

    fn wind_up(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

impl<I, H> Talk for http2::Connection<TokioIo<I>, TowerToHyperService<Edge<H>>, TokioExecutor>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(self).poll(cx)
    }

    fn wind_up(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// By hyper: done, or broken.
    Done(hyper::Result<()>),
    /// By its deadline.
    Late,
}

impl End {
    /// True where the client may still be sending to us, and would lose our answer if we just went.
    fn leaves_client_sending(&self, activity: &Activity) -> bool {
        let answered = activity.quiet_for().is_some_and(|quiet| quiet < LINGER);
        !activity.is_ended()
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

/// Drives a connection, and ends it when its time has come.
async fn drive<C: Talk>(connection: &mut C, activity: &Activity, lifecycle: &Lifecycle) -> End {
    let mut alarm = pin!(sleep_until(
        activity.deadline().map_or_else(later, Deadline::at)
    ));
    let mut stop = pin!(lifecycle.reached(Phase::Stopped));
    let mut winding = Winding::No;
    let mut listening = false;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = connection.poll_talk(cx) {
                return Poll::Ready(End::Done(result));
            }
            // Asked once, it wakes this task; asked again only when there is something to hear.
            let ask = !std::mem::replace(&mut listening, true) || lifecycle.is_ending();
            let stopped =
                ask && !matches!(winding, Winding::Stopped(_)) && stop.as_mut().poll(cx).is_ready();
            if winding.turn(activity, stopped) {
                connection.wind_up();
                continue;
            }
            let due = winding.due(activity);
            // A deadline that moved away is looked at when the old one is reached: no timer is
            // touched per token.
            if let Some(due) = due.filter(|due| *due < alarm.deadline()) {
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match due {
                Some(due) if due <= Instant::now() => match (winding, activity.deadline()) {
                    (Winding::No, Some(Deadline::Idle(_))) => activity.close_after_this(),
                    _ => return Poll::Ready(End::Late),
                },
                due => alarm.as_mut().reset(due.unwrap_or_else(later)),
            }
        }
    })
    .await
}

fn later() -> Instant {
    Instant::now() + IDLE
}

/// Whether a connection has been told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Winding {
    No,
    /// After the requests in hand; once there are none, by then.
    Closing(Instant),
    /// The process has stopped: by then, whatever is in hand.
    Stopped(Instant),
}

impl Winding {
    /// Moves on where there is a reason; true when it did.
    fn turn(&mut self, activity: &Activity, stopped: bool) -> bool {
        let next = match self {
            _ if stopped => Self::Stopped(Instant::now() + FLUSH),
            Self::No if activity.is_last() => Self::Closing(Instant::now() + FLUSH),
            _ => return false,
        };
        *self = next;
        true
    }

    fn due(self, activity: &Activity) -> Option<Instant> {
        match self {
            Self::No => activity.deadline().map(Deadline::at),
            Self::Closing(by) => activity
                .deadline()
                .map(|_| by.max(activity.done_at() + FLUSH)),
            Self::Stopped(by) => Some(by),
        }
    }
}

/// Closes our side, then reads and throws away what the client still sends. Closed at once, a
/// socket with unread bytes would reset the connection, and the client would lose the answer on its
/// way.
async fn linger<I: AsyncRead + AsyncWrite + Unpin>(mut io: I) {
    let rest = async {
        io.shutdown().await?;
        let mut waste = [0; 4096];
        while io.read(&mut waste).await? > 0 {}
        io::Result::Ok(())
    };
    // Either the client is done, or it had its time, or it is gone: all the same here.
    drop(timeout(LINGER, rest).await);
}
