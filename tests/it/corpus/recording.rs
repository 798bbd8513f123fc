//! Recordings of the corpus and the payloads in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;

use crate::rig::sse::Event;
use crate::rig::{Dialect, WireId, wires};

/// Folders of the corpus, their wires and default content types.
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
    /// Name of its folder.
    pub name: String,
    /// Folder of its wire.
    pub folder: String,
    /// Its wire.
    pub wire: WireId,
    /// Its content type.
    pub content_type: String,
    /// True for a recording from the repository.
    pub own: bool,
    /// Its bytes.
    pub body: Bytes,
    /// The expected answer, computed by an independent fold.
    pub expected: Value,
}

/// A recorded HTTP error.
pub struct Refusal {
    /// Name of its folder.
    pub name: String,
    /// The wire on which it was recorded.
    pub wire: WireId,
    /// Its status.
    pub status: u16,
    /// Its bytes.
    pub body: Bytes,
}

/// Returns the recorded errors under `root` for the tested wires.
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

/// Returns all recordings under `root`; `own` marks them as the repository's.
pub fn under(root: &Path, own: bool) -> Vec<Recording> {
    let wanted = wires();
    let folders = FOLDERS.iter().filter(|(_, wire, _)| wanted.contains(wire));
    folders
        .flat_map(|(folder, wire, usual)| {
            read_folder(&root.join(folder), own, folder, *wire, usual)
        })
        .collect()
}

fn read_folder(path: &Path, own: bool, folder: &str, wire: WireId, usual: &str) -> Vec<Recording> {
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
    /// Returns true if the answer is a failure: it contains an error, or ends before it is
    /// complete.
    pub fn fails(&self) -> bool {
        let field = |name: &str| !self.expected[name].is_null();
        let ended =
            self.expected["terminated"] == true || field("finish_reason") || field("block_reason");
        field("error") || !ended
    }

    /// Returns the number of requested choices.
    pub fn choices(&self) -> usize {
        self.expected["choices"].as_array().map_or(1, Vec::len)
    }

    /// Returns the difference if a client of the wire's own dialect did not receive every payload
    /// unchanged.
    pub fn payload_difference(&self, dialect: Dialect, events: &[Event]) -> Option<String> {
        let mut received: Vec<&str> = events.iter().map(|it| it.data.as_str()).collect();
        if matches!(dialect, Dialect::Messages | Dialect::Responses) {
            // Some servers send no event names, or different ones.
            if let Some(event) = events
                .iter()
                .find(|it| it.json()["type"] != it.name.as_str() && dialect == Dialect::Messages)
            {
                return Some(format!(
                    "the payload {} has the event name {:?}",
                    event.data, event.name
                ));
            }
        } else if !self.fails() && received.pop() != Some("[DONE]") {
            return Some("no [DONE] after a success".into());
        }
        let is_error = |it: &&str| {
            if dialect == Dialect::Responses {
                is_failure(it)
            } else {
                it.contains("\"error\"")
            }
        };
        if self.fails() && !received.last().is_some_and(is_error) {
            return Some("a failure without an error".into());
        }
        let sent = payloads(&self.body);
        // The proxy may add the error event and the event that closes an open block before it.
        let ours = received.len().saturating_sub(sent.len());
        let may_be_ours = if !self.fails() {
            0
        } else if dialect == Dialect::Messages {
            2
        } else if dialect == Dialect::Responses {
            // Closing events of open items.
            8
        } else {
            1
        };
        // An upstream may send `response.failed` after its error event; the proxy does not have to
        // pass that on.
        let needed = sent
            .iter()
            .position(|it| dialect == Dialect::Responses && is_failure(it))
            .map_or(sent.len(), |at| at + 1);
        let same = received.len() >= needed
            && ours <= may_be_ours
            && received
                .iter()
                .zip(&sent)
                .all(|(received, sent)| received == sent);
        let first = received
            .iter()
            .zip(&sent)
            .position(|(received, sent)| received != sent);
        (!same).then(|| {
            format!(
                "{} payloads became {}; the first that differs: {first:?}",
                sent.len(),
                received.len()
            )
        })
    }
}

/// Returns true for a Responses payload that ends the response as failed.
fn is_failure(payload: &str) -> bool {
    let event: Value = serde_json::from_str(payload).unwrap();
    matches!(event["type"].as_str(), Some("error" | "response.failed"))
}

/// Returns the JSON payloads of an SSE body, parsed as the standard says.
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

/// A small seeded random number generator.
pub struct Rng(u64);

impl Rng {
    /// Creates a generator from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `end` (splitmix64).
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// Returns an offset into a sequence of this length.
    pub fn offset(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// Returns and prints the seed of this run: `SLUICEGATE_SEED`, or a different one each time.
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
