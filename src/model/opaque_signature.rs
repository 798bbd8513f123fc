//! What a wire wants back, in one string: for clients whose API has a place for opaque strings, and
//! none to say who made them.
//!
//! `sluicegate:<wire>:<base64url of JSON>` says it all by itself: the wire that made it, and what
//! it was. Such strings are ours alone: no provider made them, so none may be sent one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::wire::WireId;

const MARK: &str = "sluicegate:";

/// A signature or an encrypted block, and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueSignature {
    /// The wire that made it.
    pub wire: WireId,
    /// What it is.
    pub kept: Kept,
}

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// A signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// A block that came encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// True where the signature is that of the text before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_text: bool,
    /// The tool call that the signature is of, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

impl OpaqueSignature {
    /// The string.
    #[must_use]
    pub fn wrap(&self) -> String {
        let json = serde_json::to_string(&self.kept).expect("strings and booleans are always JSON");
        format!(
            "{MARK}{}:{}",
            self.wire.name(),
            URL_SAFE_NO_PAD.encode(json)
        )
    }

    /// What a string of ours says; `None` where it is not one, or was changed on its way.
    #[must_use]
    pub fn unwrap(text: &str) -> Option<Self> {
        let (wire, kept) = text.strip_prefix(MARK)?.split_once(':')?;
        let json = URL_SAFE_NO_PAD.decode(kept).ok()?;
        Some(Self {
            wire: WireId::named(wire)?,
            kept: serde_json::from_slice(&json).ok()?,
        })
    }
}

/// True for a string of ours, whole or not.
#[must_use]
pub fn is_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        for kept in [
            Kept {
                signature: Some("c2ln+/=\u{2028}".into()),
                ..Kept::default()
            },
            Kept {
                redacted: Some("é\n".into()),
                signature: Some(String::new()),
                ..Kept::default()
            },
            Kept {
                signature: Some("s".into()),
                on_text: true,
                call: Some("call:1".into()),
                ..Kept::default()
            },
        ] {
            let opaque = OpaqueSignature {
                wire: WireId::OpenaiResponses,
                kept,
            };
            let text = opaque.wrap();
            assert!(
                is_ours(&text)
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b":-_".contains(&b)),
                "{text}"
            );
            assert_eq!(OpaqueSignature::unwrap(&text), Some(opaque));
        }
    }

    #[test]
    fn what_is_not_ours_or_was_changed_says_nothing() {
        let good = OpaqueSignature {
            wire: WireId::Gemini,
            kept: Kept::default(),
        }
        .wrap();
        assert_eq!(good, "sluicegate:gemini:e30");
        for text in [
            "",
            "c2ln",
            "sluicegate:",
            "sluicegate:gemini",
            "sluicegate:nobody:e30",
            "sluicegate:gemini:e3",
        ] {
            assert_eq!(OpaqueSignature::unwrap(text), None, "{text}");
            assert_eq!(is_ours(text), text.starts_with("sluicegate:"));
        }
    }
}
