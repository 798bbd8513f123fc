"""Google Gemini. The first of parallel calls is signed, and calls have no ids."""

import json

from .common import COUNTED, INPUT_TOKENS, Wire, sse, texts

# The value that Google accepts instead of a signature that was not kept.
UNSIGNED = "skip_thought_signature_validator"


class Gemini(Wire):
    NAME = "gemini"
    REASONING = "Two cities, two calls, says Gemini."
    SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="

    @classmethod
    def matches(cls, target):
        return any(method in target for method in (":streamGenerateContent", ":generateContent", ":countTokens"))

    @classmethod
    def count_response(cls, target):
        return {"totalTokens": COUNTED} if ":countTokens" in target else None

    @classmethod
    def contents(cls, body):
        """Returns the contents. A count request contains them in a nested request."""
        return body.get("generateContentRequest", body)["contents"]

    @classmethod
    def user_texts(cls, body):
        parts = [part for content in cls.contents(body) if content.get("role", "user") == "user" for part in content["parts"]]
        return texts(parts)

    @classmethod
    def wants_stream(cls, target, _):
        return ":streamGenerateContent" in target and "alt=sse" in target

    @classmethod
    def named(cls, body, name):
        return [part for content in cls.contents(body) for part in content["parts"] if name in part]

    @classmethod
    def tool_calls(cls, body):
        """Returns the calls in the history. A call without an id gets its position as its id."""
        calls = [part["functionCall"] for part in cls.named(body, "functionCall")]
        return [(call.get("id", at), call["name"], call["args"]) for at, call in enumerate(calls)]

    @classmethod
    def tool_results(cls, body):
        results = [part["functionResponse"] for part in cls.named(body, "functionResponse")]
        return [(result.get("id", at), json.dumps(result["response"], ensure_ascii=False)) for at, result in enumerate(results)]

    @classmethod
    def invalid_reason(cls, body):
        parts = cls.named(body, "functionCall")
        if parts and parts[0].get("thoughtSignature") not in (cls.SIGNATURE, UNSIGNED):
            return "the first call has no thought signature"
        return super().invalid_reason(body)

    @classmethod
    def chunk(cls, parts, finish=None, usage=None):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0} | ({"finishReason": finish} if finish else {})
        chunk = {"candidates": [candidate], "modelVersion": "m-up", "responseId": "up"}
        return sse(chunk | ({"usageMetadata": usage} if usage else {}))

    @classmethod
    def reasoning_pieces(cls):
        return [cls.chunk([{"text": cls.REASONING, "thought": True}])]

    @classmethod
    def token(cls, text, *_):
        return cls.chunk([{"text": text}])

    @classmethod
    def call_pieces(cls, _):
        parts = [{"functionCall": {"name": name, "args": arguments}} for _, name, arguments in cls.own_calls()]
        parts[0]["thoughtSignature"] = cls.SIGNATURE
        return cls.reasoning_pieces() + [cls.chunk([part]) for part in parts]

    @classmethod
    def closing(cls, _, output, __, text):
        usage = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": output, "totalTokenCount": INPUT_TOKENS + output}
        return cls.chunk([], "STOP", usage)

    @classmethod
    def error_body(cls, status, message):
        return {"error": {"code": status, "message": message, "status": "INTERNAL"}}
