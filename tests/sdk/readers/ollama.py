"""Reads with ollama, which has typed lines but no accumulator."""

import json

import ollama

from transcript import REASONS, Transcript


class Reader:
    def __init__(self, url):
        self.client = ollama.Client(host=url, timeout=20)

    def read(self, model):
        transcript = Transcript()
        for line in self.client.chat(model=model, messages=[{"role": "user", "content": "x"}], stream=True):
            read_line(transcript, transcript.choice(), line)
        return transcript


def read_line(transcript, to, line):
    to.text += line.message.content or ""
    to.reasoning += line.message.thinking or ""
    for call in line.message.tool_calls or []:
        to.add_call(len(to.calls), getattr(call, "id", None), call.function.name, json.dumps(dict(call.function.arguments)))
    if line.done:
        to.finish = "tool_calls" if to.calls and line.done_reason == "stop" else REASONS.get(line.done_reason, line.done_reason)
        # Ollama omits counts of 0.
        counts = {"input": line.prompt_eval_count, "output": line.eval_count}
        transcript.usage = {name: count for name, count in counts.items() if count is not None}
