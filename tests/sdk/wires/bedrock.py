"""AWS Bedrock's ConverseStream: binary frames. Reasoning is signed, and sent on request."""

import json
import struct
import zlib

from .common import INPUT_TOKENS, Wire, pieces


def message(headers, payload):
    """Encodes one message of an AWS event stream."""
    head = b"".join(struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode() for name, value in headers.items())
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + body
    return checked + struct.pack(">I", zlib.crc32(checked))


def event(kind, payload):
    return message({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload | {"p": "abcdef"})


class Bedrock(Wire):
    NAME = "bedrock"
    KIND = "application/vnd.amazon.eventstream"
    REASONING = "Two cities, two calls, says Claude at Amazon."
    SIGNATURE = "c2lnbmVkIGJ5IEFtYXpvbg=="

    @classmethod
    def matches(cls, target):
        return target.endswith(("/converse-stream", "/converse"))

    @classmethod
    def wants_stream(cls, target, _):
        return target.endswith("/converse-stream")

    @classmethod
    def user_texts(cls, body):
        return [block["text"] for turn in body["messages"] if turn["role"] == "user" for block in turn["content"] if "text" in block]

    @classmethod
    def blocks(cls, body, kind):
        return [block[kind] for turn in body["messages"] for block in turn["content"] if kind in block]

    @classmethod
    def tool_calls(cls, body):
        return [(use["toolUseId"], use["name"], use["input"]) for use in cls.blocks(body, "toolUse")]

    @classmethod
    def tool_results(cls, body):
        text = lambda block: block["text"] if "text" in block else json.dumps(block.get("json"))
        return [(result["toolUseId"], "".join(text(block) for block in result["content"])) for result in cls.blocks(body, "toolResult")]

    @classmethod
    def missing_signature(cls, body):
        reasoning = [it.get("reasoningText") for it in cls.blocks(body, "reasoningContent")]
        wanted = [{"text": cls.REASONING, "signature": cls.SIGNATURE}]
        return None if not cls.wants_reasoning(body) or reasoning == wanted else f"the request must contain the unchanged reasoning, but contains {reasoning}"

    @staticmethod
    def wants_reasoning(body):
        return "effort" in json.dumps(body)

    @classmethod
    def opening(cls):
        return event("messageStart", {"role": "assistant"})

    @classmethod
    def delta(cls, index, **delta):
        return event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})

    @classmethod
    def stop(cls, index):
        return event("contentBlockStop", {"contentBlockIndex": index})

    @classmethod
    def reasoning_pieces(cls):
        return [cls.delta(0, reasoningContent={"text": cls.REASONING}), cls.delta(0, reasoningContent={"signature": cls.SIGNATURE}), cls.stop(0)]

    @classmethod
    def token(cls, text, _, place):
        return cls.delta(place, text=text)

    @classmethod
    def call_pieces(cls, body):
        out = cls.reasoning_pieces() if cls.wants_reasoning(body) else []
        for index, (id, name, arguments) in enumerate(cls.own_calls(), cls.wants_reasoning(body)):
            out.append(event("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}))
            out += (cls.delta(index, toolUse={"input": piece}) for piece in pieces(arguments))
            out.append(cls.stop(index))
        return out

    @classmethod
    def closing(cls, tools, output, place, text):
        stop = b"" if tools or not output else cls.stop(place)
        usage = {"inputTokens": INPUT_TOKENS, "outputTokens": output, "totalTokens": INPUT_TOKENS + output}
        end = event("messageStop", {"stopReason": "tool_use" if tools else "end_turn"})
        return stop + end + event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})

    @classmethod
    def error_piece(cls, text):
        headers = {":exception-type": "internalServerException", ":content-type": "application/json", ":message-type": "exception"}
        return message(headers, {"message": text})

    @classmethod
    def error_body(cls, _, text):
        return {"message": text}
