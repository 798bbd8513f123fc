//! `POST /v1/messages/count_tokens`: the number of tokens of a prompt. The target counts them if it
//! can; otherwise our estimate is sent, marked as estimated.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;

use super::reply::Reply;
use super::{Gateway, RequestContext, Snapshot, body, headers};
use crate::dialect::anthropic;
use crate::limits::Need;
use crate::model::fault::Fault;
use crate::model::wire::DialectId;
use crate::upstream;

impl Gateway {
    /// Counts the tokens of a prompt. The request is admitted like a generation, but creates no
    /// stream: there is nothing to resume or cancel. It takes one request and no tokens from the
    /// limits.
    pub(super) async fn count_tokens<B>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        request: Request<B>,
    ) -> Result<Response<Reply>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, incoming) = request.into_parts();
        let caller = snapshot
            .auth
            .identify(&context.auth_request(&head.method, &head.headers))
            .await?;
        body::require_json(&head.headers)?;
        let body = body::collect(incoming, snapshot.settings.max_body).await?;
        let ask = anthropic::parse_count(&head.headers, body)?;
        let (plan, mut pass, ()) = match self.admit(
            snapshot,
            context,
            &caller,
            &ask,
            Need::default(),
            |_| Ok(()),
        ) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                return Ok(self.refusal_response(&refusal, DialectId::Anthropic, context));
            }
        };
        // From here an upstream is asked, so the request taken from the limits is not given back.
        pass.mark_asked();
        let json = match upstream::count(&ask, &plan, &snapshot.clients).await? {
            Some(tokens) => format!("{{\"input_tokens\":{tokens}}}"),
            // The target cannot count: send our estimate, marked as such.
            None => format!(
                "{{\"input_tokens\":{},\"sluicegate\":{{\"estimated\":true}}}}",
                ask.input_estimate
            ),
        };
        let mut response = headers::json(StatusCode::OK, json);
        response.extensions_mut().insert(pass.limit_states);
        Ok(response)
    }
}
