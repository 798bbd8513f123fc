//! Encodes a signature and the wire that made it in one string, for APIs that have a field for
//! opaque strings but none for their origin.
//!
//! The string is `sluicegate:<wire>:<base64url of JSON>`. No provider made it, so that it must
//! never be sent to one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::event::Signature;
use super::wire::WireId;

const PREFIX: &str = "sluicegate:";

/// A signature or an encrypted block, and the wire that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueSignature {
    /// The wire that made it.
    pub wire: WireId,
    /// The signature or block.
    pub data: SignatureData,
}

/// The encoded data.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignatureData {
    /// A signature.
    pub signature: Option<String>,
    /// An encrypted block.
    pub redacted: Option<String>,
    /// True if the signature belongs to the text before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_text: bool,
    /// The id of the tool call that the signature belongs to.
    pub call: Option<String>,
}

impl OpaqueSignature {
    /// Wraps a signature or an encrypted block.
    #[must_use]
    pub fn new(it: &Signature) -> Self {
        let text = |it: &Option<ByteString>| it.as_ref().map(ToString::to_string);
        let data = SignatureData {
            signature: text(&it.signature),
            redacted: text(&it.redacted),
            on_text: it.on_text,
            call: None,
        };
        Self {
            wire: it.wire,
            data,
        }
    }

    /// Wraps the signature of a tool call that `wire` has made.
    #[must_use]
    pub fn for_call(id: &str, signature: &str, wire: WireId) -> Self {
        let data = SignatureData {
            signature: Some(signature.to_owned()),
            call: Some(id.to_owned()),
            ..SignatureData::default()
        };
        Self { wire, data }
    }

    /// Encodes to the opaque string.
    #[must_use]
    pub fn encode(&self) -> String {
        let json = serde_json::to_string(&self.data).expect("strings and booleans are always JSON");
        format!(
            "{PREFIX}{}:{}",
            self.wire.name(),
            URL_SAFE_NO_PAD.encode(json)
        )
    }

    /// Decodes an opaque string. Returns `None` if it has another form or was changed by the
    /// client.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let (wire, data) = text.strip_prefix(PREFIX)?.split_once(':')?;
        let json = URL_SAFE_NO_PAD.decode(data).ok()?;
        Some(Self {
            wire: WireId::from_name(wire)?,
            data: serde_json::from_slice(&json).ok()?,
        })
    }
}

/// Returns true for a string made here, even if it was changed since.
#[must_use]
pub fn is_opaque_signature(text: &str) -> bool {
    text.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_and_decoding_gives_the_same_signature() {
        for data in [
            SignatureData {
                signature: Some("c2ln+/=\u{2028}".into()),
                ..SignatureData::default()
            },
            SignatureData {
                redacted: Some("é\n".into()),
                signature: Some(String::new()),
                ..SignatureData::default()
            },
            SignatureData {
                signature: Some("s".into()),
                on_text: true,
                call: Some("call:1".into()),
                ..SignatureData::default()
            },
        ] {
            let opaque = OpaqueSignature {
                wire: WireId::OpenaiResponses,
                data,
            };
            let text = opaque.encode();
            assert!(
                is_opaque_signature(&text)
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b":-_".contains(&b)),
                "{text}"
            );
            assert_eq!(OpaqueSignature::decode(&text), Some(opaque));
        }
    }

    #[test]
    fn foreign_and_changed_strings_are_not_decoded() {
        let good = OpaqueSignature {
            wire: WireId::Gemini,
            data: SignatureData::default(),
        }
        .encode();
        assert_eq!(good, "sluicegate:gemini:e30");
        for text in [
            "",
            "c2ln",
            "sluicegate:",
            "sluicegate:gemini",
            "sluicegate:nobody:e30",
            "sluicegate:gemini:e3",
        ] {
            assert_eq!(OpaqueSignature::decode(text), None, "{text}");
            assert_eq!(is_opaque_signature(text), text.starts_with("sluicegate:"));
        }
    }
}
