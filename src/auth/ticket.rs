//! Tickets: short-lived rights to one stream, for clients without a key.
//!
//! Invariants: a ticket carries an HMAC over stream, caller, rights, origin and expiry, which is
//! compared in constant time before any field is used. A ticket contains only a keyed digest of its
//! caller, because tickets appear in URLs. A valid ticket does not imply that its stream still
//! exists or that its caller is still accepted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::model::ids::{CallerId, StreamId};

/// Maximum length of a ticket, bytes of its text.
const MAX_TICKET: usize = 1024;
/// Maximum length of an origin, bytes. A host name has at most 253.
pub const MAX_ORIGIN: usize = 300;
/// Version of the ticket format, the first byte of each ticket.
const VERSION: u8 = 1;
const READ: u8 = 1;
const CANCEL: u8 = 2;
/// Lengths in bytes: the caller's digest, the signature, and a stream's id.
const TAG: usize = 16;
const SIGNATURE: usize = 32;
const STREAM_ID: usize = 26;

/// The rights of a ticket's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Read the stream's status and follow the stream.
    pub read: bool,
    /// Cancel the stream.
    pub cancel: bool,
}

/// A verified ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The stream that the ticket is valid for.
    pub stream: StreamId,
    /// The rights of the ticket's holder.
    pub rights: Rights,
    /// The only origin whose pages may use the ticket; `None` allows every origin.
    pub origin: Option<String>,
    caller: [u8; TAG],
}

/// Issues and verifies tickets.
#[derive(Debug)]
pub(super) struct Tickets {
    key: SecretString,
}

impl Tickets {
    /// Uses the `shared` secret of several instances, or generates a secret for this process.
    pub(super) fn new(shared: Option<&SecretString>) -> Self {
        let random = || {
            let mut key = [0u8; 32];
            getrandom::fill(&mut key).expect("the operating system gives random bytes");
            SecretString::from(URL_SAFE_NO_PAD.encode(key))
        };
        Self {
            key: shared.cloned().unwrap_or_else(random),
        }
    }

    /// Returns the text of a ticket that is valid until `ends`.
    pub(super) fn issue(
        &self,
        caller: &CallerId,
        stream: &StreamId,
        rights: Rights,
        origin: Option<&str>,
        ends: SystemTime,
    ) -> String {
        let mut bytes = vec![
            VERSION,
            if rights.read { READ } else { 0 } | if rights.cancel { CANCEL } else { 0 },
        ];
        bytes.extend(
            ends.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
                .to_be_bytes(),
        );
        bytes.extend(self.caller_tag(caller));
        bytes.extend(stream.as_str().as_bytes());
        bytes.extend(origin.unwrap_or_default().as_bytes());
        let signature = self.mac(b"ticket", &bytes).finalize().into_bytes();
        bytes.extend(signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the ticket in `text`, if its signature is valid and it has not expired.
    pub(super) fn read(&self, text: &str, now: SystemTime) -> Option<Ticket> {
        // The length is checked first: the text comes from a client that is not authenticated yet.
        let bytes = (text.len() <= MAX_TICKET).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
        let (signed, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        self.mac(b"ticket", signed).verify_slice(signature).ok()?;
        let ([VERSION, rights], rest) = signed.split_first_chunk::<2>()? else {
            return None;
        };
        // Only the origin has a variable length. It is the last field, so it needs no length of its
        // own.
        let (ends, rest) = rest.split_first_chunk::<8>()?;
        let (caller, rest) = rest.split_first_chunk::<TAG>()?;
        let (stream, origin) = rest.split_first_chunk::<STREAM_ID>()?;
        let ends = UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*ends)))?;
        let origin = std::str::from_utf8(origin).ok()?;
        (now < ends).then_some(())?;
        Some(Ticket {
            stream: StreamId::parse(std::str::from_utf8(stream).ok()?)?,
            rights: Rights {
                read: rights & READ != 0,
                cancel: rights & CANCEL != 0,
            },
            origin: (!origin.is_empty()).then(|| origin.to_owned()),
            caller: *caller,
        })
    }

    /// True if the ticket was issued for this caller.
    pub(super) fn is_for(&self, ticket: &Ticket, caller: &CallerId) -> bool {
        self.caller_tag(caller).ct_eq(&ticket.caller).into()
    }

    /// Returns the digest that represents a caller. The key's length is part of the input, so that
    /// no two callers have the same encoding.
    fn caller_tag(&self, caller: &CallerId) -> [u8; TAG] {
        let (kind, key, sub) = match caller {
            CallerId::Anonymous => (0, None, ""),
            CallerId::Key(name) => (1, Some(name), ""),
            CallerId::User(user) => (
                if user.key.is_some() { 3 } else { 2 },
                user.key.as_ref(),
                &*user.sub,
            ),
        };
        let key = key.map_or("", |name| &**name);
        let mut bytes = vec![kind];
        bytes.extend((key.len() as u64).to_be_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(sub.as_bytes());
        let digest: [u8; SIGNATURE] = self.mac(b"caller", &bytes).finalize().into_bytes().into();
        *digest
            .first_chunk()
            .expect("a digest is longer than its beginning")
    }

    /// Returns an HMAC over `bytes`. `use_for` is included so that a signature for one purpose is
    /// not valid for another.
    fn mac(&self, purpose: &[u8; 6], bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret().as_bytes())
            .expect("an HMAC takes keys of any length");
        mac.update(purpose);
        mac.update(bytes);
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::ids::Subject;

    const BOTH: Rights = Rights {
        read: true,
        cancel: true,
    };

    fn soon() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_ticket_carries_its_rights_and_expires() {
        let (tickets, stream, caller) = (
            Tickets::new(None),
            StreamId::random(),
            CallerId::Key("web".into()),
        );
        for (rights, origin) in [
            (BOTH, Some("https://chat.example")),
            (
                Rights {
                    read: true,
                    cancel: false,
                },
                None,
            ),
        ] {
            let text = tickets.issue(&caller, &stream, rights, origin, soon());
            let ticket = tickets.read(&text, SystemTime::now()).unwrap();
            assert_eq!(
                (&ticket.stream, ticket.rights, ticket.origin.as_deref()),
                (&stream, rights, origin)
            );
            assert!(
                tickets.is_for(&ticket, &caller) && !tickets.is_for(&ticket, &CallerId::Anonymous)
            );
            assert_eq!(tickets.read(&text, soon() + Duration::from_secs(1)), None);
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            );
        }
    }

    #[test]
    fn a_changed_ticket_is_rejected() {
        let (tickets, now) = (Tickets::new(None), SystemTime::now());
        let text = tickets.issue(
            &CallerId::Anonymous,
            &StreamId::random(),
            BOTH,
            Some("https://a.example"),
            soon(),
        );
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                tickets.read(&URL_SAFE_NO_PAD.encode(other), now),
                None,
                "bit {bit}"
            );
        }
        for cut in 0..bytes.len() {
            assert_eq!(
                tickets.read(&URL_SAFE_NO_PAD.encode(&bytes[..cut]), now),
                None
            );
        }
        assert_eq!(tickets.read(&"A".repeat(MAX_TICKET + 1), now), None);
        assert_eq!(Tickets::new(None).read(&text, now), None, "another key");
        let shared = SecretString::from("shared");
        let other_instance = Tickets::new(Some(&shared)).issue(
            &CallerId::Anonymous,
            &StreamId::random(),
            BOTH,
            None,
            soon(),
        );
        assert!(
            Tickets::new(Some(&shared))
                .read(&other_instance, now)
                .is_some(),
            "the same key elsewhere"
        );
    }

    #[test]
    fn callers_have_different_tags() {
        let tickets = Tickets::new(None);
        let user = |key: Option<&str>, sub: &str| {
            CallerId::User(Arc::new(Subject {
                key: key.map(Into::into),
                sub: sub.into(),
            }))
        };
        let all = [
            CallerId::Anonymous,
            CallerId::Key("a".into()),
            CallerId::Key("ab".into()),
            user(None, "a"),
            user(None, "ab"),
            user(Some("a"), "b"),
            user(Some("ab"), ""),
            user(Some(""), "ab"),
        ];
        let tags: std::collections::HashSet<_> = all
            .iter()
            .map(|caller| tickets.caller_tag(caller))
            .collect();
        assert_eq!(tags.len(), all.len());
    }
}
