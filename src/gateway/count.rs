//! `POST /v1/messages/count_tokens`: how many tokens a prompt has, by the target's own count where
//! it has one, else by our estimate, marked as such.

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
    /// Counts a prompt. It passes what a generation passes, and is none: no journal, and nothing to
    /// resume or cancel; it counts as a request, and takes no tokens.
    pub(super) async fn count<B>(
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
            .identify(&context.asking(&head.method, &head.headers))
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
            Err(refused) => {
                return Ok(self.refused_response(&refused, DialectId::Anthropic, context));
            }
        };
        pass.asked();
        let json = match upstream::count(&ask, &plan, &snapshot.clients).await? {
            Some(tokens) => format!("{{\"input_tokens\":{tokens}}}"),
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
