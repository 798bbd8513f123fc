"""openai-python: events of its own types, and the items that they bring when these are done.

Its accumulator refuses what several servers send: an answer that was cut short, events before `response.created`, items
whose ids change, a final response without output (ChatGPT's own backend).
"""

import openai

from heard import Heard, REASONS


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


def of_response(answer, items):
    heard = Heard()
    to = heard.choice()
    for item in items:
        of_item(to, item)
    reason = answer.incomplete_details.reason if answer.incomplete_details else None
    to.finish = REASONS.get(reason) or ("tool_calls" if to.calls else REASONS.get(answer.status, answer.status))
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
