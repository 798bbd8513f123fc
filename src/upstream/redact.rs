//! Takes an account's own secrets out of what its provider said. Refusals have lost what looks like
//! a key before (`wire::refusal`); a key may look like anything.

use secrecy::ExposeSecret as _;

use crate::model::fault::Fault;
use crate::model::target::{Credential, Provider};

/// What stands where a secret was.
const REMOVED: &str = "[removed]";
/// A shorter secret is not looked for: it may be part of any word.
const SHORTEST: usize = 6;

/// Takes the account's secrets out of everything that is told of a fault.
pub(super) fn hide(fault: &mut Fault, provider: &Provider) {
    for secret in secrets(provider)
        .into_iter()
        .filter(|secret| secret.len() >= SHORTEST)
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

/// The configured ones. Headers count, as an operator may put a key there; tokens that are asked
/// for look like tokens.
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
    fn a_key_of_any_looks_is_hidden_and_a_short_one_is_no_word() {
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
        hide(&mut fault, &provider);
        assert_eq!(
            (fault.message.as_str(), fault.param.as_deref()),
            ("1 bad: [removed], [removed]", Some("[removed]"))
        );
    }
}
