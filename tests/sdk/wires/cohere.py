"""Cohere's chat of version 2: a plan before the calls."""

import json

from .common import INPUT_TOKENS, Wire, pieces, sse, texts


class Cohere(Wire):
    NAME = "cohere"
    THOUGHT = "Two cities, two calls, says Command."

    @classmethod
    def owns(cls, target):
        return target.endswith("/cohere/chat")

    @classmethod
    def called(cls, body):
        calls = [call for message in body["messages"] for call in message.get("tool_calls") or []]
        return [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]

    @classmethod
    def answered(cls, body):
        told = lambda part: part["text"] if part.get("type", "text") == "text" else json.dumps(part["document"]["data"])
        said = lambda content: content if isinstance(content, str) else "".join(told(part) for part in content)
        return [(m["tool_call_id"], said(m["content"])) for m in body["messages"] if m["role"] == "tool"]

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
    def thought(cls):
        start = cls.delta("content-start", 0, content={"type": "thinking", "thinking": ""})
        return [start, cls.delta("content-delta", 0, content={"thinking": cls.THOUGHT}), cls.event("content-end", index=0)]

    @classmethod
    def token(cls, text, index, place):
        start = cls.delta("content-start", place, content={"type": "text", "text": ""}) if index == 0 else ""
        return start + cls.delta("content-delta", place, content={"text": text})

    @classmethod
    def calls(cls, _):
        out = [cls.delta("tool-plan-delta", tool_plan=cls.THOUGHT)]
        for index, (id, name, arguments) in enumerate(cls.tools()):
            call = {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            out.append(cls.delta("tool-call-start", index, tool_calls=call))
            out += (cls.delta("tool-call-delta", index, tool_calls={"function": {"arguments": piece}}) for piece in pieces(arguments))
            out.append(cls.event("tool-call-end", index=index))
        return out

    @classmethod
    def closing(cls, tools, output, place, said):
        stop = "" if tools or not output else cls.event("content-end", index=place)
        tokens = {"input_tokens": INPUT_TOKENS, "output_tokens": output}
        delta = {"finish_reason": "TOOL_CALL" if tools else "COMPLETE", "usage": {"billed_units": tokens, "tokens": tokens}}
        return stop + cls.event("message-end", id="up", delta=delta) + "data: [DONE]\n\n"

    @classmethod
    def error(cls, message):
        usage = {"tokens": {"input_tokens": INPUT_TOKENS, "output_tokens": 0}}
        return cls.event("message-end", id="up", delta={"finish_reason": "ERROR", "error": message, "usage": usage})

    @classmethod
    def refusal(cls, _, message):
        return {"id": "up", "message": message}
