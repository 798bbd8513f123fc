//! Answers that are not streamed: the journal is followed to its end, and folded.

use std::future::poll_fn;

use bytestring::ByteString;
use http::{Response, StatusCode};

use super::reply::Reply;
use super::{headers, status};
use crate::dialect::{self, View};
use crate::hub::{Reader, Step, Stream, expired};
use crate::model::event::Reason;
use crate::model::fault::{Code, Fault};
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// What a journal came to.
struct Whole {
    answer: Answer,
    /// The provider's own body, where it is passed on.
    body: Option<ByteString>,
}

/// Waits for the end and answers with all of it.
///
/// # Errors
/// The failure of the generation; 409 when it was cancelled before anything had come.
pub(super) async fn whole(
    mut reader: Reader,
    dialect: DialectId,
) -> Result<Response<Reply>, Fault> {
    let Whole { answer, body } = follow(&mut reader).await?;
    if let Some(failure) = answer.failure {
        return Err(failure.fault);
    }
    let stream = reader.stream().clone();
    if dialect == DialectId::OpenaiResponses {
        stream.set_end_read();
    }
    let cancelled = answer.reason() == Some(Reason::Cancelled);
    let json = match (dialect, body) {
        (DialectId::Events, _) => status::of(&stream, true),
        (_, Some(body)) if !cancelled => body.into_bytes(),
        _ if cancelled && !answer.has_content() => {
            return Err(Fault::new(
                Code::StreamCancelled,
                "the stream was cancelled before anything had come",
            ));
        }
        _ => dialect::of(dialect).whole(&view(&reader, dialect), &answer),
    };
    let mut response = headers::json(StatusCode::OK, json);
    headers::name_stream(&mut response, &stream);
    Ok(response)
}

async fn follow(reader: &mut Reader) -> Result<Whole, Fault> {
    let mut whole = Whole {
        answer: Answer::default(),
        body: None,
    };
    loop {
        let step = poll_fn(|cx| {
            reader.poll_read(cx, usize::MAX, false, |_, entry| {
                entry
                    .events
                    .iter()
                    .for_each(|event| whole.answer.add(event));
                if let Some(raw) = &entry.raw {
                    whole.body = Some(raw.data.clone());
                }
                0
            })
        });
        match step.await {
            Step::Read => {}
            Step::Ended => return Ok(whole),
            Step::Overtaken => return Err(expired()),
        }
    }
}

/// What this reader sees.
pub(super) fn view(reader: &Reader, dialect: DialectId) -> View {
    view_of(reader.stream(), dialect)
}

/// What any reader of a stream sees.
pub(super) fn view_of(stream: &Stream, dialect: DialectId) -> View {
    View {
        start: stream.start().clone(),
        include_usage: stream.spec().include_usage || dialect != stream.dialect(),
        raw: dialect == stream.dialect() && stream.spec().streamed,
        asked: stream.spec().asked.clone(),
    }
}
