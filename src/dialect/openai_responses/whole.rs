//! A response object: the whole answer of a non-streaming request over another wire. It is what the
//! terminal event of its stream holds, by way of the same encoder.

use bytes::Bytes;
use smallvec::smallvec;

use super::ResponseView;
use crate::dialect::View;
use crate::model::entry::Entry;
use crate::model::event::{Event, ToolCall};
use crate::model::fold::{Answer, Part};

/// The answer as JSON, completed or cancelled.
pub(super) fn body(view: &View, answer: &Answer) -> Bytes {
    let mut response_view = ResponseView::new(View {
        raw: false,
        ..view.clone()
    });
    let mut tell = |event: Event| response_view.take(&Entry::of(smallvec![event]));
    if let Some(route) = &answer.route {
        tell(Event::Route(Box::new(route.clone())));
    }
    if let Some(choice) = answer.choices.first() {
        let last = choice.parts.len().saturating_sub(1);
        for (at, part) in choice.parts.iter().enumerate() {
            said(part, at < last, &mut tell);
        }
        if let Some(finish) = &choice.finish {
            tell(Event::Finish(Box::new(finish.clone())));
        }
    }
    if let Some(usage) = answer.usage {
        tell(Event::Usage(Box::new(usage)));
    }
    if let Some(failure) = &answer.failure {
        tell(Event::Error(Box::new(failure.clone())));
    }
    if let Some(end) = &answer.end {
        tell(Event::End(Box::new(end.clone())));
    }
    response_view.object()
}

/// What a part was told by. A call behind which more came is taken to be complete.
fn said(part: &Part, complete: bool, tell: &mut impl FnMut(Event)) {
    let choice = 0;
    match part {
        Part::Text(text) => tell(Event::Text {
            choice,
            delta: text.as_str().into(),
        }),
        Part::Reasoning(text) => tell(Event::Reasoning {
            choice,
            delta: text.as_str().into(),
        }),
        Part::Refusal(text) => tell(Event::Refusal {
            choice,
            delta: text.as_str().into(),
        }),
        Part::Signature(it) => tell(Event::Signature(Box::new(it.clone()))),
        Part::Citation(it) => tell(Event::Citation(Box::new(it.clone()))),
        Part::Raw(it) => tell(Event::Raw(Box::new(it.clone()))),
        &Part::ToolCall {
            index,
            ref id,
            ref name,
            ref arguments,
            ref signature,
            custom,
        } => {
            let (id, name, signature) = (id.clone(), name.clone(), signature.clone());
            tell(Event::ToolCall(Box::new(ToolCall {
                choice,
                index,
                id,
                name,
                signature,
                custom,
            })));
            tell(Event::ToolArguments {
                choice,
                index,
                delta: arguments.as_str().into(),
            });
            if complete {
                tell(Event::ToolCallEnd { choice, index });
            }
        }
    }
}
