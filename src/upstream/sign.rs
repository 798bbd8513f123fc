//! Puts an account's credential on a request. The only place that looks at it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::ExposeSecret as _;

use crate::model::fault::{Code, Fault};
use crate::model::target::Account;
use crate::provider::Auth;

/// Adds the account's own headers and its credential.
pub(super) fn sign(headers: &mut HeaderMap, account: &Account, auth: Auth) -> Result<(), Fault> {
    for (name, value) in &account.headers {
        headers.insert(name.clone(), value.clone());
    }
    let Some(key) = &account.key else { return Ok(()) };
    let (name, text) = match auth {
        Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
        Auth::Header(name) => (HeaderName::from_static(name), key.expose_secret().to_owned()),
        Auth::None => return Ok(()),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        Fault::new(Code::UpstreamAuth, format!("the key of provider `{}` has characters no header can carry", account.name))
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
