"""Reads with anthropic and its accumulator of Messages events."""

import json

import anthropic

from transcript import Transcript


class Reader:
    def __init__(self, url):
        self.client = anthropic.Anthropic(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model, prompt="x"):
        begun, transcript = False, Transcript()
        with self.client.messages.stream(model=model, max_tokens=9, messages=[{"role": "user", "content": prompt}]) as stream:
            try:
                for _ in stream:
                    begun = True
            except anthropic.APIError as error:
                transcript.failure = error
            if begun:
                read_message(transcript, stream.current_message_snapshot)
        return transcript

    def close(self):
        self.client.close()


def read_message(transcript, message):
    to = transcript.choice()
    for block in message.content:
        if block.type == "text":
            to.text += block.text
        elif block.type == "thinking":
            to.reasoning += block.thinking
        elif block.type == "tool_use":
            to.add_call(block.id, block.id, block.name, json.dumps(block.input))
    to.set_finish(message.stop_reason)
    usage = message.usage
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    transcript.usage = {"input": usage.input_tokens + cached + written, "output": usage.output_tokens, "cached": cached}
    if usage.output_tokens_details:
        transcript.usage["reasoning"] = usage.output_tokens_details.thinking_tokens
