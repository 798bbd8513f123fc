"""What all wires share: the two calls, what was thought before them, and what a next turn must bring back.

The two tool calls are always the same; their turn comes with what the API signs, where it signs anything, and a next turn
that does not bring that back is refused, as the real ones do; a turn that another API has begun has nothing of it.
"""

import json

TOOLS = [("weather", {"city": "Zürich"}), ("weather", {"city": "Paris"})]
INPUT_TOKENS = 11
# What an API says that counts a prompt itself.
COUNTED = 2095


class ScriptError(Exception):
    """A request that no script answers."""


def sse(data, name=None):
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data, ensure_ascii=len(str(data)) % 2 == 0)}\n\n"


def texts(content, kind="text"):
    """The texts of a message's content, which is one string or a list of parts."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if part.get("type", "text") == kind and "text" in part]


def pieces(arguments, size=4):
    """Arguments as JSON, a few characters at a time."""
    spelled = json.dumps(arguments)
    return [spelled[at : at + size] for at in range(0, len(spelled), size)]


class Wire:
    """How one API spells an answer, and what it reads in a request."""

    NAME = None
    # The content type of a stream.
    KIND = "text/event-stream"
    # What stands before its calls, and the signature of it where there is one.
    THOUGHT = SIGNATURE = None

    @classmethod
    def tools(cls):
        """Its two calls: id, name, arguments. The ids say whose they are."""
        return [(f"call-{cls.NAME}-{at}", *tool) for at, tool in enumerate(TOOLS)]

    @classmethod
    def owns(cls, target):
        """Its requests go there."""
        raise NotImplementedError

    @classmethod
    def asked(cls, body):
        """What the user said."""
        return [text for message in body["messages"] if message["role"] == "user" for text in texts(message["content"])]

    @classmethod
    def counted(cls, target):
        """The answer to a request that only has its tokens counted; nothing where it is none."""

    @classmethod
    def wants_stream(cls, _, body):
        return body.get("stream", False)

    @classmethod
    def called(cls, body):
        """The calls that a request brings back: id, name, arguments."""
        raise NotImplementedError

    @classmethod
    def answered(cls, body):
        """The results it brings: the id of the call, what the tool said."""
        raise NotImplementedError

    @classmethod
    def unsigned(cls, body):
        """What is missing of that which must come back with this API's own calls; nothing where all is there."""

    @classmethod
    def results(cls, body):
        """The results as the text of the next answer."""
        by_id = dict(cls.answered(body))
        told = [(arguments["city"], by_id[id]) for id, _, arguments in cls.called(body) if id in by_id]
        return [f"{city}: {result}. " for city, result in told]

    @classmethod
    def complaint(cls, body):
        called = cls.called(body)
        if [call[1:] for call in called] not in ([], TOOLS):
            return f"these tools were never called: {called}"
        if len({id for id, _, _ in called}) != len(called) or {id for id, _ in cls.answered(body)} - {id for id, _, _ in called}:
            return f"the ids do not match: {called}, {cls.answered(body)}"
        # Only what this API has begun itself must come back as it was.
        return cls.unsigned(body) if called and called == cls.tools() else None

    @classmethod
    def opening(cls):
        return ""

    @classmethod
    def thought(cls):
        """The thought before anything else, in a block of its own where there are blocks."""
        raise NotImplementedError

    @classmethod
    def token(cls, text, index, place):
        """A piece of the text; `place` is the number of its block."""
        raise NotImplementedError

    @classmethod
    def calls(cls, body):
        raise NotImplementedError

    @classmethod
    def closing(cls, tools, output, place, said):
        raise NotImplementedError

    @classmethod
    def stamped(cls, call, piece):
        """A piece as this call's: where an API numbers its events, or repeats at the end what it said."""
        return piece

    @classmethod
    def whole(cls, body, said, tools, output):
        raise ScriptError(f"the {cls.NAME} wire is always asked for a stream")

    @classmethod
    def error(cls, message):
        return sse(cls.refusal(500, message))

    @classmethod
    def refusal(cls, status, message):
        return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
