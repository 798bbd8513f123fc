"""cohere: events of its own types; it has no accumulator."""

import cohere

from heard import Heard, REASONS


class Reader:
    def __init__(self, url):
        self.client = cohere.ClientV2(api_key="k", base_url=url, timeout=20)

    def read(self, model):
        heard = Heard()
        for event in self.client.chat_stream(model=model, messages=[{"role": "user", "content": "x"}]):
            of_event(heard, heard.choice(), event)
        return heard


def of_event(heard, to, event):
    message = getattr(event.delta, "message", None) if getattr(event, "delta", None) else None
    if event.type in ("content-start", "content-delta") and message.content:
        to.text += getattr(message.content, "text", None) or ""
        to.reasoning += getattr(message.content, "thinking", None) or ""
    elif event.type == "tool-plan-delta":
        to.reasoning += message.tool_plan or ""
    elif event.type == "tool-call-start":
        call = message.tool_calls
        to.call(event.index, call.id, call.function.name, call.function.arguments)
    elif event.type == "tool-call-delta":
        to.call(event.index, arguments=message.tool_calls.function.arguments)
    elif event.type == "message-end":
        to.finish = REASONS.get(event.delta.finish_reason, event.delta.finish_reason)
        told = event.delta.usage
        if told and told.tokens:
            heard.usage = {"input": int(told.tokens.input_tokens or 0), "output": int(told.tokens.output_tokens or 0)}
