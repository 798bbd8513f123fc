"""Cohere's chat API, version 2. It sends a tool plan before the calls."""

import json

from .common import INPUT_TOKENS, Wire, pieces, sse, texts


class Cohere(Wire):
    NAME = "cohere"
    REASONING = "Two cities, two calls, says Command."

    @classmethod
    def matches(cls, target):
        return target.endswith("/cohere/chat")

    @classmethod
    def tool_calls(cls, body):
        calls = [call for message in body["messages"] for call in message.get("tool_calls") or []]
        return [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]

    @classmethod
    def tool_results(cls, body):
        part_text = lambda part: part["text"] if part.get("type", "text") == "text" else json.dumps(part["document"]["data"])
        text = lambda content: content if isinstance(content, str) else "".join(part_text(part) for part in content)
        return [(m["tool_call_id"], text(m["content"])) for m in body["messages"] if m["role"] == "tool"]

    @classmethod
    def event(cls, kind, **fields):
        return sse({"type": kind} | fields, kind)

    @classmethod
    def delta(cls, kind, index=None, **message):
        place = {} if index is None else {"index": index}
        return cls.event(kind, **place, delta={"message": message})

    @classmethod
    def opening(cls):
        return sse({"type": "message-start", "id": "up", "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}}, "message-start")

    @classmethod
    def reasoning_pieces(cls):
        start = cls.delta("content-start", 0, content={"type": "thinking", "thinking": ""})
        return [start, cls.delta("content-delta", 0, content={"thinking": cls.REASONING}), cls.event("content-end", index=0)]

    @classmethod
    def token(cls, text, index, place):
        start = cls.delta("content-start", place, content={"type": "text", "text": ""}) if index == 0 else ""
        return start + cls.delta("content-delta", place, content={"text": text})

    @classmethod
    def call_pieces(cls, _):
        out = [cls.delta("tool-plan-delta", tool_plan=cls.REASONING)]
        for index, (id, name, arguments) in enumerate(cls.own_calls()):
            call = {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            out.append(cls.delta("tool-call-start", index, tool_calls=call))
            out += (cls.delta("tool-call-delta", index, tool_calls={"function": {"arguments": piece}}) for piece in pieces(arguments))
            out.append(cls.event("tool-call-end", index=index))
        return out

    @classmethod
    def closing(cls, tools, output, place, text):
        stop = "" if tools or not output else cls.event("content-end", index=place)
        tokens = {"input_tokens": INPUT_TOKENS, "output_tokens": output}
        delta = {"finish_reason": "TOOL_CALL" if tools else "COMPLETE", "usage": {"billed_units": tokens, "tokens": tokens}}
        return stop + cls.event("message-end", id="up", delta=delta) + "data: [DONE]\n\n"

    @classmethod
    def error_piece(cls, message):
        usage = {"tokens": {"input_tokens": INPUT_TOKENS, "output_tokens": 0}}
        return cls.event("message-end", id="up", delta={"finish_reason": "ERROR", "error": message, "usage": usage})

    @classmethod
    def error_body(cls, _, message):
        return {"id": "up", "message": message}
