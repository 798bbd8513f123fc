"""OpenAI Responses. Reasoning is encrypted, and a next turn must contain it before its calls."""

import itertools
import json

from .common import INPUT_TOKENS, Wire, pieces, sse, texts


class OpenaiResponses(Wire):
    NAME = "openai-responses"
    REASONING = "Two cities, two calls, says OpenAI."
    SIGNATURE = "c2lnbmVkIGJ5IE9wZW5BSQ=="

    numbers = itertools.count()

    @classmethod
    def matches(cls, target):
        return target.endswith("/responses")

    @staticmethod
    def input(body):
        """Returns the input items. A plain string is one user message."""
        items = body["input"]
        return [{"role": "user", "content": items}] if isinstance(items, str) else items

    @classmethod
    def user_texts(cls, body):
        messages = [item for item in cls.input(body) if item.get("role") == "user"]
        return [text for item in messages for text in texts(item["content"], "input_text")]

    @classmethod
    def items(cls, body, kind):
        return [item for item in cls.input(body) if item.get("type") == kind]

    @classmethod
    def tool_calls(cls, body):
        return [(call["call_id"], call["name"], json.loads(call["arguments"])) for call in cls.items(body, "function_call")]

    @classmethod
    def tool_results(cls, body):
        results = cls.items(body, "function_call_output")
        return [(result["call_id"], "".join(texts(result["output"], "input_text"))) for result in results]

    @classmethod
    def missing_signature(cls, body):
        kinds = [item.get("type") for item in cls.input(body)]
        reasoning = [item["encrypted_content"] for item in cls.items(body, "reasoning")]
        if not cls.wants_reasoning(body) or reasoning == [cls.SIGNATURE] and kinds.index("reasoning") + 1 == kinds.index("function_call"):
            return None
        return f"the request must contain the reasoning directly before its calls: {kinds}, {reasoning}"

    @staticmethod
    def wants_reasoning(body):
        return "reasoning" in body

    @classmethod
    def event(cls, kind, **fields):
        return sse({"type": kind, "sequence_number": 0} | fields, kind)

    @classmethod
    def for_call(cls, call, piece):
        """Numbers the events and sets the response's id, echoed request options and items."""
        blocks = [block.split("\n") for block in piece.split("\n\n")[:-1]]
        return "".join(cls.numbered(call, name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks)

    @classmethod
    def numbered(cls, call, kind, event):
        event["sequence_number"] = call.events
        call.events += 1
        if kind == "response.output_item.done":
            call.items.append(event["item"])
        if "response" in event:
            event["response"] |= cls.echo(call.body) | {"id": f"resp_up{call.number}", "output": [] if call.events < 3 else call.items}
        return sse(event, kind)

    @staticmethod
    def echo(body):
        return {"metadata": body.get("metadata") or {}, "store": body.get("store", True), "background": body.get("background", False)}

    @classmethod
    def response(cls, status, usage=None, output=()):
        return {"id": "resp_up", "object": "response", "created_at": 1700000000, "status": status, "model": "m-up", "error": None,
                "incomplete_details": None, "instructions": None, "output": list(output), "parallel_tool_calls": True,
                "temperature": 1, "tool_choice": "auto", "tools": [], "top_p": 1, "usage": usage}

    @classmethod
    def opening(cls):
        return "".join(cls.event(kind, response=cls.response("in_progress")) for kind in ("response.created", "response.in_progress"))

    @classmethod
    def item_added(cls, at, item):
        return cls.event("response.output_item.added", output_index=at, item=item)

    @classmethod
    def item_done(cls, at, item):
        return cls.event("response.output_item.done", output_index=at, item=item)

    @classmethod
    def reasoning_item(cls, text, **more):
        return {"id": "rs_up", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []} | more

    @classmethod
    def reasoning_pieces(cls):
        place = {"item_id": "rs_up", "output_index": 0, "summary_index": 0}
        part = lambda text: {"type": "summary_text", "text": text}
        return [cls.item_added(0, cls.reasoning_item("")),
                cls.event("response.reasoning_summary_part.added", part=part(""), **place),
                cls.event("response.reasoning_summary_text.delta", delta=cls.REASONING, **place),
                cls.event("response.reasoning_summary_text.done", text=cls.REASONING, **place),
                cls.event("response.reasoning_summary_part.done", part=part(cls.REASONING), **place),
                cls.item_done(0, cls.reasoning_item(cls.REASONING, encrypted_content=cls.SIGNATURE))]

    @staticmethod
    def part(text):
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    @classmethod
    def message(cls, status, *parts):
        return {"id": "msg_up", "type": "message", "role": "assistant", "status": status, "content": list(parts)}

    @classmethod
    def token(cls, text, index, at):
        place = {"item_id": "msg_up", "output_index": at, "content_index": 0}
        start = cls.item_added(at, cls.message("in_progress")) + cls.event("response.content_part.added", part=cls.part(""), **place)
        return (start if index == 0 else "") + cls.event("response.output_text.delta", delta=text, logprobs=[], **place)

    @staticmethod
    def call(at, tool, status, arguments):
        id, name, _ = tool
        return {"id": f"fc_{at}", "type": "function_call", "call_id": id, "name": name, "arguments": arguments, "status": status}

    @classmethod
    def call_pieces(cls, body):
        out = cls.reasoning_pieces() if cls.wants_reasoning(body) else []
        for at, tool in enumerate(cls.own_calls(), cls.wants_reasoning(body)):
            place = {"item_id": f"fc_{at}", "output_index": at}
            arguments = json.dumps(tool[2])
            out.append(cls.item_added(at, cls.call(at, tool, "in_progress", "")))
            out += (cls.event("response.function_call_arguments.delta", delta=piece, **place) for piece in pieces(tool[2]))
            out.append(cls.event("response.function_call_arguments.done", arguments=arguments, name=tool[1], **place))
            out.append(cls.item_done(at, cls.call(at, tool, "completed", arguments)))
        return out

    @classmethod
    def closing(cls, tools, output, at, text):
        end = ""
        if output and not tools:
            place = {"item_id": "msg_up", "output_index": at, "content_index": 0}
            end = cls.event("response.output_text.done", text=text, logprobs=[], **place)
            end += cls.event("response.content_part.done", part=cls.part(text), **place)
            end += cls.item_done(at, cls.message("completed", cls.part(text)))
        return end + cls.event("response.completed", response=cls.response("completed", cls.usage(output)))

    @classmethod
    def full_response(cls, body, text, tools, output):
        reasoning = [cls.reasoning_item(cls.REASONING, encrypted_content=cls.SIGNATURE)] if tools and cls.wants_reasoning(body) else []
        calls = [cls.call(at, tool, "completed", json.dumps(tool[2])) for at, tool in enumerate(cls.own_calls(), len(reasoning))]
        items = [*reasoning, *calls] if tools else [cls.message("completed", cls.part(text))]
        return cls.response("completed", cls.usage(output), items) | cls.echo(body) | {"id": f"resp_whole{next(cls.numbers)}"}

    @staticmethod
    def usage(output):
        return {"input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
                "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": INPUT_TOKENS + output}

    @classmethod
    def error_piece(cls, message):
        error = {"type": "server_error", "code": "server_error", "message": message, "param": None}
        return cls.event("error", error=error) + cls.event("response.failed", response=cls.response("failed") | {"error": error})
