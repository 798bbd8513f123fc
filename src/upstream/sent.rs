//! A request that has been sent, until its response head arrives.

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
use super::clock::{Clock, RunningClocks};
use super::credentials::RequestCredential;
use super::transport::Body;
use crate::model::fault::{Code, Fault};
use crate::model::target::OnCancel;
use crate::wire::Wire;

/// A request in progress.
pub(super) struct SentRequest {
    context: AttemptContext,
    wire: &'static dyn Wire,
    /// The request asks for one body instead of a stream.
    whole: bool,
    running: RunningClocks,
    response: Pin<Box<dyn Future<Output = reqwest::Result<reqwest::Response>> + Send>>,
    written: Arc<AtomicBool>,
    credential: RequestCredential,
}

/// A signed request that is ready to send.
pub(super) struct SignedRequest {
    pub(super) client: reqwest::Client,
    pub(super) request: reqwest::Request,
    /// The same body as in `request`; used to track when it is written.
    pub(super) body: Bytes,
    /// The credential in the request.
    pub(super) credential: RequestCredential,
}

impl SentRequest {
    /// Prepares the request. It is sent when [`Self::head`] is first polled.
    pub(super) fn new(
        context: AttemptContext,
        wire: &'static dyn Wire,
        whole: bool,
        running: RunningClocks,
        signed: SignedRequest,
    ) -> Self {
        let SignedRequest {
            client,
            mut request,
            body,
            credential,
        } = signed;
        let written = Arc::new(AtomicBool::new(false));
        // Only these providers need to know whether the body was written.
        if context.target.provider.on_cancel == OnCancel::Finish {
            *request.body_mut() = Some(reqwest::Body::wrap(TrackedBody {
                bytes: Some(body),
                written: written.clone(),
            }));
        }
        let response = Box::pin(client.execute(request));
        Self {
            context,
            wire,
            whole,
            running,
            response,
            written,
            credential,
        }
    }

    /// Waits for the response head. It can be cancelled and called again.
    pub(super) async fn head(&mut self) -> Result<Answer, Fault> {
        let (at, clock) = self.running.next_expiry();
        let response = timeout_at(at, self.response.as_mut())
            .await
            .map_err(|_| clock.timeout_fault(&self.running.clocks))?;
        let response = response.map_err(|error| send_fault(&error, &self.running))?;
        self.running.head_received();
        let (head, body) = http::Response::from(response).into_parts();
        if !head.status.is_success() {
            // Only an error response can tell that the credential is bad.
            self.credential.record_response(head.status, &head.headers);
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

    /// Returns true when the answer must be read on after a cancel: the provider may have the
    /// request, and it is configured to be read to the end.
    pub(super) fn is_to_finish(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }
}

/// Returns the fault of a request that got no response.
pub(super) fn send_fault(error: &reqwest::Error, running: &RunningClocks) -> Fault {
    // `connect` is the only timeout configured in the HTTP client.
    if error.is_timeout() {
        return Clock::Connect.timeout_fault(&running.clocks);
    }
    let what = if error.is_connect() {
        "could not be reached"
    } else {
        "closed or reset the connection before it answered"
    };
    Fault::new(Code::UpstreamError, format!("the upstream {what}"))
}

/// A request body that records when it is taken to be written. From then on the provider may have
/// the request.
struct TrackedBody {
    bytes: Option<Bytes>,
    written: Arc<AtomicBool>,
}

impl http_body::Body for TrackedBody {
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
    async fn a_body_records_when_it_is_written() {
        let written = Arc::new(AtomicBool::new(false));
        let body = TrackedBody {
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
