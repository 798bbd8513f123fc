"""AWS Bedrock's ConverseStream: binary frames; reasoning is signed where it is asked for."""

import json
import struct
import zlib

from .common import INPUT_TOKENS, Wire, pieces


def message(headers, payload):
    """One message of an AWS event stream."""
    head = b"".join(struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode() for name, value in headers.items())
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
    told = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + body
    return told + struct.pack(">I", zlib.crc32(told))


def event(kind, payload):
    return message({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload | {"p": "abcdef"})


class Bedrock(Wire):
    NAME = "bedrock"
    KIND = "application/vnd.amazon.eventstream"
    THOUGHT = "Two cities, two calls, says Claude at Amazon."
    SIGNATURE = "c2lnbmVkIGJ5IEFtYXpvbg=="

    @classmethod
    def owns(cls, target):
        return target.endswith(("/converse-stream", "/converse"))

    @classmethod
    def wants_stream(cls, target, _):
        return target.endswith("/converse-stream")

    @classmethod
    def asked(cls, body):
        return [block["text"] for turn in body["messages"] if turn["role"] == "user" for block in turn["content"] if "text" in block]

    @classmethod
    def blocks(cls, body, kind):
        return [block[kind] for turn in body["messages"] for block in turn["content"] if kind in block]

    @classmethod
    def called(cls, body):
        return [(use["toolUseId"], use["name"], use["input"]) for use in cls.blocks(body, "toolUse")]

    @classmethod
    def answered(cls, body):
        told = lambda block: block["text"] if "text" in block else json.dumps(block.get("json"))
        return [(result["toolUseId"], "".join(told(block) for block in result["content"])) for result in cls.blocks(body, "toolResult")]

    @classmethod
    def unsigned(cls, body):
        thoughts = [it.get("reasoningText") for it in cls.blocks(body, "reasoningContent")]
        wanted = [{"text": cls.THOUGHT, "signature": cls.SIGNATURE}]
        return None if not cls.thinks(body) or thoughts == wanted else f"the reasoning must come back unchanged: {thoughts}"

    @staticmethod
    def thinks(body):
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
    def thought(cls):
        return [cls.delta(0, reasoningContent={"text": cls.THOUGHT}), cls.delta(0, reasoningContent={"signature": cls.SIGNATURE}), cls.stop(0)]

    @classmethod
    def token(cls, text, _, place):
        return cls.delta(place, text=text)

    @classmethod
    def calls(cls, body):
        out = cls.thought() if cls.thinks(body) else []
        for index, (id, name, arguments) in enumerate(cls.tools(), cls.thinks(body)):
            out.append(event("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}))
            out += (cls.delta(index, toolUse={"input": piece}) for piece in pieces(arguments))
            out.append(cls.stop(index))
        return out

    @classmethod
    def closing(cls, tools, output, place, said):
        stop = b"" if tools or not output else cls.stop(place)
        usage = {"inputTokens": INPUT_TOKENS, "outputTokens": output, "totalTokens": INPUT_TOKENS + output}
        end = event("messageStop", {"stopReason": "tool_use" if tools else "end_turn"})
        return stop + end + event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})

    @classmethod
    def error(cls, said):
        headers = {":exception-type": "internalServerException", ":content-type": "application/json", ":message-type": "exception"}
        return message(headers, {"message": said})

    @classmethod
    def refusal(cls, _, said):
        return {"message": said}
