"""OpenAI Responses: reasoning comes encrypted, and must stand before its calls again."""

import json

from .common import INPUT_TOKENS, Wire, pieces, sse, texts


class OpenaiResponses(Wire):
    NAME = "openai-responses"
    THOUGHT = "Two cities, two calls, says OpenAI."
    SIGNATURE = "c2lnbmVkIGJ5IE9wZW5BSQ=="

    @classmethod
    def owns(cls, target):
        return target.endswith("/responses")

    @classmethod
    def asked(cls, body):
        said = [item for item in body["input"] if item.get("role") == "user"]
        return [text for item in said for text in texts(item["content"], "input_text")]

    @classmethod
    def items(cls, body, kind):
        return [item for item in body["input"] if item.get("type") == kind]

    @classmethod
    def called(cls, body):
        return [(call["call_id"], call["name"], json.loads(call["arguments"])) for call in cls.items(body, "function_call")]

    @classmethod
    def answered(cls, body):
        results = cls.items(body, "function_call_output")
        return [(result["call_id"], "".join(texts(result["output"], "input_text"))) for result in results]

    @classmethod
    def unsigned(cls, body):
        kinds = [item.get("type") for item in body["input"]]
        thoughts = [item["encrypted_content"] for item in cls.items(body, "reasoning")]
        if not cls.thinks(body) or thoughts == [cls.SIGNATURE] and kinds.index("reasoning") + 1 == kinds.index("function_call"):
            return None
        return f"the reasoning must stand before its calls: {kinds}, {thoughts}"

    @staticmethod
    def thinks(body):
        return "reasoning" in body

    @classmethod
    def event(cls, kind, **fields):
        return sse({"type": kind, "sequence_number": 0} | fields, kind)

    @classmethod
    def response(cls, status, usage=None, output=()):
        return {"id": "resp_up", "object": "response", "created_at": 1700000000, "status": status, "model": "m-up", "error": None,
                "incomplete_details": None, "instructions": None, "metadata": {}, "output": list(output), "parallel_tool_calls": True,
                "temperature": 1, "tool_choice": "auto", "tools": [], "top_p": 1, "usage": usage}

    @classmethod
    def opening(cls):
        return cls.event("response.created", response=cls.response("in_progress")) + cls.event("response.in_progress", response=cls.response("in_progress"))

    @classmethod
    def begun(cls, at, item):
        return cls.event("response.output_item.added", output_index=at, item=item)

    @classmethod
    def ended(cls, at, item):
        return cls.event("response.output_item.done", output_index=at, item=item)

    @classmethod
    def thought(cls):
        thought = {"id": "rs_up", "type": "reasoning", "summary": []}
        place = {"item_id": "rs_up", "output_index": 0, "summary_index": 0}
        told = thought | {"summary": [{"type": "summary_text", "text": cls.THOUGHT}], "encrypted_content": cls.SIGNATURE}
        return [cls.begun(0, thought), cls.event("response.reasoning_summary_text.delta", delta=cls.THOUGHT, **place), cls.ended(0, told)]

    @classmethod
    def token(cls, text, index, at):
        message = {"id": "msg_up", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        place = {"item_id": "msg_up", "output_index": at, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": []}
        start = cls.begun(at, message) + cls.event("response.content_part.added", part=part, **place) if index == 0 else ""
        return start + cls.event("response.output_text.delta", delta=text, logprobs=[], **place)

    @classmethod
    def calls(cls, body):
        out = cls.thought() if cls.thinks(body) else []
        for at, (id, name, arguments) in enumerate(cls.tools(), cls.thinks(body)):
            item = {"id": f"fc_{at}", "type": "function_call", "call_id": id, "name": name, "arguments": "", "status": "in_progress"}
            place = {"item_id": f"fc_{at}", "output_index": at}
            out.append(cls.begun(at, item))
            out += (cls.event("response.function_call_arguments.delta", delta=piece, **place) for piece in pieces(arguments))
            out.append(cls.event("response.function_call_arguments.done", arguments=json.dumps(arguments), **place))
            out.append(cls.ended(at, item | {"arguments": json.dumps(arguments), "status": "completed"}))
        return out

    @classmethod
    def closing(cls, _, output, __):
        usage = {"input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
                 "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": INPUT_TOKENS + output}
        return cls.event("response.completed", response=cls.response("completed", usage))

    @classmethod
    def error(cls, message):
        error = {"type": "server_error", "code": "server_error", "message": message, "param": None}
        return cls.event("error", error=error) + cls.event("response.failed", response=cls.response("failed") | {"error": error})
