//! The cost of an answer, as a JSON value.

use bytes::{BufMut as _, BytesMut};

use crate::codec::json::put_json;
use crate::model::money::Money;

/// Writes an amount with all its digits, or `null` where it is unknown.
pub(super) fn put_cost(buf: &mut BytesMut, cost: Option<Money>) {
    match cost {
        // The decimal text is a JSON number; a float would lose digits.
        Some(cost) => put_json(buf, &cost.to_string()),
        None => buf.put_slice(b"null"),
    }
}
