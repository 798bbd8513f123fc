"""Reads with mistralai, which has typed chunks but no accumulator."""

import json

from mistralai.client import Mistral

from transcript import REASONS, Transcript


class Reader:
    def __init__(self, url):
        self.client = Mistral(api_key="sk", server_url=url, timeout_ms=20_000)

    def read(self, model):
        transcript = Transcript()
        with self.client.chat.stream(model=model, messages=[{"role": "user", "content": "x"}]) as stream:
            for event in stream:
                read_chunk(transcript, event.data)
        return transcript


def read_chunk(transcript, data):
    for choice in data.choices:
        to = transcript.choice(choice.index)
        read_content(to, choice.delta.content)
        for call in choice.delta.tool_calls or []:
            arguments = call.function.arguments
            to.add_call(call.id, call.id, call.function.name, arguments if isinstance(arguments, str) else json.dumps(arguments))
        if choice.finish_reason:
            to.finish = REASONS.get(choice.finish_reason, choice.finish_reason)
    if data.usage:
        transcript.usage = {"input": data.usage.prompt_tokens, "output": data.usage.completion_tokens}


def read_content(to, delta):
    if isinstance(delta, str):
        to.text += delta
        return
    for part in delta or []:
        if part.type == "text":
            to.text += part.text
        elif part.type == "thinking":
            to.reasoning += "".join(piece.text for piece in part.thinking if piece.type == "text")
