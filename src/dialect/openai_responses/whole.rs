//! Encodes a whole answer over another wire as a response object. It equals the object in the
//! terminal event of its stream, because the same encoder writes it.

use bytes::Bytes;
use smallvec::smallvec;

use super::ResponseView;
use crate::dialect::View;
use crate::model::entry::Entry;
use crate::model::event::{Event, ToolCall};
use crate::model::fold::{Answer, Part};

/// Returns the answer as JSON, completed or cancelled.
pub(super) fn body(view: &View, answer: &Answer) -> Bytes {
    let mut response_view = ResponseView::new(View {
        // A folded answer has no payloads to pass on.
        raw: false,
        ..view.clone()
    });
    let mut write = |event: Event| response_view.read(&Entry::new(smallvec![event]));
    if let Some(route) = &answer.route {
        write(Event::Route(Box::new(route.clone())));
    }
    if let Some(choice) = answer.choices.first() {
        // The last part may have been cut off; every earlier one is complete.
        let last = choice.parts.len().saturating_sub(1);
        for (at, part) in choice.parts.iter().enumerate() {
            write_part(part, at < last, &mut write);
        }
        if let Some(finish) = &choice.finish {
            write(Event::Finish(Box::new(finish.clone())));
        }
    }
    if let Some(usage) = answer.usage {
        write(Event::Usage(Box::new(usage)));
    }
    if let Some(failure) = &answer.failure {
        write(Event::Error(Box::new(failure.clone())));
    }
    if let Some(end) = &answer.end {
        write(Event::End(Box::new(end.clone())));
    }
    response_view.object()
}

/// Writes the events of a part. A call with content after it is complete.
fn write_part(part: &Part, complete: bool, write: &mut impl FnMut(Event)) {
    let choice = 0;
    match part {
        Part::Text(text) => write(Event::Text {
            choice,
            delta: text.as_str().into(),
        }),
        Part::Reasoning(text) => write(Event::Reasoning {
            choice,
            delta: text.as_str().into(),
        }),
        Part::Refusal(text) => write(Event::Refusal {
            choice,
            delta: text.as_str().into(),
        }),
        Part::Signature(it) => write(Event::Signature(Box::new(it.clone()))),
        Part::Citation(it) => write(Event::Citation(Box::new(it.clone()))),
        Part::Raw(it) => write(Event::Raw(Box::new(it.clone()))),
        Part::ToolCall { .. } => write_call(part, complete, write),
    }
}

fn write_call(part: &Part, complete: bool, write: &mut impl FnMut(Event)) {
    let choice = 0;
    let &Part::ToolCall {
        index,
        ref id,
        ref name,
        ref arguments,
        ref signature,
        custom,
    } = part
    else {
        return;
    };
    write(Event::ToolCall(Box::new(ToolCall {
        choice,
        index,
        id: id.clone(),
        name: name.clone(),
        signature: signature.clone(),
        custom,
    })));
    write(Event::ToolArguments {
        choice,
        index,
        delta: arguments.as_str().into(),
    });
    if complete {
        write(Event::ToolCallEnd { choice, index });
    }
}
