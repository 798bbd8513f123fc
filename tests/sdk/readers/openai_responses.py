"""Reads with openai-python: `Reader` from its typed events, `Accumulator` with its stream helper.

The helper rejects the streams of several servers: incomplete responses, events before
`response.created`, items whose ids change, final responses without output (ChatGPT's own backend).
"""

import openai

from transcript import Transcript


class Reader:
    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model):
        items, text, last = {}, "", None
        with self.client.responses.create(model=model, input="x", stream=True) as stream:
            for event in stream:
                if event.type == "response.output_item.done":
                    items[event.output_index] = event.item
                elif event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                    last = event.response
        transcript = read_response(last, [items[at] for at in sorted(items)] or last.output)
        # An incomplete message has no `output_item.done`: its text is in the deltas only.
        transcript.choice().text = transcript.choice().text or text
        return transcript


class Accumulator:
    """Reads with the stream helper, which checks the order of events and the ids of items."""

    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model, prompt="x"):
        text, last, failure = "", None, None
        with self.client.responses.stream(model=model, input=prompt) as stream:
            try:
                for event in stream:
                    if event.type == "response.output_text.delta":
                        text = event.snapshot
                    elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                        last = event.response
            except openai.APIError as error:
                failure = error
            if last is not None and last.status == "completed":
                last = stream.get_final_response()
        transcript = read_response(last, last.output) if last else Transcript()
        transcript.failure = failure or (last and last.error)
        transcript.choice().text = transcript.choice().text or text
        return transcript

    def close(self):
        self.client.close()


def read_response(response, items):
    transcript = Transcript()
    to = transcript.choice()
    for item in items:
        read_item(to, item)
    reason = response.incomplete_details.reason if response.incomplete_details else None
    to.set_finish(reason or response.status)
    if response.status == "completed" and to.calls:
        to.finish = "tool_calls"
    usage = response.usage
    if usage:
        transcript.usage = {"input": usage.input_tokens, "output": usage.output_tokens, "cached": getattr(usage.input_tokens_details, "cached_tokens", 0),
                       "reasoning": getattr(usage.output_tokens_details, "reasoning_tokens", 0)}
    return transcript


def read_item(to, item):
    if item.type == "message":
        to.text += "".join(part.text for part in item.content if part.type == "output_text")
        to.refusal += "".join(part.refusal for part in item.content if part.type == "refusal")
    elif item.type == "reasoning":
        to.reasoning += "".join(part.text for part in [*item.summary, *(item.content or [])])
    elif item.type == "function_call":
        to.add_call(item.call_id, item.call_id, item.name, item.arguments)
    elif item.type == "custom_tool_call":
        to.add_call(item.call_id, item.call_id, item.name, item.input)
