//! Asks targets how many tokens a prompt has.

use bytes::BytesMut;
use tokio::time::timeout_at;

use super::answer::collect;
use super::attempt::{Place, signed};
use super::client::Clients;
use super::clock::Running;
use super::sent::unreachable_fault;
use super::transport::Body;
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::target::{Target, Via};
use crate::route::Plan;
use crate::wire::{self, Draft, Wire};

/// An answer that is read, at the most: it is one number.
const ANSWER_BYTES: usize = 64 * 1024;

/// The count of the first target of the plan that gives one; `None` where one comes first that has
/// no way to count.
///
/// # Errors
/// The last target's failure; of one that says the request itself is wrong no other is asked.
pub async fn count(ask: &Ask, plan: &Plan, clients: &Clients) -> Result<Option<u64>, Fault> {
    let mut failure = None;
    for target in plan.targets() {
        match by_target(ask, target, clients).await {
            Ok(counted) => return Ok(counted),
            Err(fault) if fault.ends_route() => return Err(fault),
            Err(fault) => failure = Some(fault),
        }
    }
    Err(failure.unwrap_or_else(|| Fault::new(Code::InternalError, "the route has no target")))
}

async fn by_target(ask: &Ask, target: &Target, clients: &Clients) -> Result<Option<u64>, Fault> {
    let Via::Http {
        wire,
        base_url,
        query,
    } = &target.provider.via
    else {
        return Ok(None);
    };
    let wire = wire::of(*wire);
    let Some(draft) = wire.count(ask, target) else {
        return Ok(None);
    };
    let place = Place {
        base_url,
        query: query.as_deref(),
    };
    ask_once(wire, draft?, target, place, clients).await
}

async fn ask_once(
    wire: &dyn Wire,
    draft: Draft,
    target: &Target,
    place: Place<'_>,
    clients: &Clients,
) -> Result<Option<u64>, Fault> {
    let running = Running::start(target.provider.clocks);
    let signed = signed(clients, target, place, draft, &running).await?;
    let (at, clock) = running.next();
    let response = timeout_at(at, signed.client.execute(signed.request))
        .await
        .map_err(|_| clock.ran_out(&running.clocks))?;
    let response = response.map_err(|error| unreachable_fault(&error, &running))?;
    let (status, headers) = (response.status(), response.headers().clone());
    // Compatible servers often have no such path.
    if matches!(status.as_u16(), 404 | 405 | 501) {
        return Ok(None);
    }
    let (mut body, mut answer) = (
        Body::Http(http::Response::from(response).into_body()),
        BytesMut::new(),
    );
    let read = timeout_at(at, collect(&mut body, &mut answer, ANSWER_BYTES))
        .await
        .map_err(|_| clock.ran_out(&running.clocks));
    if !status.is_success() {
        signed.shown.learn(status, &headers);
        // A refusal whose body breaks off is a refusal all the same.
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
    let counted = wire.counted(&answer);
    counted.map(Some).ok_or_else(|| {
        Fault::new(
            Code::UpstreamError,
            "the upstream's answer holds no count of tokens",
        )
    })
}
