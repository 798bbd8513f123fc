//! The bytes of a connection: one socket type for TCP and Unix, and a wrapper that records what
//! arrives.
//!
//! Invariants:
//! - A write to a peer that has closed its side fails, even if earlier bytes of the peer are
//!   unread. An HTTP/1 server that does not read during a response would not notice otherwise.
//! - The wrapper keeps no buffer except the 24 bytes that distinguish HTTP/2 from HTTP/1.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::activity::Activity;

/// The connection preface: the first bytes of an HTTP/2 client with prior knowledge.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Fails when the peer has closed its side. The hang-up event of the kernel reports it even if
    /// bytes are unread, and checking it costs no system call.
    fn check_peer(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let quiet = match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx).is_pending(),
            Self::Unix(stream) => stream.poll_read_ready(cx).is_pending(),
        };
        if quiet {
            // The usual case, and the cheaper check: neither bytes nor a hang-up.
            return Ok(());
        }
        let ready = match self {
            Self::Tcp(stream) => pin!(stream.ready(Interest::READABLE)).poll(cx),
            Self::Unix(stream) => pin!(stream.ready(Interest::READABLE)).poll(cx),
        };
        match ready {
            Poll::Ready(Ok(ready)) if ready.is_read_closed() => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_peer(cx)?;
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_peer(cx)?;
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A byte stream that records arriving bytes, and whose first bytes may be inspected before they
/// are read.
#[derive(Debug)]
pub struct WatchedIo<I> {
    io: I,
    activity: Arc<Activity>,
    /// Inspected bytes; those in `from..to` are still to be read.
    seen: [u8; PREFACE.len()],
    from: u8,
    to: u8,
}

impl<I: AsyncRead + Unpin> WatchedIo<I> {
    /// Wraps a stream from which nothing has been read.
    pub fn new(io: I, activity: Arc<Activity>) -> Self {
        Self {
            io,
            activity,
            seen: [0; PREFACE.len()],
            from: 0,
            to: 0,
        }
    }

    /// Reads until it is clear whether the peer uses HTTP/2 with prior knowledge. The inspected
    /// bytes will be read again.
    ///
    /// # Errors
    /// Returns errors of the stream, and `UnexpectedEof` when the peer closes before it is clear.
    pub async fn detect_http2(&mut self) -> io::Result<bool> {
        loop {
            let (seen, room) = self.seen.split_at_mut(usize::from(self.to));
            if !PREFACE.starts_with(seen) {
                return Ok(false);
            }
            if room.is_empty() {
                return Ok(true);
            }
            match self.io.read(room).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                // At most 24, the size of the array.
                n => self.to += n as u8,
            }
        }
    }

    /// Returns the inner stream. Inspected bytes that were not read are lost.
    pub fn into_inner(self) -> I {
        self.io
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WatchedIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            // An empty read must not be taken for the end of the stream.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Some(waiting) = this
            .seen
            .get(usize::from(this.from)..usize::from(this.to))
            .filter(|waiting| !waiting.is_empty())
        {
            let n = waiting.len().min(buf.remaining());
            buf.put_slice(waiting.get(..n).unwrap_or_default());
            this.from += n as u8;
            // Read more in the same call: a reader that receives only 24 bytes would double its
            // buffer for the rest. The result is ignored, because there is something to return; an
            // end or an error will be seen again.
            if buf.remaining() > 0 {
                drop(Pin::new(&mut this.io).poll_read(cx, buf));
            }
        } else {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        }
        this.activity.received(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WatchedIo<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    async fn tcp_pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (client, Socket::Tcp(listener.accept().await.unwrap().0))
    }

    /// Writes until a write fails. Each write lets the runtime check the socket once.
    async fn first_failure(socket: &mut Socket) -> io::Error {
        loop {
            if let Err(error) = socket.write_all(b"token\n").await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_write_detects_a_peer_that_closed_after_unread_bytes() {
        let (mut client, mut server) = tcp_pair().await;
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n")
            .await
            .unwrap();
        server.read_exact(&mut [0; 18]).await.unwrap();
        server.write_all(b"token\n").await.unwrap();
        // Only the sending side is closed: the kernel would accept our writes for ever.
        client.shutdown().await.unwrap();
        assert_eq!(
            first_failure(&mut server).await.kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn a_write_detects_a_closed_unix_peer() {
        let folder = std::env::temp_dir().join(format!(
            "sluicegate-io-{}",
            crate::model::ids::StreamId::random()
        ));
        let listener = UnixListener::bind(&folder).unwrap();
        let mut client = UnixStream::connect(&folder).await.unwrap();
        let mut server = Socket::Unix(listener.accept().await.unwrap().0);
        std::fs::remove_file(&folder).unwrap();
        client.write_all(b"more").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(
            first_failure(&mut server).await.kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    /// Sends `bytes` split at `cut`. Returns whether HTTP/2 was detected, and the bytes read
    /// afterwards.
    async fn detect(bytes: &[u8], cut: usize) -> (bool, Vec<u8>) {
        let (mut near, far) = tokio::io::duplex(64);
        let mut watched = WatchedIo::new(far, Arc::new(Activity::new(true)));
        let (first, second) = bytes.split_at(cut);
        let (first, second) = (first.to_vec(), second.to_vec());
        let sender = tokio::spawn(async move {
            near.write_all(&first).await.unwrap();
            tokio::task::yield_now().await;
            near.write_all(&second).await.unwrap();
        });
        let http2 = watched.detect_http2().await.unwrap();
        sender.await.unwrap();
        let mut rest = Vec::new();
        watched.read_to_end(&mut rest).await.unwrap();
        (http2, rest)
    }

    #[tokio::test]
    async fn the_preface_is_recognised_at_every_cut_and_nothing_is_lost() {
        let http2 = [PREFACE.as_slice(), b"frames"].concat();
        let post = b"POST /v1/streams HTTP/1.1\r\n\r\n";
        let odd = b"PRI * HTTP/1.1\r\n\r\n";
        for (bytes, expected) in [(http2.as_slice(), true), (post, false), (odd, false)] {
            for cut in 0..=bytes.len() {
                assert_eq!(
                    detect(bytes, cut).await,
                    (expected, bytes.to_vec()),
                    "cut at {cut}"
                );
            }
        }
    }

    #[tokio::test]
    async fn an_end_in_the_middle_of_the_preface_is_an_error() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"PRI").await.unwrap();
        drop(near);
        let error = WatchedIo::new(far, Arc::new(Activity::new(true)))
            .detect_http2()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
