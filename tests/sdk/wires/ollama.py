"""Ollama's own chat: a JSON object a line, calls whole."""

import json

from .common import INPUT_TOKENS, Wire


class Ollama(Wire):
    NAME = "ollama"
    KIND = "application/x-ndjson"
    THOUGHT = "Two cities, two calls, says a llama."

    @classmethod
    def owns(cls, target):
        return target.endswith("/api/chat")

    @classmethod
    def called(cls, body):
        calls = [call for message in body["messages"] for call in message.get("tool_calls") or []]
        return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]

    @classmethod
    def answered(cls, body):
        return [(m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool" and m["tool_name"] == "weather"]

    @classmethod
    def line(cls, said, **fields):
        whole = {"model": "m-up", "created_at": "2026-11-25T00:00:00Z", "message": {"role": "assistant", "content": ""} | said, "done": False} | fields
        return json.dumps(whole, ensure_ascii=len(str(whole)) % 2 == 0) + "\n"

    @classmethod
    def thought(cls):
        return [cls.line({"thinking": cls.THOUGHT})]

    @classmethod
    def token(cls, text, *_):
        return cls.line({"content": text})

    @classmethod
    def calls(cls, _):
        calls = [{"id": id, "function": {"index": at, "name": name, "arguments": it}} for at, (id, name, it) in enumerate(cls.tools())]
        return cls.thought() + [cls.line({"tool_calls": [call]}) for call in calls]

    @classmethod
    def closing(cls, _, output, __, said):
        counts = {"prompt_eval_count": INPUT_TOKENS, "eval_count": output} if output else {"prompt_eval_count": INPUT_TOKENS}
        return cls.line({}, done=True, done_reason="stop", total_duration=1, **counts)

    @classmethod
    def error(cls, message):
        return json.dumps(cls.refusal(500, message)) + "\n"

    @classmethod
    def refusal(cls, _, message):
        return {"error": message}
