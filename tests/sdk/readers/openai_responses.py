"""openai-python: events of its own types, and the items that they bring when these are done; and its own accumulator.

The accumulator refuses what several servers send: an answer that was cut short, events before `response.created`, items
whose ids change, a final response without output (ChatGPT's own backend).
"""

import openai

from heard import Heard


class Reader:
    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model):
        items, said, last = {}, "", None
        with self.client.responses.create(model=model, input="x", stream=True) as stream:
            for event in stream:
                if event.type == "response.output_item.done":
                    items[event.output_index] = event.item
                elif event.type == "response.output_text.delta":
                    said += event.delta
                elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                    last = event.response
        heard = of_response(last, [items[at] for at in sorted(items)] or last.output)
        # What was cut short has no item that is done.
        heard.choice().text = heard.choice().text or said
        return heard


class Accumulator:
    """The stream helper, which is strict about the order of events and the identity of items."""

    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model, prompt="x"):
        said, last, failure = "", None, None
        with self.client.responses.stream(model=model, input=prompt) as stream:
            try:
                for event in stream:
                    if event.type == "response.output_text.delta":
                        said = event.snapshot
                    elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                        last = event.response
            except openai.APIError as error:
                failure = error
            if last is not None and last.status == "completed":
                last = stream.get_final_response()
        heard = of_response(last, last.output) if last else Heard()
        heard.failure = failure or (last and last.error)
        heard.choice().text = heard.choice().text or said
        return heard

    def close(self):
        self.client.close()


def of_response(answer, items):
    heard = Heard()
    to = heard.choice()
    for item in items:
        of_item(to, item)
    reason = answer.incomplete_details.reason if answer.incomplete_details else None
    to.ended(reason or answer.status)
    if answer.status == "completed" and to.calls:
        to.finish = "tool_calls"
    told = answer.usage
    if told:
        heard.usage = {"input": told.input_tokens, "output": told.output_tokens, "cached": getattr(told.input_tokens_details, "cached_tokens", 0),
                       "reasoning": getattr(told.output_tokens_details, "reasoning_tokens", 0)}
    return heard


def of_item(to, item):
    if item.type == "message":
        to.text += "".join(part.text for part in item.content if part.type == "output_text")
        to.refusal += "".join(part.refusal for part in item.content if part.type == "refusal")
    elif item.type == "reasoning":
        to.reasoning += "".join(part.text for part in [*item.summary, *(item.content or [])])
    elif item.type == "function_call":
        to.call(item.call_id, item.call_id, item.name, item.arguments)
    elif item.type == "custom_tool_call":
        to.call(item.call_id, item.call_id, item.name, item.input)
