//! `POST /v1/messages/count_tokens`: the number of tokens of a prompt. The target counts them if it
//! can; otherwise our estimate is sent, marked as estimated.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;

use super::admit::admit;
use super::call::Call;
use super::reply::Reply;
use super::{body, headers};
use crate::dialect::anthropic;
use crate::limits::{Need, Refusal};
use crate::upstream;

/// Counts the tokens of a prompt. The request is admitted like a generation, but creates no
/// stream: there is nothing to resume or cancel. It takes one request and no tokens from the
/// limits.
pub(super) async fn count_tokens<B>(
    call: &Call<'_>,
    incoming: B,
) -> Result<Response<Reply>, Box<Refusal>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let headers = &call.head.headers;
    body::require_json(headers)?;
    let body = body::collect(incoming, call.snapshot.settings.max_body).await?;
    let ask = anthropic::parse_count(headers, body)?;
    let (plan, mut admission) = admit(call, &ask, Need::default(), |_| Ok(None))?;
    // From here an upstream is asked, so the request taken from the limits is not given back.
    admission.mark_asked();
    let json = match upstream::count(&ask, &plan, &call.snapshot.clients).await? {
        Some(tokens) => format!("{{\"input_tokens\":{tokens}}}"),
        // The target cannot count: send our estimate, marked as such.
        None => format!(
            "{{\"input_tokens\":{},\"sluicegate\":{{\"estimated\":true}}}}",
            ask.head.input_estimate
        ),
    };
    let mut response = headers::json(StatusCode::OK, json);
    response.extensions_mut().insert(admission.limit_states());
    Ok(response)
}
