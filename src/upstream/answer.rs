//! An answer as it begins: what its head says of the body that is to come.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::{HeaderMap, StatusCode, header};
use tokio::time::timeout_at;

use super::clock::Running;
use super::closing::Accounting;
use super::live::Live;
use super::recorder::{Recorder, Secrets};
use super::transport::Body;
use super::whole::Whole;
use crate::hub::Stream;
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::wire::Wire;
use crate::wire::recording::header_line;
use crate::wire::refusal::request_id;

/// A refusal's body that is read, at the most: enough for any message.
const REFUSAL_BYTES: usize = 64 * 1024;

/// What a request is about.
#[derive(Debug, Clone)]
pub(super) struct AttemptContext {
    pub(super) ask: Arc<Ask>,
    pub(super) stream: Arc<Stream>,
    pub(super) target: Target,
    pub(super) recorder: Recorder,
    /// What must not be recorded; empty where nothing is.
    pub(super) secrets: Secrets,
}

/// An answer as it begins.
pub(super) struct Answer {
    pub(super) context: AttemptContext,
    pub(super) wire: &'static dyn Wire,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// It comes as one body, not as a stream.
    pub(super) whole: bool,
    pub(super) running: Running,
    pub(super) body: Body,
}

/// What an answer is.
pub(super) enum Received {
    Stream(Box<Live>),
    Whole(Box<Whole>),
    Refused(Box<Answer>),
}

impl Answer {
    /// Takes the answer for what its head says it is, and has it recorded where its account wants
    /// that.
    pub(super) fn receive(self, accounting: &mut Accounting) -> Received {
        let answer = self.recorded(accounting);
        if !answer.status.is_success() {
            Received::Refused(Box::new(answer))
        } else if answer.whole {
            Received::Whole(Box::new(Whole::new(answer)))
        } else {
            Received::Stream(Box::new(Live::new(answer)))
        }
    }

    fn recorded(mut self, accounting: &Accounting) -> Self {
        let Some(record) = &self.context.target.provider.record else {
            return self;
        };
        let (id, number) = (self.context.stream.id(), accounting.recorded());
        let name = if number > 1 {
            format!("{id}-{number}")
        } else {
            id.to_string()
        };
        let head = header_line(self.wire.id(), self.content_type(), self.status.as_u16());
        match self.context.recorder.tape(
            record,
            name,
            head,
            std::mem::take(&mut self.context.secrets),
        ) {
            Some(tape) => Self {
                body: Body::Taped(Box::new((self.body, tape))),
                ..self
            },
            None => self,
        }
    }

    /// The body's type; empty where the head says none.
    pub(super) fn content_type(&self) -> &str {
        self.headers
            .get(header::CONTENT_TYPE)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default()
    }

    /// The provider's request id.
    pub(super) fn request_id(&self) -> Option<ByteString> {
        request_id(&self.headers).map(ByteString::from)
    }

    /// What a refusal means. One whose body breaks off or does not come is a refusal all the same.
    pub(super) async fn refusal(mut self) -> Fault {
        let mut text = BytesMut::new();
        let read = timeout_at(
            self.running.next().0,
            collect(&mut self.body, &mut text, REFUSAL_BYTES),
        )
        .await;
        let text = if matches!(read, Ok(Ok(()))) {
            text.freeze()
        } else {
            Bytes::new()
        };
        self.wire.refusal(self.status, &self.headers, &text)
    }
}

/// Reads a body to its end, if it is not too large. Whoever stops may go on later: nothing that was
/// read is lost.
pub(super) async fn collect(
    body: &mut Body,
    into: &mut BytesMut,
    most: usize,
) -> Result<(), Fault> {
    while let Some(chunk) = body.chunk().await {
        let chunk = chunk?;
        if into.len() + chunk.len() > most {
            return Err(Fault::new(
                Code::UpstreamError,
                format!("the upstream's answer is larger than {most} bytes"),
            ));
        }
        into.extend_from_slice(&chunk);
    }
    Ok(())
}
