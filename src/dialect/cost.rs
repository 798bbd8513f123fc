//! What an answer costs, as a JSON value.

use bytes::{BufMut as _, BytesMut};

use crate::codec::json::put_json;
use crate::model::money::Money;

/// Writes an amount with all its digits, or `null`.
pub(super) fn put_cost(buf: &mut BytesMut, cost: Option<Money>) {
    match cost {
        Some(cost) => put_json(buf, &cost.to_string()),
        None => buf.put_slice(b"null"),
    }
}
