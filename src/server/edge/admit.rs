//! Decides whether a request is admitted, in the order of the edge.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::finish::Finish;
use super::{Handler, Inner, ListenerKind};
use crate::gateway;
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::limits::door::DoorRefusal;
use crate::limits::limit_state::LimitState;
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;
use crate::server::origin::{self, Page};
use crate::server::path;
use crate::server::rules::Rules;

/// Maximum size of a request head, bytes.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Maximum number of header fields; HTTP/2 itself has no limit.
const MAX_HEAD_FIELDS: usize = 256;
/// `Retry-After` of the error for connections beyond the cap.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(1);

/// An admitted request.
pub(super) struct Admitted {
    pub(super) request: Request<Incoming>,
    /// State of the limit of its address.
    pub(super) limit_state: Option<LimitState>,
    /// A proxy has forwarded the request.
    pub(super) forwarded: bool,
}

/// The reason why a request is not passed on.
pub(super) enum Refusal {
    Fault(Box<Fault>, Option<LimitState>),
    /// The request is a preflight and is answered here.
    Preflight,
}

impl Refusal {
    /// Returns the fault; `None` for a preflight, which is no error.
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
                finish.set_limit_state(limit_state);
                refuse(&fault, dialect, request_id)
            }
            Self::Preflight => {
                finish.set_preflight();
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

impl From<DoorRefusal> for Refusal {
    fn from(refused: DoorRefusal) -> Self {
        let fault = Fault::new(
            Code::RateLimited,
            "too many requests from this address; retry after the time in `retry-after`",
        );
        Self::Fault(
            Box::new(fault.with_limit("ip").with_retry_after(refused.retry_after)),
            Some(refused.limit_state),
        )
    }
}

/// Returns the fault for an address with too many failed authentications.
pub(super) fn too_many_failures(after: Duration) -> Fault {
    Fault::new(
        Code::RateLimited,
        "too many failed authentications from this address; check the key, then retry after the \
         time in `retry-after`",
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
        // DNS rebinding: a foreign page can point its own name at a loopback address.
        if self.source.loopback && !self.source.unix {
            origin::check_host(&request, &rules.hosts)?;
        }
        page.check()?;
        if request.method() == Method::OPTIONS {
            return Err(Refusal::Preflight);
        }
        // Before the path is compared, so that a cancel with doubled slashes is recognised.
        path::collapse_slashes(request.uri_mut());
        let (method, path) = (request.method(), request.uri().path());
        // No limit rejects a cancel.
        let limit_state = if self.is_cancel(method, path) {
            None
        } else {
            self.pass_limits(client, path)?
        };
        // After the limits, so that oversized heads count against the limit of the address.
        check_head(&request)?;
        let forwarded = is_forwarded(request.headers());
        Ok(Admitted {
            request,
            limit_state,
            forwarded,
        })
    }

    fn is_cancel(&self, method: &Method, path: &str) -> bool {
        match self.source.kind {
            ListenerKind::Clients => gateway::is_cancel(method, path),
            ListenerKind::Admin => method == Method::POST && path::operator_cancel(path).is_some(),
        }
    }

    /// Checks the cap on connections and the limits of the address. On the admin listener, requests
    /// are not counted, and failed authentications block the admin API only: probes and scrapers
    /// must never be rejected.
    fn pass_limits(&self, client: IpAddr, path: &str) -> Result<Option<LimitState>, Refusal> {
        if self.source.beyond_cap {
            let fault = Fault::new(
                Code::Overloaded,
                "too many connections (`server.max_connections`); try again in a moment",
            );
            return Err(fault.with_retry_after(RETRY_AFTER_CAP).into());
        }
        let door = &self.shared.door;
        let counted = self.source.kind == ListenerKind::Clients;
        if (counted || path::is_admin_api(path))
            && let Some(after) = door.blocked(client)
        {
            return Err(too_many_failures(after).into());
        }
        Ok(if counted { door.request(client)? } else { None })
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
        // 4 bytes: `: ` and the line break.
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if uri + fields > MAX_HEAD_BYTES || request.headers().len() > MAX_HEAD_FIELDS {
        return Err(Fault::new(
            Code::HeadersTooLarge,
            "the request head is larger than 32 KiB or 256 fields; send fewer or shorter ones",
        ));
    }
    Ok(())
}

/// Returns true when any header shows that a proxy is involved, trusted or not.
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
