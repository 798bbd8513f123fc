//! An answer whose head has arrived.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::{HeaderMap, StatusCode, header};
use tokio::time::timeout_at;

use super::clock::RunningClocks;
use super::closing::Accounting;
use super::recorder::{Recorder, Secrets};
use super::transport::Body;
use crate::hub::Stream;
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::wire::Wire;
use crate::wire::recording::header_line;
use crate::wire::refusal::request_id;

/// Maximum size of an error body that is read, bytes; enough for any message.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// The context of one request to a target.
#[derive(Debug, Clone)]
pub(super) struct AttemptContext {
    pub(super) ask: Arc<Ask>,
    pub(super) stream: Arc<Stream>,
    pub(super) target: Target,
    pub(super) recorder: Recorder,
    /// Secrets to mask in the recording; empty when nothing is recorded.
    pub(super) secrets: Secrets,
}

/// An answer whose head has arrived.
pub(super) struct Answer {
    pub(super) context: AttemptContext,
    pub(super) wire: &'static dyn Wire,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The request asked for one body instead of a stream.
    pub(super) whole: bool,
    pub(super) running: RunningClocks,
    pub(super) body: Body,
}

impl Answer {
    /// Starts a recording if the provider is recorded.
    pub(super) fn start_recording(mut self, accounting: &Accounting) -> Self {
        let Some(record) = &self.context.target.provider.record else {
            return self;
        };
        // A generation may record several answers (retries, failover): number their files.
        let (id, number) = (self.context.stream.id(), accounting.next_recording_number());
        let name = if number > 1 {
            format!("{id}-{number}")
        } else {
            id.to_string()
        };
        let head = header_line(self.wire.id(), self.content_type(), self.status.as_u16());
        match self.context.recorder.start(
            record,
            name,
            head,
            std::mem::take(&mut self.context.secrets),
        ) {
            Some(recording) => Self {
                body: Body::Recorded(Box::new((self.body, recording))),
                ..self
            },
            None => self,
        }
    }

    /// Returns the content type; empty when the head has none.
    pub(super) fn content_type(&self) -> &str {
        self.headers
            .get(header::CONTENT_TYPE)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default()
    }

    /// Returns the request id of the provider.
    pub(super) fn request_id(&self) -> Option<ByteString> {
        request_id(&self.headers).map(ByteString::from)
    }

    /// Reads the error body and returns the fault. The status and headers count even when the body
    /// is cut off or does not come.
    pub(super) async fn refusal(mut self) -> Fault {
        let mut text = BytesMut::new();
        // An error body may hang like any other, so the clocks go on.
        let read = timeout_at(
            self.running.next_expiry().0,
            self.body.collect(&mut text, MAX_REFUSAL_BYTES),
        )
        .await;
        // A body that was cut off may not be valid: use none of it.
        let text = if matches!(read, Ok(Ok(()))) {
            text.freeze()
        } else {
            Bytes::new()
        };
        self.wire.refusal(self.status, &self.headers, &text)
    }
}
