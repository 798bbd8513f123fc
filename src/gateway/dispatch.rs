//! Calls the handler of an endpoint.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;

use super::call::Call;
use super::reply::Reply;
use super::routes::{self, Endpoint};
use super::tickets::{self, Right};
use super::{
    Gateway, RequestContext, Snapshot, conversation, count, models, pages, responses, serve,
    streams,
};
use crate::auth::{AuthRequest, Caller};
use crate::dialect::Operation;
use crate::limits::Refusal;
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// Answers a request; `dialect` is the one of its path.
pub(super) async fn answer<B>(
    gateway: &Gateway,
    snapshot: &Snapshot,
    context: &RequestContext,
    dialect: DialectId,
    head: &Parts,
    body: B,
) -> Result<Response<Reply>, Box<Refusal>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let route = routes::find(&head.method, head.uri.path())?;
    let operation = match route.endpoint {
        Endpoint::Playground => return Ok(playground(snapshot)?),
        // Other pages import the client too, so it is served even without the playground.
        Endpoint::Client => return Ok(pages::client(&head.headers)),
        Endpoint::Api(operation) => operation,
    };
    let caller = identify(gateway, snapshot, context, head, operation, &route.id).await?;
    let call = Call {
        gateway,
        snapshot,
        context,
        head,
        dialect,
        caller,
    };
    perform(&call, operation, &route.id, body).await
}

/// Performs an operation; `id` is the variable part of the path.
async fn perform<B>(
    call: &Call<'_>,
    operation: Operation,
    id: &str,
    body: B,
) -> Result<Response<Reply>, Box<Refusal>>
where
    B: Body<Data = Bytes> + Unpin,
{
    Ok(match operation {
        Operation::Generate => serve::serve(call, body).await?,
        Operation::CountTokens => count::count_tokens(call, body).await?,
        Operation::ListModels => models::list(call)?,
        Operation::ReadModel => models::read(call, id)?,
        Operation::ListStreams => streams::list(call)?,
        Operation::ReadStream => streams::read(call, id)?,
        Operation::CancelStream => streams::cancel(call, id).await?,
        Operation::ForgetStream => streams::forget(call, id).await?,
        Operation::IssueTicket => tickets::issue(call, id, body).await?,
        Operation::ReadResponse => responses::read(call, id)?,
        Operation::CancelResponse => responses::cancel(call, id).await?,
        Operation::ForgetResponse => responses::forget(call, id).await?,
        Operation::ListInputItems => responses::list_input_items(call, id)?,
        Operation::ResumeChat => conversation::resume(call, id)?,
        Operation::StopChat => conversation::stop(call, id, body).await?,
    })
}

fn playground(snapshot: &Snapshot) -> Result<Response<Reply>, Fault> {
    if snapshot.settings.playground {
        return Ok(pages::playground());
    }
    Err(Fault::new(
        Code::NotFound,
        "the playground is disabled: set `server.playground = true` to serve it",
    ))
}

/// Identifies the caller of an operation; `id` is the variable part of the path.
async fn identify(
    gateway: &Gateway,
    snapshot: &Snapshot,
    context: &RequestContext,
    head: &Parts,
    operation: Operation,
    id: &str,
) -> Result<Caller, Fault> {
    let (auth, hub) = (&snapshot.auth, &gateway.hub);
    let request = AuthRequest {
        method: &head.method,
        headers: &head.headers,
        trusted_page: context.trusted_page,
    };
    // Read and cancel also accept a ticket; all other operations need the credentials of a caller.
    let right = match operation {
        Operation::ReadStream => Right::Read,
        Operation::CancelStream => Right::Cancel,
        _ => return auth.identify(&request).await,
    };
    tickets::identify_for_stream(auth, hub, &request, &head.uri, id, right).await
}
