"""anthropic: its own accumulator of Messages events."""

import json

import anthropic

from heard import Heard


class Reader:
    def __init__(self, url):
        self.client = anthropic.Anthropic(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model, prompt="x"):
        begun, heard = False, Heard()
        with self.client.messages.stream(model=model, max_tokens=9, messages=[{"role": "user", "content": prompt}]) as stream:
            try:
                for _ in stream:
                    begun = True
            except anthropic.APIError as error:
                heard.failure = error
            if begun:
                of_message(heard, stream.current_message_snapshot)
        return heard

    def close(self):
        self.client.close()


def of_message(heard, answer):
    to = heard.choice()
    for block in answer.content:
        if block.type == "text":
            to.text += block.text
        elif block.type == "thinking":
            to.reasoning += block.thinking
        elif block.type == "tool_use":
            to.call(block.id, block.id, block.name, json.dumps(block.input))
    to.ended(answer.stop_reason)
    told = answer.usage
    cached, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
    heard.usage = {"input": told.input_tokens + cached + written, "output": told.output_tokens, "cached": cached}
    if told.output_tokens_details:
        heard.usage["reasoning"] = told.output_tokens_details.thinking_tokens
