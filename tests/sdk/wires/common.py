"""The parts that all wires share: the two tool calls, and the checks of the turn that answers them.

The two calls are always the same. APIs that sign reasoning or calls send a signature with them. Like
the real APIs, they reject a next turn without it, but only if they have made the calls themselves.
"""

import json

TOOL_CALLS = [("weather", {"city": "Zürich"}), ("weather", {"city": "Paris"})]
INPUT_TOKENS = 11
# The input tokens that the count endpoints return.
COUNTED = 2095


class ScriptError(Exception):
    """A request for which there is no scripted response."""


def sse(data, name=None):
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data, ensure_ascii=len(str(data)) % 2 == 0)}\n\n"


def texts(content, kind="text"):
    """Returns the texts of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if part.get("type", "text") == kind and "text" in part]


def pieces(arguments, size=4):
    """Returns the arguments as JSON, split into pieces of a few characters."""
    encoded = json.dumps(arguments)
    return [encoded[at : at + size] for at in range(0, len(encoded), size)]


class Wire:
    """One API: builds its responses and reads its requests."""

    NAME = None
    # The content type of a stream.
    KIND = "text/event-stream"
    # The reasoning before the calls, and its signature if the API signs it.
    REASONING = SIGNATURE = None

    @classmethod
    def own_calls(cls):
        """Returns this API's two calls: id, name, arguments. The ids contain the wire's name."""
        return [(f"call-{cls.NAME}-{at}", *tool) for at, tool in enumerate(TOOL_CALLS)]

    @classmethod
    def matches(cls, target):
        """Returns True if the request target belongs to this API."""
        raise NotImplementedError

    @classmethod
    def user_texts(cls, body):
        """Returns the texts of the user's messages."""
        return [text for message in body["messages"] if message["role"] == "user" for text in texts(message["content"])]

    @classmethod
    def count_response(cls, target):
        """Returns the response to a token count request, or None for other targets."""

    @classmethod
    def wants_stream(cls, _, body):
        return body.get("stream", False)

    @classmethod
    def tool_calls(cls, body):
        """Returns the tool calls in a request's history: id, name, arguments."""
        raise NotImplementedError

    @classmethod
    def tool_results(cls, body):
        """Returns the tool results in a request: call id, content."""
        raise NotImplementedError

    @classmethod
    def missing_signature(cls, body):
        """Returns an error if a signature of this API's own calls is missing, else None."""

    @classmethod
    def result_texts(cls, body):
        """Returns the pieces of the next answer, which repeats the tool results."""
        by_id = dict(cls.tool_results(body))
        results = [(arguments["city"], by_id[id]) for id, _, arguments in cls.tool_calls(body) if id in by_id]
        return [f"{city}: {result}. " for city, result in results]

    @classmethod
    def invalid_reason(cls, body):
        """Returns an error if the API would reject the request, else None."""
        calls = cls.tool_calls(body)
        if [call[1:] for call in calls] not in ([], TOOL_CALLS):
            return f"the request contains tool calls that were never made: {calls}"
        if len({id for id, _, _ in calls}) != len(calls) or {id for id, _ in cls.tool_results(body)} - {id for id, _, _ in calls}:
            return f"the ids of tool calls and results do not match: {calls}, {cls.tool_results(body)}"
        # Signatures are required only for the calls that this API has made itself.
        return cls.missing_signature(body) if calls and calls == cls.own_calls() else None

    @classmethod
    def opening(cls):
        return ""

    @classmethod
    def reasoning_pieces(cls):
        """Returns the pieces of the reasoning, in a block of its own on wires with blocks."""
        raise NotImplementedError

    @classmethod
    def token(cls, text, index, place):
        """Returns the piece for a text token. `place` is the number of the text block."""
        raise NotImplementedError

    @classmethod
    def call_pieces(cls, body):
        raise NotImplementedError

    @classmethod
    def closing(cls, tools, output, place, text):
        raise NotImplementedError

    @classmethod
    def for_call(cls, call, piece):
        """Returns the piece with this call's event numbers and ids, if the API has them."""
        return piece

    @classmethod
    def full_response(cls, body, text, tools, output):
        raise ScriptError(f"the proxy always requests a stream on the {cls.NAME} wire")

    @classmethod
    def error_piece(cls, message):
        return sse(cls.error_body(500, message))

    @classmethod
    def error_body(cls, status, message):
        return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
