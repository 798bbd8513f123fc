"""ollama: lines of its own types; it has no accumulator."""

import json

import ollama

from heard import Heard, REASONS


class Reader:
    def __init__(self, url):
        self.client = ollama.Client(host=url, timeout=20)

    def read(self, model):
        heard = Heard()
        for line in self.client.chat(model=model, messages=[{"role": "user", "content": "x"}], stream=True):
            of_line(heard, heard.choice(), line)
        return heard


def of_line(heard, to, line):
    to.text += line.message.content or ""
    to.reasoning += line.message.thinking or ""
    for call in line.message.tool_calls or []:
        to.call(len(to.calls), getattr(call, "id", None), call.function.name, json.dumps(dict(call.function.arguments)))
    if line.done:
        to.finish = "tool_calls" if to.calls and line.done_reason == "stop" else REASONS.get(line.done_reason, line.done_reason)
        # A count of nothing is left out.
        counts = {"input": line.prompt_eval_count, "output": line.eval_count}
        heard.usage = {name: count for name, count in counts.items() if count is not None}
