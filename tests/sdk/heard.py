"""What an answer said, whoever read it; and what the proxy says of one, in its own events."""

import json
from dataclasses import dataclass, field

REASONS = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop", "STOP": "stop", "COMPLETE": "stop",
    "pause_turn": "stop", "compaction": "stop", "completed": "stop", "STOP_SEQUENCE": "stop", "load": "stop",
    "length": "length", "max_tokens": "length", "MAX_TOKENS": "length", "max_output_tokens": "length", "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls", "TOOL_CALL": "tool_calls",
    "content_filter": "content_filter", "refusal": "content_filter", "SAFETY": "content_filter", "RECITATION": "content_filter",
    "PROHIBITED_CONTENT": "content_filter", "BLOCKLIST": "content_filter", "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter", "OTHER": "content_filter",
    "tool-calls": "tool_calls", "content-filter": "content_filter",
}


@dataclass
class Choice:
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    # Id, name, arguments as they were sent.
    calls: dict = field(default_factory=dict)
    finish: str | None = None
    # The same as it was spelled.
    word: str | None = None

    def ended(self, word):
        """It ended for this reason."""
        self.word, self.finish = word, REASONS.get(word, word)

    def call(self, key, id=None, name=None, arguments=""):
        """Adds to the call of that key."""
        slot = self.calls.setdefault(key, ["", "", ""])
        slot[0] = slot[0] or id or ""
        slot[1] = slot[1] or name or ""
        slot[2] += arguments or ""


@dataclass
class Heard:
    choices: dict = field(default_factory=dict)
    # Input with its cached part, output with its reasoning, cached, reasoning; where they were said.
    usage: dict = field(default_factory=dict)
    # The reader's own error.
    failure: Exception | str | None = None

    def choice(self, index=0):
        return self.choices.setdefault(index or 0, Choice())


def differences(sdk, ours):
    """What the proxy says otherwise than the SDK, by field."""
    found = {}
    for index in sorted(set(sdk.choices) | set(ours.choices)):
        theirs, mine = sdk.choices.get(index, Choice()), ours.choices.get(index, Choice())
        for name in ("text", "reasoning", "refusal", "finish"):
            if getattr(theirs, name) != getattr(mine, name):
                found[name] = (getattr(theirs, name), getattr(mine, name))
        if not same_calls(list(theirs.calls.values()), list(mine.calls.values())):
            found["calls"] = (theirs.calls, mine.calls)
    wrong = [name for name, told in sdk.usage.items() if told != (ours.usage.get(name) or 0)]
    return found | ({"usage": (sdk.usage, ours.usage)} if wrong else {})


def same_calls(theirs, mine):
    return len(theirs) == len(mine) and all(same_call(a, b) for a, b in zip(theirs, mine))


def same_call(sdk, ours):
    # Where the wire has no ids, ours are made.
    return (sdk[0] or ours[0]) == ours[0] != "" and sdk[1] == ours[1] and arguments(sdk[2]) == arguments(ours[2])


def arguments(text):
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def of_events(events):
    """The fold of our own events."""
    heard = Heard()
    for name, data in events:
        choice = heard.choice(data.get("choice"))
        match name:
            case "text" | "reasoning" | "refusal":
                setattr(choice, name, getattr(choice, name) + (data.get("delta") or ""))
            case "tool_call":
                choice.call(data["index"], data["id"], data["name"])
            case "tool_arguments":
                choice.call(data["index"], arguments=data["delta"])
            case "choice_end":
                choice.finish = data["reason"]
            case "usage":
                names = {"input": "input_tokens", "output": "output_tokens", "cached": "cached_input_tokens", "reasoning": "reasoning_tokens"}
                heard.usage = {short: data[long] for short, long in names.items()}
            case "error":
                heard.failure = f"{data['code']}: {data['message']}"
            case "end":
                heard.choice().finish = heard.choice().finish or data["reason"]
    return heard


def events(lines):
    """Name and JSON of each server-sent event."""
    name = None
    for line in lines:
        line = line.decode().rstrip("\r\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
