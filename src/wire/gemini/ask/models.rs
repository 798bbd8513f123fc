//! Facts in the names of models: the path of a request, and the differences between generations.

use std::fmt::Write as _;

/// Returns the path of a request that calls `method` of a model. A name without a collection is put
/// under `models/`; `tunedModels/` is the other collection.
pub(super) fn path(model: &str, method: &str) -> String {
    let (folder, name) = match model.split_once('/') {
        Some((folder @ ("models" | "tunedModels"), name)) => (folder, name),
        _ => ("models", model),
    };
    let mut path = format!("/{folder}/");
    // The name may come from the client: percent-encode every byte that could end or leave its
    // path segment.
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let written = write!(path, "%{byte:02X}");
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
    }
    path.push(':');
    path.push_str(method);
    path
}

/// Returns true for models that reject function calls without a signature: Gemini 3 and later.
pub(super) fn require_signatures(model: &str) -> bool {
    base_name(model).starts_with("gemini-") && !reject_levels(model)
}

/// Returns true for models that reject thinking levels: those before Gemini 3.
pub(super) fn reject_levels(model: &str) -> bool {
    let name = base_name(model);
    name.starts_with("gemini-1") || name.starts_with("gemini-2")
}

fn base_name(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_name_cannot_leave_its_path_segment() {
        for (model, expected) in [
            ("gemini-3.5-flash", "/models/gemini-3.5-flash:m?a=b"),
            ("models/x", "/models/x:m?a=b"),
            ("tunedModels/my-1", "/tunedModels/my-1:m?a=b"),
            (
                "../x?a#b:c %é",
                "/models/..%2Fx%3Fa%23b%3Ac%20%25%C3%A9:m?a=b",
            ),
        ] {
            assert_eq!(path(model, "m?a=b"), expected);
        }
    }

    #[test]
    fn generations_differ() {
        for (model, signatures, levels) in [
            ("gemini-3.5-flash", true, true),
            ("models/gemini-2.5-pro", false, false),
            ("gemini-1.5-flash", false, false),
            ("learnlm-2", false, true),
        ] {
            assert_eq!(require_signatures(model), signatures, "{model}");
            assert_eq!(reject_levels(model), !levels, "{model}");
        }
    }
}
