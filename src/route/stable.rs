//! A hash that is the same for the same content in every build and on every machine, so that all
//! instances that share the traffic, old and new ones, send a conversation to the same target.
//!
//! It is the first eight bytes, big endian, of the SHA-256 of all fields, each preceded by its
//! length in eight bytes, big endian. Changing it moves every conversation once, away from its
//! prompt cache.

use sha2::{Digest as _, Sha256};

/// A stable hash to which fields are added.
#[derive(Default)]
pub struct StableHash(Sha256);

impl StableHash {
    /// Adds a field.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        // The length keeps fields apart: `abc`, `d` differs from `ab`, `cd`.
        self.0
            .update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(bytes);
    }

    /// Returns the hash of the added fields.
    #[must_use]
    pub fn hash(self) -> u64 {
        let digest: [u8; 32] = self.0.finalize().into();
        digest
            .iter()
            .take(8)
            .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: &[&str]) -> u64 {
        let mut stable = StableHash::default();
        fields.iter().for_each(|field| stable.field(field));
        stable.hash()
    }

    #[test]
    fn the_hash_never_changes() {
        // printf '\0\0\0\0\0\0\0\3abc\0\0\0\0\0\0\0\1d' | sha256sum
        assert_eq!(hash(&["abc", "d"]), 0xdd36_d2bb_d52a_75ae);
        assert_eq!(hash(&[]), 0xe3b0_c442_98fc_1c14);
    }

    #[test]
    fn fields_do_not_run_together() {
        assert_ne!(hash(&["abc", "d"]), hash(&["ab", "cd"]));
        assert_ne!(hash(&["abc", ""]), hash(&["abc"]));
    }
}
