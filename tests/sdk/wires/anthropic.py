"""Anthropic Messages. Thinking is sent if the request asks for it, and is signed."""

from .common import COUNTED, INPUT_TOKENS, Wire, pieces, sse, texts


class Anthropic(Wire):
    NAME = "anthropic"
    REASONING = "Two cities, two calls, says Claude."
    SIGNATURE = "c2lnbmVkIGJ5IEFudGhyb3BpYw=="

    @classmethod
    def matches(cls, target):
        return target.endswith(("/messages", "/messages/count_tokens"))

    @classmethod
    def count_response(cls, target):
        return {"input_tokens": COUNTED} if target.endswith("/count_tokens") else None

    @classmethod
    def blocks(cls, body, kind):
        lists = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
        return [block for blocks in lists for block in blocks if block["type"] == kind]

    @classmethod
    def tool_calls(cls, body):
        return [(block["id"], block["name"], block["input"]) for block in cls.blocks(body, "tool_use")]

    @classmethod
    def tool_results(cls, body):
        return [(block["tool_use_id"], "".join(texts(block["content"]))) for block in cls.blocks(body, "tool_result")]

    @classmethod
    def missing_signature(cls, body):
        reasoning = [(block["thinking"], block["signature"]) for block in cls.blocks(body, "thinking")]
        return None if not cls.wants_reasoning(body) or reasoning == [(cls.REASONING, cls.SIGNATURE)] else f"the request must contain the unchanged thinking, but contains {reasoning}"

    @staticmethod
    def wants_reasoning(body):
        return "effort" in body.get("output_config", {}) or body.get("thinking", {}).get("type") in ("enabled", "adaptive")

    @classmethod
    def event(cls, kind, **fields):
        return sse({"type": kind} | fields, kind)

    @classmethod
    def opening(cls):
        message = {"id": "msg_up", "type": "message", "role": "assistant", "model": "m-up", "content": [], "stop_reason": None,
                   "stop_sequence": None, "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 1}}
        return cls.event("message_start", message=message) + cls.event("ping")

    @classmethod
    def block(cls, index, block, deltas):
        middle = [cls.event("content_block_delta", index=index, delta=delta) for delta in deltas]
        return [cls.event("content_block_start", index=index, content_block=block), *middle, cls.event("content_block_stop", index=index)]

    @classmethod
    def reasoning_pieces(cls):
        deltas = [{"type": "thinking_delta", "thinking": cls.REASONING}, {"type": "signature_delta", "signature": cls.SIGNATURE}]
        return cls.block(0, {"type": "thinking", "thinking": "", "signature": ""}, deltas)

    @classmethod
    def token(cls, text, index, place):
        start = cls.event("content_block_start", index=place, content_block={"type": "text", "text": ""}) if index == 0 else ""
        return start + cls.event("content_block_delta", index=place, delta={"type": "text_delta", "text": text})

    @classmethod
    def call_pieces(cls, body):
        out = cls.reasoning_pieces() if cls.wants_reasoning(body) else []
        for index, (id, name, arguments) in enumerate(cls.own_calls(), cls.wants_reasoning(body)):
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments)]
            out += cls.block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, deltas)
        return out

    @classmethod
    def closing(cls, tools, output, place, text):
        stop = "" if tools or not output else cls.event("content_block_stop", index=place)
        delta = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
        return stop + cls.event("message_delta", delta=delta, usage={"output_tokens": output}) + cls.event("message_stop")

    @classmethod
    def full_response(cls, body, text, tools, output):
        thinking = [{"type": "thinking", "thinking": cls.REASONING, "signature": cls.SIGNATURE}] if cls.wants_reasoning(body) else []
        calls = [{"type": "tool_use", "id": id, "name": name, "input": it} for id, name, it in cls.own_calls()]
        content = [*thinking, *calls] if tools else [{"type": "text", "text": text}]
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": output}
        return {"id": "msg_up", "type": "message", "role": "assistant", "model": "m-up", "content": content,
                "stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None, "usage": usage}

    @classmethod
    def error_piece(cls, message):
        return cls.event("error", error={"type": "api_error", "message": message})

    @classmethod
    def error_body(cls, _, message):
        return {"type": "error", "error": {"type": "api_error", "message": message}}
