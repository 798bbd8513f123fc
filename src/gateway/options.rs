//! Options in the headers of a request.

use std::time::Duration;

use bytestring::ByteString;
use http::HeaderMap;

use crate::codec::quantity;
use crate::dialect;
use crate::hub::{ClaimKey, OnDisconnect};
use crate::model::fault::Code;
use crate::model::fault::Fault;
use crate::model::ids::EventId;
use crate::model::wire::DialectId;

/// Default time that a stream without readers waits for one to come back.
const DEFAULT_GRACE: Duration = Duration::from_secs(15);

/// Sluicegate's own headers on a request for a generation.
#[derive(Debug)]
pub(super) struct Options {
    /// `x-stream-id` and `Idempotency-Key`.
    pub(super) claims: Vec<ClaimKey>,
    /// `x-event-ids: true`.
    pub(super) event_ids: bool,
    /// `x-on-disconnect`.
    on_disconnect: Option<OnDisconnect>,
    /// `x-retention`.
    pub(super) retention: Option<Duration>,
    /// `Last-Event-ID`.
    pub(super) last_event_id: Option<EventId>,
    /// `Prefer: respond-async`.
    pub(super) respond_async: bool,
}

impl Options {
    /// Parses the headers.
    ///
    /// # Errors
    /// 400 that names the header and the expected value.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut claims = Vec::new();
        if let Some(name) = header_text(headers, "x-stream-id")? {
            claims.push(ClaimKey::Name(parse_stream_name(name)?));
        }
        if let Some(key) = header_text(headers, "idempotency-key")? {
            claims.push(ClaimKey::Idempotency(parse_idempotency_key(key)?));
        }
        Ok(Self {
            claims,
            event_ids: header_text(headers, "x-event-ids")?
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            on_disconnect: header_text(headers, "x-on-disconnect")?
                .map(parse_on_disconnect)
                .transpose()?,
            retention: header_text(headers, "x-retention")?
                .map(parse_retention)
                .transpose()?,
            last_event_id: last_event_id(headers)?,
            respond_async: header_text(headers, "prefer")?.is_some_and(|value| {
                value
                    .split(',')
                    // `Prefer` is a list; other preferences are ignored.
                    .any(|it| it.trim().eq_ignore_ascii_case("respond-async"))
            }),
        })
    }

    /// Returns the policy for a stream that loses its last reader: from the request, otherwise from
    /// the configuration, otherwise from the dialect and whether the client can resume.
    pub(super) fn on_disconnect(
        &self,
        configured: Option<OnDisconnect>,
        dialect: DialectId,
        detached: bool,
    ) -> OnDisconnect {
        // With ids or a name the client can find the stream again after a cut.
        let has_ids = self.event_ids || dialect::of(dialect).profile().ids_by_default;
        let default = if detached {
            OnDisconnect::Continue
        } else if has_ids || !self.claims.is_empty() {
            OnDisconnect::Grace(DEFAULT_GRACE)
        } else {
            OnDisconnect::Cancel
        };
        // Nobody reads a detached stream at first: a configured `cancel` would end it at once.
        let configured = if detached { None } else { configured };
        self.on_disconnect.or(configured).unwrap_or(default)
    }
}

/// Returns the event id in `Last-Event-ID`, if present.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Fault> {
    header_text(headers, "last-event-id")?
        // An empty id means that the client has received no event id yet.
        .filter(|id| !id.is_empty())
        .map(parse_event_id)
        .transpose()
}

/// Parses an event id.
pub(super) fn parse_event_id(text: &str) -> Result<EventId, Fault> {
    EventId::parse(text).ok_or_else(|| {
        Fault::new(
            Code::BadEventId,
            "the event id is malformed: send the last event id that you received",
        )
    })
}

fn header_text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Fault> {
    let value = headers.get(name).map(|value| value.to_str().map(str::trim));
    value.transpose().map_err(|_| {
        Fault::invalid(
            name,
            format!("the header `{name}` has characters that are not visible ASCII"),
        )
    })
}

fn parse_stream_name(text: &str) -> Result<ByteString, Fault> {
    if crate::hub::is_stream_name(text) {
        return Ok(text.into());
    }
    Err(Fault::invalid(
        "x-stream-id",
        "the header `x-stream-id` takes 22 to 64 of `A-Z a-z 0-9 _ -`",
    ))
}

fn parse_idempotency_key(text: &str) -> Result<ByteString, Fault> {
    if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.into());
    }
    Err(Fault::invalid(
        "idempotency-key",
        "the header `Idempotency-Key` takes 1 to 255 visible ASCII characters",
    ))
}

fn parse_on_disconnect(text: &str) -> Result<OnDisconnect, Fault> {
    let grace = || {
        text.strip_prefix("grace")
            .and_then(|rest| parse_duration(rest.trim()))
            .map(OnDisconnect::Grace)
    };
    match text {
        "cancel" => Ok(OnDisconnect::Cancel),
        "continue" => Ok(OnDisconnect::Continue),
        _ => grace().ok_or_else(|| {
            Fault::invalid(
                "x-on-disconnect",
                "the header `x-on-disconnect` takes `cancel`, `continue` or `grace 15s`",
            )
        }),
    }
}

fn parse_retention(text: &str) -> Result<Duration, Fault> {
    parse_duration(text).ok_or_else(|| {
        Fault::invalid(
            "x-retention",
            "the header `x-retention` takes a duration such as `30s`, `5m` or `0s`",
        )
    })
}

/// Parses a duration such as `500ms`, `15s`, `5m` or `1h`, at most one day.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    // The configuration accepts days and a space before the unit; the API never has.
    let plain = !text.contains([' ', 'd']);
    quantity::parse_duration(text).filter(|time| plain && *time <= DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &'static str, value: &str) -> Result<Options, Fault> {
        Options::parse(&HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )]))
    }

    #[test]
    fn the_header_wins_over_configuration_and_configuration_over_the_default() {
        let none = Options::parse(&HeaderMap::new()).unwrap();
        assert_eq!(
            none.on_disconnect(None, DialectId::OpenaiChat, false),
            OnDisconnect::Cancel
        );
        assert_eq!(
            none.on_disconnect(None, DialectId::Events, false),
            OnDisconnect::Grace(DEFAULT_GRACE)
        );
        assert_eq!(
            none.on_disconnect(None, DialectId::Events, true),
            OnDisconnect::Continue
        );
        assert_eq!(
            none.on_disconnect(Some(OnDisconnect::Continue), DialectId::OpenaiChat, false),
            OnDisconnect::Continue
        );
        let back = options("x-event-ids", "true").unwrap();
        assert_eq!(
            back.on_disconnect(None, DialectId::OpenaiChat, false),
            OnDisconnect::Grace(DEFAULT_GRACE)
        );
        let own = options("x-on-disconnect", "grace 500ms").unwrap();
        assert_eq!(
            own.on_disconnect(Some(OnDisconnect::Cancel), DialectId::Events, true),
            OnDisconnect::Grace(Duration::from_millis(500))
        );
    }

    #[test]
    fn errors_name_the_header() {
        for (name, value) in [
            ("x-stream-id", "short"),
            ("x-stream-id", "has a space in it, and more"),
            ("idempotency-key", ""),
            ("x-on-disconnect", "maybe"),
            ("x-on-disconnect", "grace 1x"),
            ("x-retention", "soon"),
            ("x-retention", "99999999999999999999h"),
            ("x-retention", "25h"),
            ("x-retention", "1d"),
            ("x-retention", "15 s"),
        ] {
            assert_eq!(
                options(name, value).unwrap_err().param.as_deref(),
                Some(name),
                "{value}"
            );
        }
        assert_eq!(
            options("last-event-id", "x y").unwrap_err().code,
            Code::BadEventId
        );
    }
}
