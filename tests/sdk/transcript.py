"""The content of one answer, independent of its reader, and its construction from `events`."""

import json
from dataclasses import dataclass, field

# Each provider's and dialect's finish reason, and the proxy's own name for it.
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
    # By key: the id, the name and the arguments as text.
    calls: dict = field(default_factory=dict)
    finish: str | None = None
    # The finish reason as the reader received it, before the mapping by REASONS.
    raw_finish: str | None = None

    def set_finish(self, raw):
        """Sets the finish reason."""
        self.raw_finish, self.finish = raw, REASONS.get(raw, raw)

    def add_call(self, key, id=None, name=None, arguments=""):
        """Creates the call with this key or appends to its arguments."""
        slot = self.calls.setdefault(key, ["", "", ""])
        slot[0] = slot[0] or id or ""
        slot[1] = slot[1] or name or ""
        slot[2] += arguments or ""


@dataclass
class Transcript:
    choices: dict = field(default_factory=dict)
    # Token counts where known: input (with cached), output (with reasoning), cached, reasoning.
    usage: dict = field(default_factory=dict)
    # The error with which the stream ended.
    failure: Exception | str | None = None

    def choice(self, index=0):
        return self.choices.setdefault(index or 0, Choice())


def differences(sdk, ours):
    """Returns the fields that differ, each as (the SDK's value, the proxy's value)."""
    found = {}
    for index in sorted(set(sdk.choices) | set(ours.choices)):
        theirs, mine = sdk.choices.get(index, Choice()), ours.choices.get(index, Choice())
        for name in ("text", "reasoning", "refusal", "finish"):
            if getattr(theirs, name) != getattr(mine, name):
                found[name] = (getattr(theirs, name), getattr(mine, name))
        if not same_calls(list(theirs.calls.values()), list(mine.calls.values())):
            found["calls"] = (theirs.calls, mine.calls)
    wrong = [name for name, count in sdk.usage.items() if count != (ours.usage.get(name) or 0)]
    return found | ({"usage": (sdk.usage, ours.usage)} if wrong else {})


def same_calls(theirs, mine):
    return len(theirs) == len(mine) and all(same_call(a, b) for a, b in zip(theirs, mine))


def same_call(sdk, ours):
    # If the wire has no call ids, the proxy generates them.
    return (sdk[0] or ours[0]) == ours[0] != "" and sdk[1] == ours[1] and parsed(sdk[2]) == parsed(ours[2])


def parsed(text):
    """Returns the arguments as JSON, or as text if they are not JSON."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def from_events(events):
    """Folds the events of the `events` dialect into a transcript."""
    transcript = Transcript()
    for name, data in events:
        choice = transcript.choice(data.get("choice"))
        match name:
            case "text" | "reasoning" | "refusal":
                setattr(choice, name, getattr(choice, name) + (data.get("delta") or ""))
            case "tool_call":
                choice.add_call(data["index"], data["id"], data["name"])
            case "tool_arguments":
                choice.add_call(data["index"], arguments=data["delta"])
            case "choice_end":
                choice.finish = data["reason"]
            case "usage":
                names = {"input": "input_tokens", "output": "output_tokens", "cached": "cached_input_tokens", "reasoning": "reasoning_tokens"}
                transcript.usage = {short: data[long] for short, long in names.items()}
            case "error":
                transcript.failure = f"{data['code']}: {data['message']}"
            case "end":
                transcript.choice().finish = transcript.choice().finish or data["reason"]
    return transcript


def parse_events(lines):
    """Yields the name and the JSON data of each server-sent event."""
    name = None
    for line in lines:
        line = line.decode().rstrip("\r\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
