//! Tickets: the right to read one stream, or to read and cancel it, for a page that holds no key.
//!
//! Invariants: a ticket is valid only for GET and cancel of its own stream; used for another stream
//! it gets 404, as if that stream did not exist; a ticket that is bound to an origin is valid from
//! no other. A ticket does not bypass `server.allowed_origins`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri, header};
use http_body::Body;
use serde::Deserialize;

use super::call::Call;
use super::query::Query;
use super::reply::Reply;
use super::{body, headers, options};
use crate::auth::ticket::{MAX_ORIGIN, Rights, Ticket};
use crate::auth::{Auth, AuthRequest, Caller};
use crate::hub::Hub;
use crate::model::fault::{Code, Fault};

/// Maximum size of the body of a ticket request, bytes.
const MAX_BODY: usize = 4096;
/// Lifetime of a ticket if the request sets none.
const DEFAULT_TTL: Duration = Duration::from_secs(5 * 60);
/// Maximum lifetime of a ticket: a ticket cannot be revoked.
const MAX_TTL: Duration = Duration::from_secs(60 * 60);

/// An operation on a stream that needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Right {
    Read,
    Cancel,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TicketRequest {
    rights: Option<Vec<Right>>,
    origin: Option<String>,
    ttl: Option<String>,
}

/// `POST /v1/streams/{id}/ticket`.
pub(super) async fn issue<B>(
    call: &Call<'_>,
    id: &str,
    incoming: B,
) -> Result<Response<Reply>, Fault>
where
    B: Body<Data = Bytes> + Unpin,
{
    // Only the caller that owns the stream can issue a ticket for it.
    let stream = call.find(id)?;
    let body = body::collect(incoming, MAX_BODY).await?;
    if !body.trim_ascii().is_empty() {
        // An empty body needs no content type.
        body::require_json(&call.head.headers)?;
    }
    let asked = parse_request(&body)?;
    let (rights, origin) = (
        parse_rights(asked.rights.as_deref())?,
        asked.origin.as_deref().map(parse_origin).transpose()?,
    );
    let ends = SystemTime::now() + asked.ttl.as_deref().map_or(Ok(DEFAULT_TTL), parse_ttl)?;
    let (auth, origin) = (&call.snapshot.auth, origin.as_deref());
    let ticket = auth.issue_ticket(&call.caller, stream.id(), rights, origin, ends);
    let expires = ends
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let body = serde_json::json!({"ticket": ticket, "expires": expires});
    Ok(headers::json(StatusCode::CREATED, body.to_string()))
}

/// Identifies the caller of a request for the stream `id`: by its header credential, otherwise by
/// the ticket in the query, otherwise like every other request.
pub(super) async fn identify_for_stream(
    auth: &Auth,
    hub: &Hub,
    request: &AuthRequest<'_>,
    uri: &Uri,
    id: &str,
    right: Right,
) -> Result<Caller, Fault> {
    let query = Query::parse(uri);
    let ticket = query
        .get("ticket")
        // A credential in a header wins over a ticket in the URL, which may have been copied.
        .filter(|_| !auth.has_header_credential(request));
    let Some(text) = ticket else {
        return auth.identify(request).await;
    };
    let ticket = auth.read_ticket(text)?;
    check_ticket(&ticket, request.headers, uri, right)?;
    let owner = hub
        .owner_of(&ticket.stream)
        .ok_or_else(|| Hub::not_found(id))?;
    // `id` may be a name of the owner's: it must resolve to the stream of the ticket.
    if *hub.find(&owner, id)?.id() != ticket.stream {
        // The same 404 as for an unknown stream: a ticket reveals nothing about other streams.
        return Err(Hub::not_found(id));
    }
    auth.caller_for_ticket(&ticket, &owner)
}

/// Rejects a ticket that does not give the right, or is used from another origin than its own.
fn check_ticket(
    ticket: &Ticket,
    headers: &HeaderMap,
    uri: &Uri,
    right: Right,
) -> Result<(), Fault> {
    let Rights { read, cancel } = ticket.rights;
    if !(right == Right::Read && read || right == Right::Cancel && cancel) {
        let message = "this ticket permits reading only; request one with {\"rights\": [\"read\", \"cancel\"]}";
        return Err(Fault::new(Code::Unauthenticated, message));
    }
    if ticket
        .origin
        .as_deref()
        .is_some_and(|origin| !comes_from(origin, headers, uri))
    {
        let message = "this ticket is bound to another origin: use it from a page of the origin it was issued for";
        return Err(Fault::new(Code::OriginNotAllowed, message));
    }
    Ok(())
}

fn parse_request(body: &Bytes) -> Result<TicketRequest, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(TicketRequest::default());
    }
    let message = "the body of a ticket request must be empty or {\"rights\": [\"read\", \"cancel\"], \"origin\": \"https://…\", \"ttl\": \"5m\"}; \
                   each member is optional";
    serde_json::from_slice(body).map_err(|_| Fault::new(Code::InvalidRequest, message))
}

/// Parses the rights of a ticket; reading only by default. Cancelling needs reading too, because
/// the cancel response contains the content.
fn parse_rights(list: Option<&[Right]>) -> Result<Rights, Fault> {
    let list = list.unwrap_or(&[Right::Read]);
    if !list.contains(&Right::Read) {
        return Err(Fault::invalid(
            "rights",
            "`rights` takes [\"read\"] or [\"read\", \"cancel\"]",
        ));
    }
    Ok(Rights {
        read: true,
        cancel: list.contains(&Right::Cancel),
    })
}

fn parse_ttl(text: &str) -> Result<Duration, Fault> {
    let ttl = options::parse_duration(text)
        .filter(|ttl| (Duration::from_secs(1)..=MAX_TTL).contains(ttl));
    ttl.ok_or_else(|| Fault::invalid("ttl", "`ttl` takes a duration from `1s` to `1h`"))
}

/// Parses an origin in the form that browsers send.
fn parse_origin(text: &str) -> Result<String, Fault> {
    let invalid = || {
        Fault::invalid(
            "origin",
            "`origin` takes the origin of a page, like `https://chat.example`",
        )
    };
    let origin = normalize_origin(text);
    let (scheme, authority) = origin.split_once("://").ok_or_else(invalid)?;
    let well_formed = text.len() <= MAX_ORIGIN
        && !scheme.is_empty()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        // Browsers never send user info or a path in an origin, so such an origin would never
        // match.
        && !authority.contains(['@', '/', '?', '#'])
        && authority.parse::<http::uri::Authority>().is_ok();
    if well_formed {
        Ok(origin)
    } else {
        Err(invalid())
    }
}

/// Returns the origin in lower case, without the default port of its scheme.
fn normalize_origin(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    let port = if origin.starts_with("https://") {
        ":443"
    } else {
        ":80"
    };
    // Other schemes, such as those of browser extensions, have no default port.
    let implied = origin.starts_with("https://") || origin.starts_with("http://");
    origin
        .strip_suffix(port)
        .filter(|_| implied)
        .map_or(origin.clone(), str::to_owned)
}

/// Returns true if the request comes from a page of this origin. A page of our own origin sends no
/// `Origin` with a GET; there `Sec-Fetch-Site` and the host decide.
fn comes_from(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(sent) = headers.get(header::ORIGIN) {
        // Several `Origin` headers are ambiguous: reject them.
        return headers.get_all(header::ORIGIN).iter().count() == 1
            && sent
                .to_str()
                .is_ok_and(|sent| normalize_origin(sent) == origin);
    }
    let own_page = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "same-origin");
    // Requests over HTTP/2 have an authority in the URI instead of a `Host` header.
    let host = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| headers.get(header::HOST)?.to_str().ok());
    let scheme = origin.split_once("://").map_or("", |(scheme, _)| scheme);
    own_page && host.is_some_and(|host| normalize_origin(&format!("{scheme}://{host}")) == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: &str, fields: &[(&'static str, &str)]) -> bool {
        let fields = fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        comes_from(
            origin,
            &fields.collect(),
            &Uri::from_static("/v1/streams/x"),
        )
    }

    #[test]
    fn origins_are_compared_and_own_pages_are_recognized_by_fetch_metadata() {
        const PAGE: &str = "https://chat.example";
        assert!(
            from(PAGE, &[("origin", "https://chat.example")])
                && from(PAGE, &[("origin", "HTTPS://Chat.example:443")])
        );
        for other in [
            "https://chat.example:8443",
            "http://chat.example",
            "https://evil.example",
            "null",
            "",
        ] {
            assert!(
                !from(
                    PAGE,
                    &[
                        ("origin", other),
                        ("sec-fetch-site", "same-origin"),
                        ("host", "chat.example")
                    ]
                ),
                "{other}"
            );
        }
        let own = [("host", "chat.example"), ("sec-fetch-site", "same-origin")];
        assert!(from(PAGE, &own) && !from("https://other.example", &own) && !from(PAGE, &own[..1]));
        assert!(!from(
            PAGE,
            &[("host", "chat.example"), ("sec-fetch-site", "cross-site")]
        ));
    }

    #[test]
    fn ticket_requests_are_parsed_strictly() {
        let read = |json: &str| parse_request(&Bytes::copy_from_slice(json.as_bytes()));
        assert!(
            read("").is_ok()
                && read(r#"{"rights":["read","cancel"],"origin":"https://a.example","ttl":"5m"}"#)
                    .is_ok()
        );
        for bad in [
            "[]",
            "{",
            r#"{"rights":"read"}"#,
            r#"{"rights":["write"]}"#,
            r#"{"tll":"5m"}"#,
            r#"{"ttl":5}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(
            parse_rights(Some(&[])).is_err()
                && parse_rights(Some(&[Right::Cancel])).is_err()
                && !parse_rights(None).unwrap().cancel
        );
        for bad in ["0s", "61m", "2h", "5", "-5m", ""] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_in_ticket_requests_are_written_as_browsers_send_them() {
        assert_eq!(
            parse_origin("HTTPS://Chat.Example:443").unwrap(),
            "https://chat.example"
        );
        assert_eq!(
            parse_origin("http://[::1]:8080").unwrap(),
            "http://[::1]:8080"
        );
        for bad in [
            "chat.example",
            "https://",
            "https://a/b",
            "https://a@b",
            "null",
            "*",
            "https://a b",
        ] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }
}
