//! Who is let in, in the order of the edge.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::finish::Finish;
use super::{Handler, Inner, Side};
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::limits::door::Refused;
use crate::limits::limit_state::LimitState;
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;
use crate::server::origin::{self, Page};
use crate::server::path;
use crate::server::rules::Rules;

/// Heads up to this size are served.
const HEAD_BYTES: usize = 32 << 10;
/// Header fields of one request: HTTP/2 has no bound of its own.
const HEAD_FIELDS: usize = 256;
/// When somebody told that there is no room may try again.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// A request that was let in.
pub(super) struct Admitted {
    pub(super) request: Request<Incoming>,
    /// Where its address stands at the door.
    pub(super) limit_state: Option<LimitState>,
    /// A proxy has forwarded it.
    pub(super) forwarded: bool,
}

/// Why a request goes no further.
pub(super) enum Refusal {
    Fault(Box<Fault>, Option<LimitState>),
    /// It is a preflight, and answered.
    Preflight,
}

impl Refusal {
    /// Why; nothing is wrong with a preflight.
    pub(super) fn fault(&self) -> Option<&Fault> {
        if let Self::Fault(fault, _) = self {
            Some(fault)
        } else {
            None
        }
    }

    pub(super) fn into_response(
        self,
        dialect: DialectId,
        request_id: &str,
        finish: &mut Finish,
    ) -> Response<Reply> {
        match self {
            Self::Fault(fault, limit_state) => {
                finish.limit_state(limit_state);
                refuse(&fault, dialect, request_id)
            }
            Self::Preflight => {
                finish.preflight();
                let mut response = Response::new(Reply::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault), None)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let fault = Fault::new(
            Code::RateLimited,
            "too many requests from this address; wait as long as `retry-after` says",
        );
        Self::Fault(
            Box::new(fault.with_limit("ip").with_retry_after(refused.retry_after)),
            Some(refused.limit_state),
        )
    }
}

/// What an address is told that failed to authenticate too often.
pub(super) fn too_many_failures(after: Duration) -> Fault {
    Fault::new(
        Code::RateLimited,
        "too many failed authentications from this address; check the key, then wait",
    )
    .with_limit("ip")
    .with_retry_after(after)
}

impl<H: Handler> Inner<H> {
    pub(super) fn admit(
        &self,
        rules: &Rules,
        page: &Page,
        client: IpAddr,
        mut request: Request<Incoming>,
    ) -> Result<Admitted, Refusal> {
        if self.from.loopback && !self.from.unix {
            origin::check_host(&request, &rules.hosts)?;
        }
        page.check()?;
        if request.method() == Method::OPTIONS {
            return Err(Refusal::Preflight);
        }
        path::collapse_slashes(request.uri_mut());
        let cancel = match self.from.side {
            Side::Clients => path::is_cancel(request.method(), request.uri().path()),
            Side::Admin => {
                request.method() == Method::POST
                    && path::operator_cancel(request.uri().path()).is_some()
            }
        };
        if self.from.beyond_cap && !cancel {
            let fault = Fault::new(
                Code::Overloaded,
                "too many connections here (`server.max_connections`); try again in a moment",
            );
            return Err(fault.with_retry_after(ROOM_AGAIN).into());
        }
        let limit_state = if cancel {
            None
        } else {
            self.pass_door(client)?
        };
        check_head(&request)?;
        let forwarded = is_forwarded(request.headers());
        Ok(Admitted {
            request,
            limit_state,
            forwarded,
        })
    }

    /// The admin listener has no limit on requests: probes come from one address, and must never be
    /// refused.
    fn pass_door(&self, client: IpAddr) -> Result<Option<LimitState>, Refusal> {
        if let Some(after) = self.shared.door.blocked(client) {
            return Err(too_many_failures(after).into());
        }
        match self.from.side {
            Side::Clients => Ok(self.shared.door.request(client)?),
            Side::Admin => Ok(None),
        }
    }
}

fn check_head(request: &Request<Incoming>) -> Result<(), Fault> {
    let uri = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let fields: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if uri + fields > HEAD_BYTES || request.headers().len() > HEAD_FIELDS {
        return Err(Fault::new(
            Code::HeadersTooLarge,
            "the request head is larger than 32 KiB or 256 fields; send fewer or shorter ones",
        ));
    }
    Ok(())
}

/// True where any field says that a proxy stands between; it need not be a trusted one.
fn is_forwarded(headers: &HeaderMap) -> bool {
    [
        "x-forwarded-for",
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "via",
    ]
    .iter()
    .any(|name| headers.contains_key(*name))
}
