//! The signatures of reasoning on wires that have none.
//!
//! A signature that is made here tells the requests that follow which wire made the reasoning, and
//! which member of a message carries it: it is sent back to this wire only.

use bytestring::ByteString;

use super::sink::Sink;

/// Reasoning that has begun and not ended.
#[derive(Default)]
pub(in crate::wire) struct MarkedReasoning {
    /// The member that carries it.
    member: Option<&'static str>,
}

impl MarkedReasoning {
    /// Writes a piece of the reasoning in this member of the message.
    pub(in crate::wire) fn write(
        &mut self,
        member: &'static str,
        delta: ByteString,
        sink: &mut Sink<'_>,
    ) {
        if delta.is_empty() {
            return;
        }
        // Each member has a signature of its own, because it goes back in that member.
        if self.member.is_some_and(|open| open != member) {
            self.end(sink);
        }
        self.member = Some(member);
        sink.reasoning(delta);
    }

    /// Ends the reasoning, which any other content does: writes its signature.
    pub(in crate::wire) fn end(&mut self, sink: &mut Sink<'_>) {
        if let Some(member) = self.member.take() {
            sink.signature(Some(ByteString::from_static(member)), None);
        }
    }
}
