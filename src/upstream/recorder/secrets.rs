//! Masks the secrets of a provider in recordings, wherever the bytes are split.
//!
//! Invariant: a mask is as long as its secret, so that lengths that a format counts stay correct.

use std::cmp::Reverse;

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use secrecy::{ExposeSecret as _, SecretString};

use crate::model::target::{Credential, Provider};

/// The byte that replaces each byte of a secret.
const MASK: u8 = b'*';
/// Minimum length of a secret, bytes: shorter texts occur in every answer.
const MIN_SECRET_LENGTH: usize = 4;
/// Minimum length, bytes, from which a secret that is cut off at the end of an answer is masked.
const MIN_MASKED_PREFIX: usize = 8;
/// A header carries a secret when its name contains one of these.
const SECRET_HEADERS: [&str; 6] = ["auth", "key", "token", "secret", "cookie", "password"];

/// The secrets that must not be recorded.
#[derive(Debug, Clone, Default)]
pub(in crate::upstream) struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Collects the secrets of a provider and those in the headers of a request to it.
    pub(in crate::upstream) fn for_request(provider: &Provider, sent: &HeaderMap) -> Self {
        let mut all = Self::default();
        all.add_credential(&provider.credential);
        let configured = provider.headers.iter().map(|(name, value)| (name, value));
        for (name, value) in sent.iter().chain(configured) {
            all.add_header(name, value);
        }
        all
    }

    fn add_credential(&mut self, credential: &Credential) {
        match credential {
            Credential::Key { key, .. } => self.add(key.expose_secret()),
            Credential::Aws(aws) => {
                if let Some(keys) = &aws.keys {
                    self.add(&keys.access_key_id);
                    self.add(keys.secret_access_key.expose_secret());
                    self.add(
                        keys.session_token
                            .as_ref()
                            .map_or("", |token| token.expose_secret()),
                    );
                }
            }
            Credential::Entra(entra) => self.add(entra.client_secret.expose_secret()),
            Credential::None | Credential::Google(_) => {}
        }
    }

    fn add_header(&mut self, name: &HeaderName, value: &HeaderValue) {
        let secret = value.is_sensitive()
            && SECRET_HEADERS
                .iter()
                .any(|part| name.as_str().contains(part));
        let (true, Ok(text)) = (secret, value.to_str()) else {
            return;
        };
        // The text before a space is an authentication scheme like `Bearer`.
        self.add(text.rsplit(' ').next().unwrap_or_default());
        // AWS signatures contain the access key, followed by its scope:
        // `Credential=AKIA…/20260101/…, …, Signature=…`.
        let named = |name| {
            text.split_once(name)
                .and_then(|(_, rest)| rest.split(['/', ',', ' ']).next())
        };
        ["Credential=", "Signature="]
            .into_iter()
            .filter_map(named)
            .for_each(|part| self.add(part));
        if name.as_str().contains("cookie") {
            text.split(';')
                .filter_map(|pair| pair.split_once('='))
                .for_each(|(_, value)| self.add(value.trim()));
        }
    }

    fn add(&mut self, secret: &str) {
        if secret.len() < MIN_SECRET_LENGTH
            || self.0.iter().any(|known| known.expose_secret() == secret)
        {
            return;
        }
        self.0.push(secret.into());
        // Some servers escape slashes in their JSON.
        if secret.contains('/') {
            self.0.push(secret.replace('/', "\\/").into());
        }
    }
}

/// Masks secrets in the bytes of one recording as they arrive.
pub(super) struct Mask {
    /// Sorted by length, longest first: a secret may begin with another one.
    secrets: Vec<SecretString>,
    /// The end of the received bytes, kept because it may be the beginning of a secret.
    held: Vec<u8>,
}

impl Mask {
    pub(super) fn new(Secrets(mut secrets): Secrets) -> Self {
        secrets.sort_by_key(|secret| Reverse(secret.expose_secret().len()));
        Self {
            secrets,
            held: Vec::new(),
        }
    }

    /// Returns the bytes that may be recorded. An end that may belong to a secret is kept for the
    /// next call.
    pub(super) fn mask(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        for secret in &self.secrets {
            mask_all(&mut all, secret.expose_secret().as_bytes());
        }
        let held = self
            .secrets
            .iter()
            .map(|secret| prefix_at_end(&all, secret.expose_secret().as_bytes()))
            .max()
            .unwrap_or(0);
        self.held = all.split_off(all.len() - held);
        all
    }

    /// Returns the bytes kept so far; nothing more comes.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.held);
        if rest.len() >= MIN_MASKED_PREFIX {
            rest.fill(MASK);
        }
        rest
    }
}

fn mask_all(text: &mut [u8], secret: &[u8]) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| memmem::find(rest, secret)) {
        let (start, end) = (from + at, from + at + secret.len());
        if let Some(place) = text.get_mut(start..end) {
            place.fill(MASK);
        }
        from = end;
    }
}

/// Returns the number of bytes at the end of `text` that may be the beginning of `secret`.
fn prefix_at_end(text: &[u8], secret: &[u8]) -> usize {
    let longest = (secret.len() - 1).min(text.len());
    (1..=longest)
        .rev()
        .find(|length| {
            secret
                .get(..*length)
                .is_some_and(|start| text.ends_with(start))
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::model::target::Auth;
    use crate::model::wire::WireId;

    fn masked<'a>(secrets: &[&str], pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut all = Secrets::default();
        secrets.iter().for_each(|secret| all.add(secret));
        let mut mask = Mask::new(all);
        let mut out: Vec<u8> = pieces
            .into_iter()
            .flat_map(|piece| mask.mask(piece))
            .collect();
        out.extend(mask.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_secrets_of_a_provider_are_collected() {
        let mut provider = Provider::example(WireId::OpenaiChat, "http://a");
        provider.credential = Credential::Key {
            key: "sk-static".into(),
            auth: Auth::Bearer,
        };
        let sensitive = |text: &'static str| {
            let mut value = HeaderValue::from_static(text);
            value.set_sensitive(true);
            value
        };
        provider.headers = vec![
            (
                HeaderName::from_static("x-team-token"),
                sensitive("team-secret"),
            ),
            (HeaderName::from_static("x-team"), sensitive("growth")),
            (
                HeaderName::from_static("cookie"),
                sensitive("session=hidden; lang=en"),
            ),
        ];
        let sent =
            HeaderMap::from_iter([(http::header::AUTHORIZATION, sensitive("Bearer fresh-token"))]);
        let signed = sensitive(
            "AWS4-HMAC-SHA256 Credential=AKIAFETCHED/20260101/a/bedrock/aws4_request, SignedHeaders=host, Signature=5f5f",
        );
        let Secrets(signed) = Secrets::for_request(
            &Provider::example(WireId::Bedrock, "http://a"),
            &HeaderMap::from_iter([(http::header::AUTHORIZATION, signed)]),
        );
        let signed: Vec<&str> = signed.iter().map(|secret| secret.expose_secret()).collect();
        assert_eq!(signed, ["Signature=5f5f", "AKIAFETCHED", "5f5f"]);
        let Secrets(all) = Secrets::for_request(&provider, &sent);
        let all: Vec<&str> = all.iter().map(|secret| secret.expose_secret()).collect();
        assert_eq!(
            all,
            [
                "sk-static",
                "fresh-token",
                "team-secret",
                "lang=en",
                "hidden"
            ]
        );
        assert!(!format!("{provider:?} {sent:?}").contains("secret"));
    }

    #[test]
    fn secrets_are_masked_in_every_encoding() {
        for (secrets, text, expected) in [
            (&["sk-one"][..], "a sk-one b sk-one", "a ****** b ******"),
            (
                &["ab/cd"],
                r#"{"a":"ab/cd ab\/cd"}"#,
                r#"{"a":"***** ******"}"#,
            ),
            (
                &["sk-one", "sk-one-two"],
                "sk-one-two sk-one",
                "********** ******",
            ),
            (&["abc"], "abc", "abc"),
            (&[], "text", "text"),
        ] {
            assert_eq!(masked(secrets, [text.as_bytes()]), expected);
        }
    }

    #[test]
    fn a_secret_cut_off_at_the_end_is_masked() {
        assert_eq!(
            masked(&["sk-0123456789"], ["a sk-012345".as_bytes()]),
            "a *********"
        );
        assert_eq!(masked(&["sk-0123456789"], ["tasks".as_bytes()]), "tasks");
    }

    proptest! {
        #[test]
        fn any_split_masks_the_same(text in "[a-c]{0,60}", secret in "[a-c]{4,8}", cuts in prop::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let out = masked(&[&secret], pieces);
            prop_assert_eq!(out.len(), text.len());
            prop_assert!(!out.contains(&secret), "{} in {}", secret, out);
        }
    }
}
