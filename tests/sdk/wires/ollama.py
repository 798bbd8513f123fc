"""Ollama's own chat API: one JSON object per line, and each tool call in one piece."""

import json

from .common import INPUT_TOKENS, Wire


class Ollama(Wire):
    NAME = "ollama"
    KIND = "application/x-ndjson"
    REASONING = "Two cities, two calls, says a llama."

    @classmethod
    def matches(cls, target):
        return target.endswith("/api/chat")

    @classmethod
    def tool_calls(cls, body):
        calls = [call for message in body["messages"] for call in message.get("tool_calls") or []]
        return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]

    @classmethod
    def tool_results(cls, body):
        return [(m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool" and m["tool_name"] == "weather"]

    @classmethod
    def line(cls, message, **fields):
        line = {"model": "m-up", "created_at": "2026-11-25T00:00:00Z", "message": {"role": "assistant", "content": ""} | message, "done": False} | fields
        return json.dumps(line, ensure_ascii=len(str(line)) % 2 == 0) + "\n"

    @classmethod
    def reasoning_pieces(cls):
        return [cls.line({"thinking": cls.REASONING})]

    @classmethod
    def token(cls, text, *_):
        return cls.line({"content": text})

    @classmethod
    def call_pieces(cls, _):
        calls = [{"id": id, "function": {"index": at, "name": name, "arguments": it}} for at, (id, name, it) in enumerate(cls.own_calls())]
        return cls.reasoning_pieces() + [cls.line({"tool_calls": [call]}) for call in calls]

    @classmethod
    def closing(cls, _, output, __, text):
        counts = {"prompt_eval_count": INPUT_TOKENS, "eval_count": output} if output else {"prompt_eval_count": INPUT_TOKENS}
        return cls.line({}, done=True, done_reason="stop", total_duration=1, **counts)

    @classmethod
    def error_piece(cls, message):
        return json.dumps(cls.error_body(500, message)) + "\n"

    @classmethod
    def error_body(cls, _, message):
        return {"error": message}
