//! Tickets: a right to read one stream, or to read and stop it, for a page that holds no key.
//!
//! Invariants: a ticket counts on its own stream's GET and cancel alone; used for another it finds
//! what is not there; one that is bound to a page is good from no other. It opens no way past
//! `server.allowed_origins`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use serde::Deserialize;

use super::query::Query;
use super::reply::Reply;
use super::{Gateway, RequestContext, Snapshot, body, headers, options};
use crate::auth::Caller;
use crate::auth::ticket::{MAX_ORIGIN, Rights, Ticket};
use crate::hub::Hub;
use crate::model::fault::{Code, Fault};

/// The largest body of a request for a ticket, bytes.
const BODY: usize = 4096;
/// How long a ticket is good where nothing is said …
const LIFE: Duration = Duration::from_secs(5 * 60);
/// … and at most: nobody can take it back.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What somebody wants to do with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Right {
    Read,
    Cancel,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Order {
    rights: Option<Vec<Right>>,
    origin: Option<String>,
    ttl: Option<String>,
}

impl Gateway {
    /// `POST /v1/streams/{id}/ticket`.
    pub(super) async fn ticket<B>(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        id: &str,
        request: Request<B>,
    ) -> Result<Response<Reply>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let stream = self.hub.find(&caller.id, id)?;
        let (head, incoming) = request.into_parts();
        let body = body::collect(incoming, BODY).await?;
        if !body.trim_ascii().is_empty() {
            body::require_json(&head.headers)?;
        }
        let order = order_of(&body)?;
        let (rights, origin) = (
            rights(order.rights.as_deref())?,
            order.origin.as_deref().map(origin).transpose()?,
        );
        let ends = SystemTime::now() + order.ttl.as_deref().map_or(Ok(LIFE), life)?;
        let ticket = snapshot
            .auth
            .issue(caller, stream.id(), rights, origin.as_deref(), ends);
        let expires = ends
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let told = serde_json::json!({"ticket": ticket, "expires": expires});
        Ok(headers::json(StatusCode::CREATED, told.to_string()))
    }

    /// Who asks for the stream `id`: who a header says, else who holds the ticket in the address,
    /// else as everywhere.
    pub(super) async fn holder<B>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        request: &Request<B>,
        id: &str,
        right: Right,
    ) -> Result<Caller, Fault> {
        let asking = context.asking(request.method(), request.headers());
        let query = Query::of(request.uri());
        match query
            .get("ticket")
            .filter(|_| !snapshot.auth.is_named(&asking))
        {
            Some(text) => {
                self.by_ticket(snapshot, request, &snapshot.auth.ticket(text)?, id, right)
            }
            None => snapshot.auth.identify(&asking).await,
        }
    }

    fn by_ticket<B>(
        &self,
        snapshot: &Snapshot,
        request: &Request<B>,
        ticket: &Ticket,
        id: &str,
        right: Right,
    ) -> Result<Caller, Fault> {
        let Rights { read, cancel } = ticket.rights;
        if !(right == Right::Read && read || right == Right::Cancel && cancel) {
            let message = "this ticket is for reading only; ask for one with {\"rights\": [\"read\", \"cancel\"]}";
            return Err(Fault::new(Code::Unauthenticated, message));
        }
        if ticket
            .origin
            .as_deref()
            .is_some_and(|origin| !comes_from(origin, request.headers(), request.uri()))
        {
            let message = "this ticket is for the page of another origin";
            return Err(Fault::new(Code::OriginNotAllowed, message));
        }
        let owner = self
            .hub
            .owner_of(&ticket.stream)
            .ok_or_else(|| Hub::not_found(id))?;
        if *self.hub.find(&owner, id)?.id() != ticket.stream {
            return Err(Hub::not_found(id));
        }
        snapshot.auth.holder(ticket, &owner)
    }
}

fn order_of(body: &Bytes) -> Result<Order, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Order::default());
    }
    let message = "a ticket is asked for with {\"rights\": [\"read\", \"cancel\"], \"origin\": \"https://…\", \"ttl\": \"5m\"}, each of which may be \
                   left out";
    serde_json::from_slice(body).map_err(|_| Fault::new(Code::InvalidRequest, message))
}

/// Reading where nothing is said. Who stops a stream may see what came of it.
fn rights(list: Option<&[Right]>) -> Result<Rights, Fault> {
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

fn life(text: &str) -> Result<Duration, Fault> {
    let life =
        options::duration(text).filter(|life| (Duration::from_secs(1)..=LONGEST).contains(life));
    life.ok_or_else(|| Fault::invalid("ttl", "`ttl` takes a duration from `1s` to `1h`"))
}

/// An origin as browsers send it.
fn origin(text: &str) -> Result<String, Fault> {
    let wrong = || {
        Fault::invalid(
            "origin",
            "`origin` takes the origin of a page, like `https://chat.example`",
        )
    };
    let origin = bare(text);
    let (scheme, authority) = origin.split_once("://").ok_or_else(wrong)?;
    let well_formed = text.len() <= MAX_ORIGIN
        && !scheme.is_empty()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !authority.contains(['@', '/', '?', '#'])
        && authority.parse::<http::uri::Authority>().is_ok();
    if well_formed {
        Ok(origin)
    } else {
        Err(wrong())
    }
}

/// In lower case, without the port that its scheme implies.
fn bare(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    let port = if origin.starts_with("https://") {
        ":443"
    } else {
        ":80"
    };
    let implied = origin.starts_with("https://") || origin.starts_with("http://");
    origin
        .strip_suffix(port)
        .filter(|_| implied)
        .map_or(origin.clone(), str::to_owned)
}

/// The request comes from a page of that origin. A page of our own sends no `Origin` when it reads;
/// its browser says so in another way.
fn comes_from(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(sent) = headers.get(header::ORIGIN) {
        return headers.get_all(header::ORIGIN).iter().count() == 1
            && sent.to_str().is_ok_and(|sent| bare(sent) == origin);
    }
    let own_page = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "same-origin");
    let host = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| headers.get(header::HOST)?.to_str().ok());
    let scheme = origin.split_once("://").map_or("", |(scheme, _)| scheme);
    own_page && host.is_some_and(|host| bare(&format!("{scheme}://{host}")) == origin)
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
    fn a_page_is_known_by_its_origin_and_our_own_by_its_browser() {
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
    fn an_order_is_read_strictly() {
        let read = |json: &str| order_of(&Bytes::copy_from_slice(json.as_bytes()));
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
            rights(Some(&[])).is_err()
                && rights(Some(&[Right::Cancel])).is_err()
                && !rights(None).unwrap().cancel
        );
        for bad in ["0s", "61m", "2h", "5", "-5m", ""] {
            assert!(life(bad).is_err(), "{bad}");
        }
        assert_eq!(
            origin("HTTPS://Chat.Example:443").unwrap(),
            "https://chat.example"
        );
        assert_eq!(origin("http://[::1]:8080").unwrap(), "http://[::1]:8080");
        for bad in [
            "chat.example",
            "https://",
            "https://a/b",
            "https://a@b",
            "null",
            "*",
            "https://a b",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
