//! Answers that are not streamed: the journal is followed to its end and folded.

use std::future::poll_fn;

use bytestring::ByteString;
use http::{Response, StatusCode};

use super::reply::Reply;
use super::view::reader_view;
use super::{headers, status};
use crate::dialect;
use crate::hub::{ReadStep, Reader, replay_expired};
use crate::model::event::Reason;
use crate::model::fault::{Code, Fault};
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// The result of reading a whole journal.
struct Folded {
    answer: Answer,
    /// The provider's own body, if it is passed on.
    body: Option<ByteString>,
}

/// Waits for the end of the stream and returns the whole answer.
///
/// # Errors
/// The failure of the generation; 409 if it was cancelled before any content.
pub(super) async fn whole(
    mut reader: Reader,
    dialect: DialectId,
) -> Result<Response<Reply>, Fault> {
    let Folded { answer, body } = read_to_end(&mut reader).await?;
    if let Some(failure) = answer.failure {
        return Err(failure.fault);
    }
    let stream = reader.stream().clone();
    // With `store: false` a response is forgotten once its reader has received the end.
    let profile = dialect::of(dialect).profile();
    if profile.whole_is_read_to_end {
        stream.set_read_to_end();
    }
    let cancelled = answer.reason() == Some(Reason::Cancelled);
    let json = match body {
        _ if profile.whole_is_status => status::stream_json(&stream, true),
        // A cancelled answer must be marked as such, which a provider's own body is not.
        Some(body) if !cancelled => body.into_bytes(),
        _ if cancelled && !answer.has_content() => {
            return Err(Fault::new(
                Code::StreamCancelled,
                "the stream was cancelled before it had any content",
            ));
        }
        _ => dialect::of(dialect).whole(&reader_view(&reader, dialect), &answer),
    };
    let mut response = headers::json(StatusCode::OK, json);
    headers::add_stream_headers(&mut response, &stream);
    Ok(response)
}

async fn read_to_end(reader: &mut Reader) -> Result<Folded, Fault> {
    let mut folded = Folded {
        answer: Answer::default(),
        body: None,
    };
    loop {
        let step = poll_fn(|cx| {
            // Unbounded: nothing is sent before the end, so no write has to be bounded.
            reader.poll_read(cx, usize::MAX, false, |_, entry| {
                entry
                    .events
                    .iter()
                    .for_each(|event| folded.answer.add(event));
                if let Some(raw) = &entry.raw {
                    folded.body = Some(raw.data.clone());
                }
                0
            })
        });
        match step.await {
            ReadStep::Read => {}
            ReadStep::Ended => return Ok(folded),
            // Entries were evicted before this reader could fold them: no complete answer is
            // possible.
            ReadStep::Overtaken => return Err(replay_expired()),
        }
    }
}
