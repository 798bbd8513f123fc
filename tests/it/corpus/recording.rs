//! Recordings as they lie in their folders, and the payloads in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;

use crate::rig::sse::Event;
use crate::rig::{Speech, WireId, wires};

/// The folders of wires that are spoken.
const FOLDERS: [(&str, WireId, &str); 8] = [
    ("openai-chat", WireId::OpenaiChat, "text/event-stream"),
    (
        "openai-responses",
        WireId::OpenaiResponses,
        "text/event-stream",
    ),
    ("anthropic-messages", WireId::Anthropic, "text/event-stream"),
    ("gemini", WireId::Gemini, "text/event-stream"),
    ("gemini-json-array", WireId::Gemini, "application/json"),
    (
        "bedrock-converse",
        WireId::Bedrock,
        "application/vnd.amazon.eventstream",
    ),
    ("ollama-chat", WireId::Ollama, "application/x-ndjson"),
    ("cohere-v2", WireId::Cohere, "text/event-stream"),
];

/// One recorded answer.
pub struct Recording {
    /// Its folder's name.
    pub name: String,
    /// The folder of its wire.
    pub folder: String,
    /// Its wire.
    pub wire: WireId,
    /// Its content type.
    pub content_type: String,
    /// It is one of the repository's.
    pub own: bool,
    /// Its bytes.
    pub body: Bytes,
    /// What it says, by an independent fold.
    pub expected: Value,
}

/// A recorded HTTP error.
pub struct Refusal {
    /// Its folder's name.
    pub name: String,
    /// The wire it was an answer on.
    pub wire: WireId,
    /// Its status.
    pub status: u16,
    /// Its bytes.
    pub body: Bytes,
}

/// The recorded errors under `root`, of the wires that are spoken.
pub fn refusals(root: &Path) -> Vec<Refusal> {
    let wanted = wires();
    let read = |path: PathBuf| {
        let meta: Value =
            serde_json::from_slice(&fs::read(path.join("meta.json")).unwrap()).unwrap();
        let wire = FOLDERS
            .iter()
            .find(|(folder, ..)| meta["for_wire"] == *folder)?
            .1;
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let status = u16::try_from(meta["status"].as_u64().unwrap()).unwrap();
        Some(Refusal {
            name,
            wire,
            status,
            body: fs::read(path.join("body")).unwrap().into(),
        })
    };
    let entries = fs::read_dir(root.join("errors")).into_iter().flatten();
    entries
        .filter_map(|it| read(it.unwrap().path()))
        .filter(|it| wanted.contains(&it.wire))
        .collect()
}

/// All recordings under `root`, which is the repository's own or is not.
pub fn under(root: &Path, own: bool) -> Vec<Recording> {
    let wanted = wires();
    let folders = FOLDERS.iter().filter(|(_, wire, _)| wanted.contains(wire));
    folders
        .flat_map(|(folder, wire, usual)| of_wire(&root.join(folder), own, folder, *wire, usual))
        .collect()
}

fn of_wire(path: &Path, own: bool, folder: &str, wire: WireId, usual: &str) -> Vec<Recording> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    paths.sort();
    let read = |path: &Path| {
        let json = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(path.join(name)).unwrap()).unwrap()
        };
        Recording {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            folder: folder.to_owned(),
            wire,
            own,
            content_type: json("meta.json")["content_type"]
                .as_str()
                .unwrap_or(usual)
                .to_owned(),
            body: fs::read(path.join("body")).unwrap().into(),
            expected: json("expected.json"),
        }
    };
    paths.iter().map(|path| read(path)).collect()
}

impl Recording {
    /// True where the answer is a failure: it says so, or it ends before it is complete.
    pub fn fails(&self) -> bool {
        let field = |name: &str| !self.expected[name].is_null();
        let ended =
            self.expected["terminated"] == true || field("finish_reason") || field("block_reason");
        field("error") || !ended
    }

    /// How many choices were asked for.
    pub fn choices(&self) -> usize {
        self.expected["choices"].as_array().map_or(1, Vec::len)
    }

    /// Where a client of the same dialect did not get every payload as it was: what is different.
    pub fn unchanged(&self, speech: Speech, events: &[Event]) -> Option<String> {
        let mut got: Vec<&str> = events.iter().map(|it| it.data.as_str()).collect();
        if matches!(speech, Speech::Messages | Speech::Responses) {
            // Some servers name no events, or other ones.
            if let Some(event) = events
                .iter()
                .find(|it| it.json()["type"] != it.name.as_str() && speech == Speech::Messages)
            {
                return Some(format!(
                    "the payload {} goes under the name {:?}",
                    event.data, event.name
                ));
            }
        } else if !self.fails() && got.pop() != Some("[DONE]") {
            return Some("no [DONE] after a success".into());
        }
        let is_error = |it: &&str| {
            if speech == Speech::Responses {
                is_failure(it)
            } else {
                it.contains("\"error\"")
            }
        };
        if self.fails() && !got.last().is_some_and(is_error) {
            return Some("a failure without an error".into());
        }
        let sent = payloads(&self.body);
        // The error, and what ends a block before it.
        let ours = got.len().saturating_sub(sent.len());
        let may_be_ours = if !self.fails() {
            0
        } else if speech == Speech::Messages {
            2
        } else if speech == Speech::Responses {
            // Items that were open.
            8
        } else {
            1
        };
        // Behind an error of its own an upstream may say that it has failed: that need not come.
        let needed = sent
            .iter()
            .position(|it| speech == Speech::Responses && is_failure(it))
            .map_or(sent.len(), |at| at + 1);
        let same = got.len() >= needed
            && ours <= may_be_ours
            && got.iter().zip(&sent).all(|(got, sent)| got == sent);
        let first = got.iter().zip(&sent).position(|(got, sent)| got != sent);
        (!same).then(|| {
            format!(
                "{} payloads became {}; the first that differs: {first:?}",
                sent.len(),
                got.len()
            )
        })
    }
}

/// True for a payload of the Responses API that ends a response as one that failed.
fn is_failure(payload: &str) -> bool {
    let event: Value = serde_json::from_str(payload).unwrap();
    matches!(event["type"].as_str(), Some("error" | "response.failed"))
}

/// The JSON payloads of an SSE body, as the standard reads it.
fn payloads(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let data = |block: &str| {
        let value = |line: &str| {
            line.strip_prefix("data:")
                .map(|it| it.strip_prefix(' ').unwrap_or(it).to_owned())
        };
        block
            .lines()
            .filter_map(value)
            .collect::<Vec<_>>()
            .join("\n")
    };
    text.split("\n\n")
        .map(data)
        .filter(|it| it.starts_with(['{', '[']))
        .filter(|it| serde_json::from_str::<Value>(it).is_ok())
        .collect()
}

/// A small source of numbers that can be repeated.
pub struct Dice(u64);

impl Dice {
    /// The numbers that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (splitmix64).
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// A place in something of that length.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// The seed of this run, told so that it can be repeated: `SLUICEGATE_SEED`, else one that is
/// different every time.
pub fn seed() -> u64 {
    let any = || {
        u64::from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .subsec_nanos(),
        )
    };
    let seed =
        std::env::var("SLUICEGATE_SEED").map_or_else(|_| any(), |text| text.parse().unwrap());
    println!("SLUICEGATE_SEED={seed}");
    seed
}
