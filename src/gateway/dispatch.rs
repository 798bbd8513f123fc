//! Calls the handler of an endpoint.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;

use super::admit::Refusal;
use super::call::Call;
use super::reply::Reply;
use super::routes::Endpoint;
use super::tickets::Right;
use super::{
    Gateway, RequestContext, Snapshot, conversation, count, models, pages, responses, serve,
    streams, tickets,
};
use crate::auth::{AuthRequest, Caller};
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// Answers a request for this endpoint.
pub(super) async fn answer<B>(
    gateway: &Gateway,
    snapshot: &Snapshot,
    context: &RequestContext,
    (endpoint, dialect): (Endpoint, DialectId),
    head: &Parts,
    body: B,
) -> Result<Response<Reply>, Box<Refusal>>
where
    B: Body<Data = Bytes> + Unpin,
{
    match endpoint {
        Endpoint::Playground => return Ok(playground(snapshot)?),
        // Other pages import the client too, so it is served even without the playground.
        Endpoint::Client => return Ok(pages::client(&head.headers)),
        _ => {}
    }
    let caller = identify(gateway, snapshot, context, &endpoint, head).await?;
    let call = Call {
        gateway,
        snapshot,
        context,
        head,
        dialect,
        caller,
    };
    handle(&call, &endpoint, body).await
}

async fn handle<B>(
    call: &Call<'_>,
    endpoint: &Endpoint,
    body: B,
) -> Result<Response<Reply>, Box<Refusal>>
where
    B: Body<Data = Bytes> + Unpin,
{
    Ok(match endpoint {
        Endpoint::Playground | Endpoint::Client => unreachable!(),
        Endpoint::Generate(_) => serve::serve(call, body).await?,
        Endpoint::CountTokens => count::count_tokens(call, body).await?,
        Endpoint::Models => models::models(call)?,
        Endpoint::Model(name) => models::model(call, name)?,
        Endpoint::List => streams::list(call)?,
        Endpoint::Read(id) => streams::read(call, id)?,
        Endpoint::Cancel(id) => streams::cancel(call, id).await?,
        Endpoint::Forget(id) => streams::forget(call, id).await?,
        Endpoint::Ticket(id) => tickets::ticket(call, id, body).await?,
        Endpoint::ReadResponse(id) => responses::read_response(call, id)?,
        Endpoint::CancelResponse(id) => responses::cancel_response(call, id).await?,
        Endpoint::ForgetResponse(id) => responses::forget_response(call, id).await?,
        Endpoint::InputItems(id) => responses::input_items(call, id)?,
        Endpoint::ResumeChat(chat) => conversation::resume(call, chat)?,
        Endpoint::StopChat(chat) => conversation::stop(call, chat, body).await?,
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

async fn identify(
    gateway: &Gateway,
    snapshot: &Snapshot,
    context: &RequestContext,
    endpoint: &Endpoint,
    head: &Parts,
) -> Result<Caller, Fault> {
    let (auth, hub) = (&snapshot.auth, &gateway.hub);
    let request = AuthRequest {
        method: &head.method,
        headers: &head.headers,
        trusted_page: context.trusted_page,
    };
    // Read and cancel also accept a ticket; all other endpoints need the credentials of a caller.
    let (id, right) = match endpoint {
        Endpoint::Read(id) => (id, Right::Read),
        Endpoint::Cancel(id) => (id, Right::Cancel),
        _ => return auth.identify(&request).await,
    };
    tickets::identify_for_stream(auth, hub, &request, &head.uri, id, right).await
}
