//! The built-in upstream: answers with a recording from a file as if the provider answered again.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::IgnoredAny;

use super::answer::{Answer, AttemptContext};
use super::clock::RunningClocks;
use super::player::Player;
use super::transport::Body;
use crate::model::fault::{Code, Fault};
use crate::model::target::Replay;
use crate::wire;
use crate::wire::recording::{self, Recording, SIZE_BOUND};

/// Returns the answer in the recording that the model names.
///
/// # Errors
/// Returns 404 `model_not_found` when the model is no valid file name or the file does not exist,
/// and 502 when the file is no valid recording.
pub(super) async fn answer(replay: &Replay, context: AttemptContext) -> Result<Answer, Fault> {
    let Recording {
        wire,
        content_type,
        status,
        chunks,
    } = load(replay, &context.target.model).await?;
    // A recording does not store how it was requested: its body decides.
    let whole = is_json(&content_type) && is_one_object(&chunks);
    let clocks = context.target.provider.clocks;
    let mut running = if whole {
        RunningClocks::for_whole_answer(clocks)
    } else {
        RunningClocks::start(clocks)
    };
    running.head_received();
    Ok(Answer {
        context,
        wire: wire::for_id(wire),
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
        headers: HeaderMap::from_iter(
            HeaderValue::try_from(content_type).map(|value| (header::CONTENT_TYPE, value)),
        ),
        whole,
        running,
        body: Body::Replay(Player::new(chunks, replay.pace)),
    })
}

/// Loads the recording that the model names.
async fn load(replay: &Replay, model: &str) -> Result<Recording, Fault> {
    let unknown = || {
        Fault::new(
            Code::ModelNotFound,
            format!("no recording `{model}`: use the name of a file in the replay folder"),
        )
        .with_param("model")
    };
    let name = recording::file_name(model).ok_or_else(unknown)?;
    let path = replay.dir.join(name);
    // File I/O would block the worker.
    let recording = tokio::task::spawn_blocking(move || read(path))
        .await
        .map_err(|_| {
            Fault::new(
                Code::InternalError,
                "the task that reads a recording failed",
            )
        })?;
    recording
        .ok_or_else(unknown)?
        .map_err(|error| Fault::new(Code::UpstreamError, format!("recording `{name}`: {error}")))
}

/// Reads a recording, up to the maximum size; `None` when the file does not exist or cannot be
/// read.
fn read(path: PathBuf) -> Option<Result<Recording, recording::RecordingError>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        // One byte more than allowed, so that the parser can tell that the file is too large.
        .take(SIZE_BOUND as u64 + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(Recording::parse(&bytes))
}

fn is_json(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}

/// Returns true when the body is one JSON object, and so was not a stream. Streams with a JSON
/// content type contain events, lines or an array.
fn is_one_object(chunks: &[recording::Chunk]) -> bool {
    let body: Vec<u8> = chunks
        .iter()
        .flat_map(|chunk| chunk.bytes.iter().copied())
        .collect();
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(&body).is_ok()
}
