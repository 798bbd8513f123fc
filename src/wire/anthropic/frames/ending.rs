//! The stop reason of an answer, and the explanation of a refusal.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::super::shape::StopDetails;
use crate::codec::lenient::Text;
use crate::model::event::{Event, Reason};
use crate::wire::kit::ending;
use crate::wire::kit::sink::Sink;

/// The stop reason of the answer, as far as it is known.
#[derive(Default)]
pub(super) struct Ending {
    native: Option<ByteString>,
    explained: bool,
}

impl Ending {
    /// Records a stop reason, and emits the explanation that comes with a refusal.
    pub(super) fn record(
        &mut self,
        native: Option<&Text<'_>>,
        details: Option<&RawValue>,
        sink: &mut Sink<'_>,
    ) {
        let Some(native) = native else { return };
        self.native = Some(native.slice_of(sink.frame));
        // The same refusal may be reported by several events.
        if reason(native.as_str()) != Reason::ContentFilter || self.explained {
            return;
        }
        // An explanation in a newer shape is not a reason to fail: the refusal itself is reported.
        let details =
            details.and_then(|details| serde_json::from_str::<StopDetails<'_>>(details.get()).ok());
        let explanation = details.and_then(|details| details.explanation);
        if let Some(delta) = sink.slice(explanation.as_ref()) {
            sink.refusal(delta);
            self.explained = true;
        }
    }

    /// Returns the `Finish` of the only choice.
    pub(super) fn finish(&mut self, has_calls: bool) -> Event {
        let native = self.native.take();
        ending::finish(0, native.as_deref().map(reason), native, has_calls)
    }
}

/// Normalizes a `stop_reason`. One that is newer than this code counts as a normal stop, because
/// the client receives the native reason as well.
fn reason(native: &str) -> Reason {
    match native {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::ToolCalls,
        "refusal" => Reason::ContentFilter,
        // Also `pause_turn` and `compaction`, which have no normalized form.
        _ => Reason::Stop,
    }
}
