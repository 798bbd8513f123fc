//! One request of an identified caller, with everything that its handler uses beside the body.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, header};

use super::query::Query;
use super::{Gateway, RequestContext, Snapshot};
use crate::auth::Caller;
use crate::dialect::{self, Dialect};
use crate::hub::Stream;
use crate::model::fault::Fault;
use crate::model::wire::DialectId;

/// A request whose caller is known.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Gateway,
    /// The configuration for the whole request.
    pub(super) snapshot: &'a Snapshot,
    /// The facts that the edge knows.
    pub(super) context: &'a RequestContext,
    /// The head of the request.
    pub(super) head: &'a Parts,
    /// The dialect of the path.
    pub(super) dialect: DialectId,
    pub(super) caller: Caller,
}

impl Call<'_> {
    /// Returns the dialect of the path.
    pub(super) fn codec(&self) -> &'static dyn Dialect {
        dialect::of(self.dialect)
    }

    /// Returns the caller's stream with that id or name.
    ///
    /// # Errors
    /// 404 if there is none.
    pub(super) fn find(&self, id: &str) -> Result<Arc<Stream>, Fault> {
        self.gateway.hub.find(&self.caller.id, id)
    }

    /// Returns the parameters in the URI.
    pub(super) fn query(&self) -> Query<'_> {
        Query::parse(&self.head.uri)
    }

    /// Takes one read from the read limits of the caller.
    ///
    /// # Errors
    /// 429 if they are used up.
    pub(super) fn count_read(&self) -> Result<(), Fault> {
        let (id, key) = (&self.caller.id, self.caller.key());
        self.snapshot
            .limits
            .read(id, key, self.caller.limits())
            .map_err(|fault| *fault)
    }

    /// Returns true if the client requests only the head (HEAD).
    pub(super) fn head_only(&self) -> bool {
        self.head.method == Method::HEAD
    }

    /// Returns true if the client accepts event streams.
    pub(super) fn wants_events(&self) -> bool {
        // Substring match: browsers and SDKs append weights and other types.
        let accepts = |value: &header::HeaderValue| {
            value
                .to_str()
                .is_ok_and(|text| text.contains("text/event-stream"))
        };
        let accepted = self.head.headers.get_all(header::ACCEPT);
        accepted.iter().any(accepts)
    }
}
