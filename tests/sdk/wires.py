"""How each of three model APIs spells an answer, and what it wants to see again in the next turn.

The two tool calls are always the same; their turn comes with what the API signs (Anthropic's thinking where effort is
asked for, Gemini's thought signature), and a next turn that does not bring it back is refused, as the real ones do.
"""

import json

TOOLS = [("call_a", "weather", {"city": "Zürich"}), ("call_b", "weather", {"city": "Paris"})]
INPUT_TOKENS = 11
SIGNATURE = "c2lnbmF0dXJl"
# What Google takes for calls whose signature nobody has kept.
UNSIGNED = "skip_thought_signature_validator"
THOUGHT = "Two cities, two calls."


class ScriptError(Exception):
    """A request that no script answers."""


def sse(data, name=None):
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data, ensure_ascii=len(str(data)) % 2 == 0)}\n\n"


def texts(content, kind="text"):
    """The texts of a message's content, which is one string or a list of parts."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if part.get("type", "text") == kind and "text" in part]


class OpenaiChat:
    NAME = "openai-chat"

    @staticmethod
    def owns(target):
        return target.endswith("/chat/completions")

    @staticmethod
    def asked(body):
        return [text for message in body["messages"] if message["role"] == "user" for text in texts(message["content"])]

    @staticmethod
    def wants_stream(_, body):
        return body.get("stream", False)

    @staticmethod
    def results(body):
        by_id = {m["tool_call_id"]: "".join(texts(m["content"])) for m in body["messages"] if m["role"] == "tool"}
        return [f"{city['city']}: {by_id[id]}. " for id, _, city in TOOLS if id in by_id]

    @staticmethod
    def complaint(body):
        calls = [call for message in body["messages"] for call in message.get("tool_calls") or []]
        told = [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
        return None if told in ([], TOOLS) else f"these tool calls were never made: {told}"

    @staticmethod
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1700000000, "model": "m-up", "choices": [choice]}

    @classmethod
    def opening(cls):
        return sse(cls.chunk({"role": "assistant", "content": ""}))

    @classmethod
    def token(cls, text, _):
        return sse(cls.chunk({"content": text}))

    @classmethod
    def calls(cls, _):
        pieces = []
        for index, (id, name, arguments) in enumerate(TOOLS):
            function = {"name": name, "arguments": ""}
            pieces.append({"index": index, "id": id, "type": "function", "function": function})
            spelled = json.dumps(arguments)
            pieces += ({"index": index, "function": {"arguments": spelled[at : at + 4]}} for at in range(0, len(spelled), 4))
        return [sse(cls.chunk({"tool_calls": [piece]})) for piece in pieces]

    @classmethod
    def closing(cls, tools, output):
        end = sse(cls.chunk({}, "tool_calls" if tools else "stop"))
        return end + sse(cls.chunk({}) | {"choices": [], "usage": cls.usage(output)}) + "data: [DONE]\n\n"

    @staticmethod
    def usage(output):
        return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": output, "total_tokens": INPUT_TOKENS + output}

    @classmethod
    def whole(cls, said, tools, output):
        calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(it)}} for id, name, it in TOOLS]
        message = {"role": "assistant", "content": None if tools else said} | ({"tool_calls": calls} if tools else {})
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tools else "stop"}
        return cls.chunk({}) | {"object": "chat.completion", "choices": [choice], "usage": cls.usage(output)}

    @classmethod
    def error(cls, message):
        return sse(cls.refusal(500, message))

    @staticmethod
    def refusal(status, message):
        return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


class Anthropic:
    NAME = "anthropic"

    @staticmethod
    def owns(target):
        return target.endswith("/messages")

    @staticmethod
    def asked(body):
        return [text for message in body["messages"] if message["role"] == "user" for text in texts(message["content"])]

    @staticmethod
    def wants_stream(_, body):
        return body.get("stream", False)

    @staticmethod
    def blocks(body, kind):
        lists = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
        return [block for blocks in lists for block in blocks if block["type"] == kind]

    @classmethod
    def results(cls, body):
        by_id = {block["tool_use_id"]: "".join(texts(block["content"])) for block in cls.blocks(body, "tool_result")}
        return [f"{city['city']}: {by_id[id]}. " for id, _, city in TOOLS if id in by_id]

    @classmethod
    def complaint(cls, body):
        used = [(block["id"], block["name"], block["input"]) for block in cls.blocks(body, "tool_use")]
        if used not in ([], TOOLS):
            return f"these tools were never used: {used}"
        thoughts = [(block["thinking"], block["signature"]) for block in cls.blocks(body, "thinking")]
        return None if not used or not cls.thinks(body) or thoughts == [(THOUGHT, SIGNATURE)] else f"the thinking must come back unchanged: {thoughts}"

    @staticmethod
    def thinks(body):
        return "effort" in body.get("output_config", {})

    @staticmethod
    def event(kind, **fields):
        return sse({"type": kind} | fields, kind)

    @classmethod
    def opening(cls):
        message = {"id": "msg_up", "type": "message", "role": "assistant", "model": "m-up", "content": [], "stop_reason": None,
                   "stop_sequence": None, "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 1}}
        return cls.event("message_start", message=message) + cls.event("ping")

    @classmethod
    def block(cls, index, block, deltas):
        pieces = [cls.event("content_block_delta", index=index, delta=delta) for delta in deltas]
        return [cls.event("content_block_start", index=index, content_block=block), *pieces, cls.event("content_block_stop", index=index)]

    @classmethod
    def token(cls, text, index):
        start = cls.event("content_block_start", index=0, content_block={"type": "text", "text": ""}) if index == 0 else ""
        return start + cls.event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    @classmethod
    def calls(cls, body):
        deltas = [{"type": "thinking_delta", "thinking": THOUGHT}, {"type": "signature_delta", "signature": SIGNATURE}]
        pieces = cls.block(0, {"type": "thinking", "thinking": "", "signature": ""}, deltas) if cls.thinks(body) else []
        for index, (id, name, arguments) in enumerate(TOOLS, cls.thinks(body)):
            spelled = json.dumps(arguments)
            deltas = [{"type": "input_json_delta", "partial_json": spelled[at : at + 4]} for at in range(0, len(spelled), 4)]
            pieces += cls.block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, deltas)
        return pieces

    @classmethod
    def closing(cls, tools, output):
        stop = "" if tools or not output else cls.event("content_block_stop", index=0)
        delta = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
        return stop + cls.event("message_delta", delta=delta, usage={"output_tokens": output}) + cls.event("message_stop")

    @staticmethod
    def whole(*_):
        raise ScriptError("the anthropic wire is always asked for a stream")

    @classmethod
    def error(cls, message):
        return cls.event("error", error={"type": "api_error", "message": message})

    @staticmethod
    def refusal(status, message):
        return {"type": "error", "error": {"type": "api_error", "message": message}}


class Gemini:
    NAME = "gemini"

    @staticmethod
    def owns(target):
        return ":streamGenerateContent" in target or ":generateContent" in target

    @staticmethod
    def asked(body):
        parts = [part for content in body["contents"] if content.get("role", "user") == "user" for part in content["parts"]]
        return texts(parts)

    @staticmethod
    def wants_stream(target, _):
        return ":streamGenerateContent" in target and "alt=sse" in target

    @staticmethod
    def named(body, name):
        return [part for content in body["contents"] for part in content["parts"] if name in part]

    @classmethod
    def results(cls, body):
        told = [json.dumps(part["functionResponse"]["response"], ensure_ascii=False) for part in cls.named(body, "functionResponse")]
        return [f"{city['city']}: {result}. " for (_, _, city), result in zip(TOOLS, told)]

    @classmethod
    def complaint(cls, body):
        parts = cls.named(body, "functionCall")
        called = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts]
        if called not in ([], [(name, arguments) for _, name, arguments in TOOLS]):
            return f"these functions were never called: {called}"
        return None if not parts or parts[0].get("thoughtSignature") in (SIGNATURE, UNSIGNED) else "the first call lacks its thought signature"

    @staticmethod
    def chunk(parts, finish=None, usage=None):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0} | ({"finishReason": finish} if finish else {})
        chunk = {"candidates": [candidate], "modelVersion": "m-up", "responseId": "up"}
        return sse(chunk | ({"usageMetadata": usage} if usage else {}))

    @staticmethod
    def opening():
        return ""

    @classmethod
    def token(cls, text, _):
        return cls.chunk([{"text": text}])

    @classmethod
    def calls(cls, _):
        parts = [{"functionCall": {"name": name, "args": arguments}} for _, name, arguments in TOOLS]
        parts[0]["thoughtSignature"] = SIGNATURE
        return [cls.chunk([part]) for part in parts]

    @classmethod
    def closing(cls, _, output):
        usage = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": output, "totalTokenCount": INPUT_TOKENS + output}
        return cls.chunk([], "STOP", usage)

    @staticmethod
    def whole(*_):
        raise ScriptError("the gemini wire is always asked for a stream")

    @classmethod
    def error(cls, message):
        return sse(cls.refusal(500, message))

    @staticmethod
    def refusal(status, message):
        return {"error": {"code": status, "message": message, "status": "INTERNAL"}}


WIRES = [OpenaiChat, Anthropic, Gemini]
