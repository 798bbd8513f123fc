//! A request that has been sent, until the head of its answer comes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::timeout_at;

use super::answer::{Answer, AttemptContext};
use super::clock::{Clock, Running};
use super::credentials::Shown;
use super::transport::Body;
use crate::model::fault::{Code, Fault};
use crate::model::target::OnCancel;
use crate::wire::Wire;

/// A request under way.
pub(super) struct Sent {
    context: AttemptContext,
    wire: &'static dyn Wire,
    /// It asks for one body, not for a stream.
    whole: bool,
    running: Running,
    answering: Pin<Box<dyn Future<Output = reqwest::Result<reqwest::Response>> + Send>>,
    written: Arc<AtomicBool>,
    shown: Shown,
}

/// A request that is ready to go out.
pub(super) struct Signed {
    pub(super) client: reqwest::Client,
    pub(super) request: reqwest::Request,
    /// Its body once more: what the provider takes of it may have to be known.
    pub(super) body: Bytes,
    /// The credential it shows.
    pub(super) shown: Shown,
}

impl Sent {
    /// Makes the request ready. It goes out when its head is waited for.
    pub(super) fn new(
        context: AttemptContext,
        wire: &'static dyn Wire,
        whole: bool,
        running: Running,
        signed: Signed,
    ) -> Self {
        let Signed {
            client,
            mut request,
            body,
            shown,
        } = signed;
        let written = Arc::new(AtomicBool::new(false));
        if context.target.provider.on_cancel == OnCancel::Finish {
            *request.body_mut() = Some(reqwest::Body::wrap(Watched {
                bytes: Some(body),
                written: written.clone(),
            }));
        }
        let answering = Box::pin(client.execute(request));
        Self {
            context,
            wire,
            whole,
            running,
            answering,
            written,
            shown,
        }
    }

    /// The answer as it begins. Whoever stops waiting may come back.
    pub(super) async fn head(&mut self) -> Result<Answer, Fault> {
        let (at, clock) = self.running.next();
        let response = timeout_at(at, self.answering.as_mut())
            .await
            .map_err(|_| clock.ran_out(&self.running.clocks))?;
        let response = response.map_err(|error| unreachable_fault(&error, &self.running))?;
        self.running.head();
        let (head, body) = http::Response::from(response).into_parts();
        if !head.status.is_success() {
            self.shown.learn(head.status, &head.headers);
        }
        Ok(Answer {
            context: self.context.clone(),
            wire: self.wire,
            status: head.status,
            headers: head.headers,
            whole: self.whole,
            running: self.running,
            body: Body::Http(body),
        })
    }

    /// The provider has the request, or some of it, and the account wants its usage whatever
    /// becomes of the client.
    pub(super) fn is_to_finish(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }
}

/// The request did not get through.
pub(super) fn unreachable_fault(error: &reqwest::Error, running: &Running) -> Fault {
    if error.is_timeout() {
        return Clock::Connect.ran_out(&running.clocks);
    }
    let what = if error.is_connect() {
        "could not be reached"
    } else {
        "broke the connection before it answered"
    };
    Fault::new(Code::UpstreamError, format!("the upstream {what}"))
}

/// A request's body that tells when it is taken to be written: from then on the provider may have
/// it.
struct Watched {
    bytes: Option<Bytes>,
    written: Arc<AtomicBool>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.written.store(true, Ordering::Relaxed);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_is_seen_when_it_goes_out() {
        let written = Arc::new(AtomicBool::new(false));
        let body = Watched {
            bytes: Some(Bytes::from_static(b"{}")),
            written: written.clone(),
        };
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(2), false)
        );
        assert!(!written.load(Ordering::Relaxed));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
        assert!(written.load(Ordering::Relaxed));
    }
}
