//! Readers of addresses, origins, networks, URLs, and paths of existing files and folders.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::Uri;
use ipnet::IpNet;
use secrecy::SecretString;

use super::mask::has_credentials;
use super::node::{Node, Text};
use crate::server::{Listen, Origins};

const LISTEN: &str =
    "an address and a port like \"127.0.0.1:8484\", or \"unix:/run/sluicegate.sock\"";

/// Reads an address to listen on.
pub(super) fn listen(node: &Node<'_, '_>) -> Option<Listen> {
    let text = node.text_or(LISTEN)?;
    if let Some(path) = text.value.strip_prefix("unix:") {
        return if path.is_empty() {
            node.refuse("`unix:` needs the path of a socket")
        } else {
            Some(Listen::Unix(node.doc.resolve(path)))
        };
    }
    if let Ok(address) = text.value.parse::<SocketAddr>() {
        return Some(Listen::Tcp(address));
    }
    let message = format!("expected {LISTEN}, found {}", text.quoted());
    match suggested_address(&text.value) {
        Some(address) => node.refuse_with(message, format!("write \"{address}\"")),
        None => node.refuse(message),
    }
}

/// Suggests an address for a text without a host, without a port, or with the host `localhost`.
fn suggested_address(text: &str) -> Option<SocketAddr> {
    let port = text
        .strip_prefix("localhost:")
        .or(text.strip_prefix(':'))
        .unwrap_or(text);
    let host = text.parse::<IpAddr>().ok();
    match (host, port.parse::<u16>()) {
        (Some(host), _) => Some(SocketAddr::new(host, 8484)),
        (None, Ok(port)) => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        (None, Err(_)) => None,
    }
}

/// Reads a `Host` name, without a port.
pub(super) fn host(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let name = text.value.to_ascii_lowercase();
    // A `Host` header contains an IPv6 address in brackets.
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(&name);
    let well_formed = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if well_formed || bare.parse::<IpAddr>().is_ok() {
        return Some(name);
    }
    node.refuse_with(
        format!("expected a host name, found {}", text.quoted()),
        "write only the host name: no scheme, port or path",
    )
}

/// Reads `"*"` or a list of origins.
pub(super) fn origins(node: &Node<'_, '_>) -> Option<Origins> {
    const EXPECTED: &str = "a list of origins, or \"*\"";
    if !node.is_list() {
        let text = node.text_or(EXPECTED)?;
        let help = "write a list: [\"https://chat.example\"]";
        return if text.value == "*" {
            Some(Origins::Any)
        } else {
            node.refuse_with(format!("expected {EXPECTED}"), help)
        };
    }
    let list = node.list(EXPECTED, origin)?;
    Some(if list.iter().any(|origin| origin == "*") {
        Origins::Any
    } else {
        Origins::Exact(list)
    })
}

/// Reads `scheme://host[:port]` and normalizes it to the form that browsers send: lower case,
/// without the scheme's default port.
fn origin(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let origin = text.value.to_ascii_lowercase();
    if origin == "*" {
        return Some(origin);
    }
    match origin.split_once("://") {
        Some((scheme, authority)) if is_scheme(scheme) && is_authority(authority) => {
            // Browsers omit the default port of http and https in `Origin`.
            let port = if scheme == "https" { ":443" } else { ":80" };
            let implied = matches!(scheme, "http" | "https");
            let authority = if implied {
                authority.strip_suffix(port).unwrap_or(authority)
            } else {
                authority
            };
            Some(format!("{scheme}://{authority}"))
        }
        _ => node.refuse_with(
            format!(
                "expected an origin like \"https://chat.example\", found {}",
                text.quoted()
            ),
            "write scheme, host, and the port if it is not the default: no path, no trailing slash",
        ),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.')
        })
}

fn is_authority(text: &str) -> bool {
    !text.contains('@')
        && text
            .parse::<http::uri::Authority>()
            .is_ok_and(|authority| !authority.host().is_empty())
}

/// Reads a network, or a single address as a network of one.
pub(super) fn network(node: &Node<'_, '_>) -> Option<IpNet> {
    let text = node.text()?;
    // Host bits are cleared: 10.1.2.3/8 means the network 10.0.0.0/8.
    let network = text.value.parse::<IpNet>().map(|network| network.trunc());
    match network
        .ok()
        .or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from))
    {
        Some(network) => Some(network),
        None => node.refuse(format!(
            "expected a network like \"10.0.0.0/8\", found {}",
            text.quoted()
        )),
    }
}

/// Reads a URL that paths are appended to: http or https, without credentials and query. Trailing
/// slashes are removed.
pub(super) fn base_url(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if has_credentials(&text.value) {
        return node.refuse_with(
            "must not contain credentials",
            "move them to `api_key` or `headers`",
        );
    }
    if text.value.contains(['?', '#']) {
        return node.refuse_with(
            "must not contain a query or a fragment",
            "remove everything from the `?` or `#` on",
        );
    }
    if !is_http(&text.value) {
        return node.refuse(format!(
            "expected a URL like \"https://api.example/v1\", found {}",
            text.quoted()
        ));
    }
    let url = text.value.trim_end_matches('/');
    // Whole endpoint URLs, as in vendors' examples, are a common mistake.
    match ["/chat/completions", "/messages", "/responses"]
        .iter()
        .find(|path| url.ends_with(*path))
    {
        Some(path) => node.refuse_with(
            format!("must not end with the endpoint `{path}`"),
            format!("remove `{path}`: Sluicegate adds it to each request"),
        ),
        None => Some(url.to_owned()),
    }
}

/// Reads the URL of an HTTP proxy. It may contain a password, so it is kept as a secret.
pub(super) fn proxy(node: &Node<'_, '_>) -> Option<SecretString> {
    let text = node.text()?;
    if is_http(&text.value) {
        return Some(text.value.into());
    }
    node.refuse_with(
        "expected the URL of an HTTP proxy like \"http://127.0.0.1:3128\"",
        "only http and https proxies are supported",
    )
}

/// True for an http or https URL with a host.
pub(super) fn is_http(text: &str) -> bool {
    let url = text.parse::<Uri>();
    url.is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
    })
}

/// Reads the path of an existing folder.
pub(super) fn folder(node: &Node<'_, '_>) -> Option<PathBuf> {
    let text = node.text()?;
    existing(node, &text, Path::is_dir, "folder")
}

/// Reads the path of a folder that need not exist yet.
pub(super) fn future_folder(node: &Node<'_, '_>) -> Option<PathBuf> {
    let text = node.text_or("a folder path")?;
    if text.value.is_empty() {
        return node.refuse_with(
            "must not be empty",
            "relative paths start at the folder of the configuration file",
        );
    }
    let path = node.doc.resolve(&text.value);
    if path.exists() && !path.is_dir() {
        node.refuse(format!("{} is not a folder", text.quoted()))
    } else {
        Some(path)
    }
}

/// Reads the path of an existing file.
pub(super) fn file(node: &Node<'_, '_>) -> Option<PathBuf> {
    let text = node.text()?;
    existing(node, &text, Path::is_file, "file")
}

fn existing(
    node: &Node<'_, '_>,
    text: &Text,
    is: fn(&Path) -> bool,
    kind: &str,
) -> Option<PathBuf> {
    let path = node.doc.resolve(&text.value);
    // An empty path would resolve to the configuration's folder.
    if text.value.is_empty() || !is(&path) {
        let message = format!("the {kind} {} does not exist", text.quoted());
        return node.refuse_with(
            message,
            "relative paths start at the folder of the configuration file",
        );
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_suggested_for_an_incomplete_one() {
        for (text, expected) in [
            (":8484", Some("127.0.0.1:8484")),
            ("8484", Some("127.0.0.1:8484")),
            ("localhost:9000", Some("127.0.0.1:9000")),
            ("0.0.0.0", Some("0.0.0.0:8484")),
            ("::1", Some("[::1]:8484")),
            ("example.org:80", None),
            ("99999", None),
        ] {
            assert_eq!(
                suggested_address(text),
                expected.map(|address| address.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn only_http_urls_with_a_host_are_base_urls() {
        assert!(is_http("http://127.0.0.1:11434/v1") && is_http("https://[::1]/x"));
        for text in [
            "",
            "api.openai.com/v1",
            "/v1",
            "ftp://a/b",
            "http://",
            "https:///v1",
            "http://a b/",
        ] {
            assert!(!is_http(text), "{text}");
        }
    }
}
