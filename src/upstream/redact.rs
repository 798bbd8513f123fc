//! Removes the secrets of a provider from what the provider reported. `wire::refusal` has already
//! removed what looks like a key; a configured key may look like anything.

use secrecy::ExposeSecret as _;

use crate::model::fault::Fault;
use crate::model::target::{Credential, Provider};

/// Replacement text of a secret.
const REMOVED: &str = "[removed]";
/// Minimum length of a secret to be removed, bytes: a shorter one may be part of any word.
const MIN_SECRET_LENGTH: usize = 6;

/// Removes the secrets of the provider from all texts of a fault.
pub(super) fn redact_fault(fault: &mut Fault, provider: &Provider) {
    for secret in secrets(provider)
        .into_iter()
        .filter(|secret| secret.len() >= MIN_SECRET_LENGTH)
    {
        let optional = [
            &mut fault.native_code,
            &mut fault.native_type,
            &mut fault.param,
            &mut fault.upstream_request_id,
        ];
        let texts = optional
            .into_iter()
            .filter_map(Option::as_mut)
            .chain([&mut fault.message]);
        for text in texts.filter(|text| text.contains(secret)) {
            *text = text.replace(secret, REMOVED);
        }
    }
}

/// Returns the configured secrets. Headers are included because an operator may put a key there.
/// Fetched tokens are not: they look like tokens, which `wire::refusal` removes.
fn secrets(provider: &Provider) -> Vec<&str> {
    let mut all: Vec<&str> = provider
        .headers
        .iter()
        .filter_map(|(_, value)| value.to_str().ok())
        .collect();
    match &provider.credential {
        Credential::Key { key, .. } => all.push(key.expose_secret()),
        Credential::Aws(aws) => {
            let keys = aws.keys.iter();
            all.extend(keys.clone().flat_map(|keys| {
                [
                    keys.access_key_id.as_str(),
                    keys.secret_access_key.expose_secret(),
                ]
            }));
            all.extend(
                keys.filter_map(|keys| keys.session_token.as_ref())
                    .map(|token| token.expose_secret()),
            );
        }
        Credential::Entra(entra) => all.push(entra.client_secret.expose_secret()),
        Credential::Google(_) | Credential::None => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::model::fault::Code;
    use crate::model::target::Auth;
    use crate::model::wire::WireId;

    #[test]
    fn configured_secrets_are_removed_unless_too_short() {
        let mut provider = Provider::example(WireId::OpenaiChat, "http://up");
        provider.credential = Credential::Key {
            key: "my own key".into(),
            auth: Auth::Bearer,
        };
        provider.headers = vec![
            (
                http::header::COOKIE,
                HeaderValue::from_static("team-password"),
            ),
            (http::header::AGE, HeaderValue::from_static("1")),
        ];
        let mut fault = Fault::new(Code::UpstreamError, "1 bad: my own key, team-password")
            .with_param("my own key");
        redact_fault(&mut fault, &provider);
        assert_eq!(
            (fault.message.as_str(), fault.param.as_deref()),
            ("1 bad: [removed], [removed]", Some("[removed]"))
        );
    }
}
