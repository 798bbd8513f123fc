"""Reads with cohere, which has typed events but no accumulator."""

import cohere

from transcript import REASONS, Transcript


class Reader:
    def __init__(self, url):
        self.client = cohere.ClientV2(api_key="k", base_url=url, timeout=20)

    def read(self, model):
        transcript = Transcript()
        for event in self.client.chat_stream(model=model, messages=[{"role": "user", "content": "x"}]):
            read_event(transcript, transcript.choice(), event)
        return transcript


def read_event(transcript, to, event):
    message = getattr(event.delta, "message", None) if getattr(event, "delta", None) else None
    if event.type in ("content-start", "content-delta") and message.content:
        to.text += getattr(message.content, "text", None) or ""
        to.reasoning += getattr(message.content, "thinking", None) or ""
    elif event.type == "tool-plan-delta":
        to.reasoning += message.tool_plan or ""
    elif event.type == "tool-call-start":
        call = message.tool_calls
        to.add_call(event.index, call.id, call.function.name, call.function.arguments)
    elif event.type == "tool-call-delta":
        to.add_call(event.index, arguments=message.tool_calls.function.arguments)
    elif event.type == "message-end":
        to.finish = REASONS.get(event.delta.finish_reason, event.delta.finish_reason)
        usage = event.delta.usage
        if usage and usage.tokens:
            transcript.usage = {"input": int(usage.tokens.input_tokens or 0), "output": int(usage.tokens.output_tokens or 0)}
