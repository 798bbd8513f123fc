//! What a request's headers ask for beside its body.

use std::time::Duration;

use bytestring::ByteString;
use http::HeaderMap;

use crate::hub::{ClaimKey, OnDisconnect};
use crate::model::fault::Code;
use crate::model::fault::Fault;
use crate::model::ids::EventId;
use crate::model::wire::DialectId;

/// How long a stream waits for somebody to come back, where that is the default.
const GRACE: Duration = Duration::from_secs(15);

/// The headers of ours on a generation's request.
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
    /// Reads them.
    ///
    /// # Errors
    /// 400 that names the header and what was expected.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut claims = Vec::new();
        if let Some(name) = text(headers, "x-stream-id")? {
            claims.push(ClaimKey::Name(stream_name(name)?));
        }
        if let Some(key) = text(headers, "idempotency-key")? {
            claims.push(ClaimKey::Idempotency(idempotency_key(key)?));
        }
        Ok(Self {
            claims,
            event_ids: text(headers, "x-event-ids")?
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            on_disconnect: text(headers, "x-on-disconnect")?
                .map(on_disconnect)
                .transpose()?,
            retention: text(headers, "x-retention")?.map(retention).transpose()?,
            last_event_id: last_event_id(headers)?,
            respond_async: text(headers, "prefer")?.is_some_and(|value| {
                value
                    .split(',')
                    .any(|it| it.trim().eq_ignore_ascii_case("respond-async"))
            }),
        })
    }

    /// What happens when the last reader is gone: as the request says, else the configuration, else
    /// the dialect and whether the client means to come back.
    pub(super) fn on_disconnect(
        &self,
        configured: Option<OnDisconnect>,
        dialect: DialectId,
        detached: bool,
    ) -> OnDisconnect {
        let comes_back = self.event_ids || !self.claims.is_empty();
        let default = match dialect {
            _ if detached => OnDisconnect::Continue,
            _ if comes_back || dialect.answers_at_once() => OnDisconnect::Grace(GRACE),
            _ => OnDisconnect::Cancel,
        };
        let configured = if detached { None } else { configured };
        self.on_disconnect.or(configured).unwrap_or(default)
    }
}

/// The event id in `Last-Event-ID`, if there is one.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Fault> {
    text(headers, "last-event-id")?
        .filter(|id| !id.is_empty())
        .map(event_id)
        .transpose()
}

/// An event id of ours.
pub(super) fn event_id(text: &str) -> Result<EventId, Fault> {
    EventId::parse(text).ok_or_else(|| {
        Fault::new(
            Code::BadEventId,
            "the event id is none of ours: send the last id that was received",
        )
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Fault> {
    let value = headers.get(name).map(|value| value.to_str().map(str::trim));
    value.transpose().map_err(|_| {
        Fault::invalid(
            name,
            format!("the header `{name}` has characters that are not visible ASCII"),
        )
    })
}

fn stream_name(text: &str) -> Result<ByteString, Fault> {
    if crate::hub::is_name(text) {
        return Ok(text.into());
    }
    Err(Fault::invalid(
        "x-stream-id",
        "the header `x-stream-id` takes 22 to 64 of `A-Z a-z 0-9 _ -`",
    ))
}

fn idempotency_key(text: &str) -> Result<ByteString, Fault> {
    if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.into());
    }
    Err(Fault::invalid(
        "idempotency-key",
        "the header `Idempotency-Key` takes 1 to 255 visible ASCII characters",
    ))
}

fn on_disconnect(text: &str) -> Result<OnDisconnect, Fault> {
    let grace = || {
        text.strip_prefix("grace")
            .and_then(|rest| duration(rest.trim()))
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

fn retention(text: &str) -> Result<Duration, Fault> {
    duration(text).ok_or_else(|| {
        Fault::invalid(
            "x-retention",
            "the header `x-retention` takes a duration such as `30s`, `5m` or `0s`",
        )
    })
}

/// A duration such as `500ms`, `15s`, `5m`, `1h`; no longer than a day.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return None,
    };
    unit.checked_mul(u32::try_from(number).ok()?)
        .filter(|time| *time <= DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &'static str, value: &str) -> Result<Options, Fault> {
        Options::of(&HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )]))
    }

    #[test]
    fn the_policy_is_the_requests_then_the_operators_then_the_dialects() {
        let none = Options::of(&HeaderMap::new()).unwrap();
        assert_eq!(
            none.on_disconnect(None, DialectId::OpenaiChat, false),
            OnDisconnect::Cancel
        );
        assert_eq!(
            none.on_disconnect(None, DialectId::Events, false),
            OnDisconnect::Grace(GRACE)
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
            OnDisconnect::Grace(GRACE)
        );
        let own = options("x-on-disconnect", "grace 500ms").unwrap();
        assert_eq!(
            own.on_disconnect(Some(OnDisconnect::Cancel), DialectId::Events, true),
            OnDisconnect::Grace(Duration::from_millis(500))
        );
    }

    #[test]
    fn bad_headers_are_named() {
        for (name, value) in [
            ("x-stream-id", "short"),
            ("x-stream-id", "has a space in it, and more"),
            ("idempotency-key", ""),
            ("x-on-disconnect", "maybe"),
            ("x-on-disconnect", "grace 1x"),
            ("x-retention", "soon"),
            ("x-retention", "99999999999999999999h"),
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
