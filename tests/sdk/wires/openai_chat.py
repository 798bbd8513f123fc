"""OpenAI Chat Completions, with the `reasoning_content` that compatible servers send."""

import json

from .common import INPUT_TOKENS, Wire, pieces, sse, texts


class OpenaiChat(Wire):
    NAME = "openai-chat"
    REASONING = "Two cities, two calls, says a compatible server."

    @classmethod
    def matches(cls, target):
        return target.endswith("/chat/completions")

    @classmethod
    def tool_calls(cls, body):
        calls = [call for message in body["messages"] for call in message.get("tool_calls") or []]
        return [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]

    @classmethod
    def tool_results(cls, body):
        return [(m["tool_call_id"], "".join(texts(m["content"]))) for m in body["messages"] if m["role"] == "tool"]

    @classmethod
    def chunk(cls, delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1700000000, "model": "m-up", "choices": [choice]}

    @classmethod
    def opening(cls):
        return sse(cls.chunk({"role": "assistant", "content": ""}))

    @classmethod
    def reasoning_pieces(cls):
        return [sse(cls.chunk({"reasoning_content": cls.REASONING}))]

    @classmethod
    def token(cls, text, *_):
        return sse(cls.chunk({"content": text}))

    @classmethod
    def call_pieces(cls, _):
        deltas = []
        for index, (id, name, arguments) in enumerate(cls.own_calls()):
            function = {"name": name, "arguments": ""}
            deltas.append({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
            deltas += ({"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces(arguments))
        return cls.reasoning_pieces() + [sse(cls.chunk(delta)) for delta in deltas]

    @classmethod
    def closing(cls, tools, output, _, text):
        end = sse(cls.chunk({}, "tool_calls" if tools else "stop"))
        return end + sse(cls.chunk({}) | {"choices": [], "usage": cls.usage(output)}) + "data: [DONE]\n\n"

    @staticmethod
    def usage(output):
        return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": output, "total_tokens": INPUT_TOKENS + output}

    @classmethod
    def full_response(cls, _, text, tools, output):
        calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(it)}} for id, name, it in cls.own_calls()]
        members = {"tool_calls": calls, "reasoning_content": cls.REASONING} if tools else {}
        message = {"role": "assistant", "content": None if tools else text} | members
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tools else "stop"}
        return cls.chunk({}) | {"object": "chat.completion", "choices": [choice], "usage": cls.usage(output)}
