//! Asks targets for the number of tokens in a prompt.

use bytes::BytesMut;
use tokio::time::timeout_at;

use super::attempt::{UpstreamAddress, sign_draft};
use super::client::Clients;
use super::clock::RunningClocks;
use super::sent::send_fault;
use super::transport::Body;
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::target::{Target, Via};
use crate::route::Plan;
use crate::wire::{self, Draft, Wire};

/// Maximum size of the answer, bytes: it is one number.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Returns the count of the first target that answers. Returns `None` when the first target that
/// does not fail has no way to count.
///
/// # Errors
/// Returns the fault of the last target. A fault that blames the request itself is returned at
/// once, and no further target is asked.
pub async fn count(ask: &Ask, plan: &Plan, clients: &Clients) -> Result<Option<u64>, Fault> {
    let mut failure = None;
    for target in plan.targets() {
        match count_by_target(ask, target, clients).await {
            Ok(counted) => return Ok(counted),
            Err(fault) if fault.ends_route() => return Err(fault),
            Err(fault) => failure = Some(fault),
        }
    }
    Err(failure.unwrap_or_else(|| Fault::new(Code::InternalError, "the route has no target")))
}

async fn count_by_target(
    ask: &Ask,
    target: &Target,
    clients: &Clients,
) -> Result<Option<u64>, Fault> {
    let Via::Http {
        wire,
        base_url,
        query,
    } = &target.provider.via
    else {
        return Ok(None);
    };
    let wire = wire::for_id(*wire);
    let Some(draft) = wire.draft_count(ask, target) else {
        return Ok(None);
    };
    let address = UpstreamAddress {
        base_url,
        query: query.as_deref(),
    };
    send_once(wire, draft?, target, address, clients).await
}

async fn send_once(
    wire: &dyn Wire,
    draft: Draft,
    target: &Target,
    address: UpstreamAddress<'_>,
    clients: &Clients,
) -> Result<Option<u64>, Fault> {
    let running = RunningClocks::start(target.provider.clocks);
    let signed = sign_draft(clients, target, address, draft, &running).await?;
    let (at, clock) = running.next_expiry();
    let response = timeout_at(at, signed.client.execute(signed.request))
        .await
        .map_err(|_| clock.timeout_fault(&running.clocks))?;
    let response = response.map_err(|error| send_fault(&error, &running))?;
    let (status, headers) = (response.status(), response.headers().clone());
    // Many compatible servers do not implement this path.
    if matches!(status.as_u16(), 404 | 405 | 501) {
        return Ok(None);
    }
    let (mut body, mut answer) = (
        Body::Http(http::Response::from(response).into_body()),
        BytesMut::new(),
    );
    let read = timeout_at(at, body.collect(&mut answer, MAX_ANSWER_BYTES))
        .await
        .map_err(|_| clock.timeout_fault(&running.clocks));
    if !status.is_success() {
        signed.credential.record_response(status, &headers);
        // The status and headers are enough when the error body is cut off.
        return Err(wire.refusal(
            status,
            &headers,
            if matches!(read, Ok(Ok(()))) {
                &answer
            } else {
                b""
            },
        ));
    }
    read??;
    let counted = wire.read_token_count(&answer);
    counted.map(Some).ok_or_else(|| {
        Fault::new(
            Code::UpstreamError,
            "the upstream's answer contains no token count",
        )
    })
}
