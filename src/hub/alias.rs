//! Ids that a provider gave: clients that receive its payloads unchanged know no other ids, and come
//! back with them.

/// Maximum length of an id, bytes.
const MAX_ID_BYTES: usize = 128;
/// Maximum number of payloads searched for the id of the response: it is in the first, and a server
/// that has not sent it by then never will.
pub(super) const MAX_PAYLOADS: u8 = 8;

/// Returns true for an id that may be a key in the hub's maps: visible ASCII of bounded length.
pub(super) fn is_valid(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_and_visible() {
        for id in ["resp_1", "a/b", &"x".repeat(MAX_ID_BYTES)] {
            assert!(is_valid(id), "{id}");
        }
        for id in ["", "a b", "ä", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(!is_valid(id), "{id}");
        }
    }
}
