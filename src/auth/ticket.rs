//! Tickets: short-lived rights to one stream, for who holds no key.
//!
//! Invariants: a ticket is an HMAC over stream, caller, rights, origin and end, compared in
//! constant time, and nothing of it is believed before that; it names its caller by a keyed digest
//! alone, as it stands in addresses. It says nothing of whether the stream is there, or its caller
//! still may.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::model::ids::{CallerId, StreamId};

/// The longest ticket that is looked at, bytes.
const MAX_TICKET: usize = 1024;
/// The longest origin, bytes: a host name has at most 253.
pub const MAX_ORIGIN: usize = 300;
/// The version of the form, first byte of each.
const VERSION: u8 = 1;
const READ: u8 = 1;
const CANCEL: u8 = 2;
/// Bytes of the digest that names the caller, of the signature, and of a stream's id.
const TAG: usize = 16;
const SIGNATURE: usize = 32;
const STREAM: usize = 26;

/// What a holder may do with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Its status, and following it.
    pub read: bool,
    /// Stopping it.
    pub cancel: bool,
}

/// A ticket that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The stream it is for.
    pub stream: StreamId,
    /// What its holder may.
    pub rights: Rights,
    /// The only page that may use it.
    pub origin: Option<String>,
    caller: [u8; TAG],
}

/// Makes tickets and knows its own.
#[derive(Debug)]
pub(super) struct Tickets {
    key: SecretString,
}

impl Tickets {
    /// With a key that others of its kind have as well, or one of its own.
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

    /// A ticket, good until `ends`.
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
        bytes.extend(self.tag(caller));
        bytes.extend(stream.as_str().as_bytes());
        bytes.extend(origin.unwrap_or_default().as_bytes());
        let signature = self.mac(b"ticket", &bytes).finalize().into_bytes();
        bytes.extend(signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The ticket in `text`, if it is one of ours and has not ended.
    pub(super) fn read(&self, text: &str, now: SystemTime) -> Option<Ticket> {
        let bytes = (text.len() <= MAX_TICKET).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
        let (said, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        self.mac(b"ticket", said).verify_slice(signature).ok()?;
        let ([VERSION, rights], rest) = said.split_first_chunk::<2>()? else {
            return None;
        };
        let (ends, rest) = rest.split_first_chunk::<8>()?;
        let (caller, rest) = rest.split_first_chunk::<TAG>()?;
        let (stream, origin) = rest.split_first_chunk::<STREAM>()?;
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

    /// True where the ticket is of this caller.
    pub(super) fn is_of(&self, ticket: &Ticket, caller: &CallerId) -> bool {
        self.tag(caller).ct_eq(&ticket.caller).into()
    }

    /// The digest that stands for a caller. Each part says how long it is, so that no two callers
    /// are spelled the same.
    fn tag(&self, caller: &CallerId) -> [u8; TAG] {
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

    /// `use_for` keeps what is signed for one purpose from counting for another.
    fn mac(&self, use_for: &[u8; 6], bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret().as_bytes())
            .expect("an HMAC takes keys of any length");
        mac.update(use_for);
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
    fn a_ticket_says_what_it_was_made_for_and_ends() {
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
                tickets.is_of(&ticket, &caller) && !tickets.is_of(&ticket, &CallerId::Anonymous)
            );
            assert_eq!(tickets.read(&text, soon() + Duration::from_secs(1)), None);
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            );
        }
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
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
        let theirs = Tickets::new(Some(&shared)).issue(
            &CallerId::Anonymous,
            &StreamId::random(),
            BOTH,
            None,
            soon(),
        );
        assert!(
            Tickets::new(Some(&shared)).read(&theirs, now).is_some(),
            "the same key elsewhere"
        );
    }

    #[test]
    fn callers_are_told_apart() {
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
        let tags: std::collections::HashSet<_> =
            all.iter().map(|caller| tickets.tag(caller)).collect();
        assert_eq!(tags.len(), all.len());
    }
}
