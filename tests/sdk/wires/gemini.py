"""Google Gemini: the first of parallel calls is signed; calls have no ids."""

import json

from .common import COUNTED, INPUT_TOKENS, Wire, sse, texts

# What Google takes for calls whose signature nobody has kept.
UNSIGNED = "skip_thought_signature_validator"


class Gemini(Wire):
    NAME = "gemini"
    THOUGHT = "Two cities, two calls, says Gemini."
    SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="

    @classmethod
    def owns(cls, target):
        return any(method in target for method in (":streamGenerateContent", ":generateContent", ":countTokens"))

    @classmethod
    def counted(cls, target):
        return {"totalTokens": COUNTED} if ":countTokens" in target else None

    @classmethod
    def contents(cls, body):
        """What is to be counted is a request in a request."""
        return body.get("generateContentRequest", body)["contents"]

    @classmethod
    def asked(cls, body):
        parts = [part for content in cls.contents(body) if content.get("role", "user") == "user" for part in content["parts"]]
        return texts(parts)

    @classmethod
    def wants_stream(cls, target, _):
        return ":streamGenerateContent" in target and "alt=sse" in target

    @classmethod
    def named(cls, body, name):
        return [part for content in cls.contents(body) for part in content["parts"] if name in part]

    @classmethod
    def called(cls, body):
        """Without ids their order is one."""
        calls = [part["functionCall"] for part in cls.named(body, "functionCall")]
        return [(call.get("id", at), call["name"], call["args"]) for at, call in enumerate(calls)]

    @classmethod
    def answered(cls, body):
        told = [part["functionResponse"] for part in cls.named(body, "functionResponse")]
        return [(result.get("id", at), json.dumps(result["response"], ensure_ascii=False)) for at, result in enumerate(told)]

    @classmethod
    def complaint(cls, body):
        parts = cls.named(body, "functionCall")
        if parts and parts[0].get("thoughtSignature") not in (cls.SIGNATURE, UNSIGNED):
            return "the first call lacks its thought signature"
        return super().complaint(body)

    @classmethod
    def chunk(cls, parts, finish=None, usage=None):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0} | ({"finishReason": finish} if finish else {})
        chunk = {"candidates": [candidate], "modelVersion": "m-up", "responseId": "up"}
        return sse(chunk | ({"usageMetadata": usage} if usage else {}))

    @classmethod
    def thought(cls):
        return [cls.chunk([{"text": cls.THOUGHT, "thought": True}])]

    @classmethod
    def token(cls, text, *_):
        return cls.chunk([{"text": text}])

    @classmethod
    def calls(cls, _):
        parts = [{"functionCall": {"name": name, "args": arguments}} for _, name, arguments in cls.tools()]
        parts[0]["thoughtSignature"] = cls.SIGNATURE
        return cls.thought() + [cls.chunk([part]) for part in parts]

    @classmethod
    def closing(cls, _, output, __, said):
        usage = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": output, "totalTokenCount": INPUT_TOKENS + output}
        return cls.chunk([], "STOP", usage)

    @classmethod
    def refusal(cls, status, message):
        return {"error": {"code": status, "message": message, "status": "INTERNAL"}}
