//! Recorded upstream errors from `errors/` in the corpus.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::Refusal;
use crate::corpus::corpus;
use crate::rig::WireId;

/// Returns the recorded errors of this wire; empty without a corpus.
pub fn all(wire: WireId) -> Vec<Refusal> {
    let (path, _) = corpus();
    let Ok(entries) = fs::read_dir(path.join("errors")) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let meta: Value =
            serde_json::from_slice(&fs::read(path.join("meta.json")).unwrap()).unwrap();
        let mut headers = Vec::new();
        for (field, name) in [
            ("content_type", "content-type"),
            ("x_amzn_errortype", "x-amzn-errortype"),
        ] {
            headers.extend(
                meta[field]
                    .as_str()
                    .map(|value| (name.to_owned(), value.to_owned())),
            );
        }
        let refusal = || Refusal {
            name: meta["name"].as_str().unwrap().to_owned(),
            status: u16::try_from(meta["status"].as_u64().unwrap()).unwrap(),
            headers,
            body: fs::read(path.join("body")).unwrap().into(),
        };
        (wire_from(&meta) == wire).then(refusal)
    };
    paths.iter().filter_map(read).collect()
}

/// Returns the wire on which an error was recorded, or the provider's usual wire if that is
/// unknown.
fn wire_from(meta: &Value) -> WireId {
    match meta["for_wire"]
        .as_str()
        .or(meta["provider"].as_str())
        .unwrap()
    {
        "openai-responses" => WireId::OpenaiResponses,
        "anthropic-messages" => WireId::Anthropic,
        "google-aistudio" | "google-vertex" | "gemini" => WireId::Gemini,
        "aws-bedrock" | "bedrock-converse" => WireId::Bedrock,
        "ollama-chat" => WireId::Ollama,
        "cohere-v1" | "cohere-v2" => WireId::Cohere,
        _ => WireId::OpenaiChat,
    }
}
