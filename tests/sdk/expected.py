"""What a recording's independent fold says, as what a dialect's own SDK must have accumulated of it.

A dialect with one choice is told the first; one without a word for refusals is told them as text that ends as one. The
counts mean the same everywhere: input with its cached part, output with its reasoning.
"""

import json

import jiter

from heard import REASONS, Choice, Heard

# How each dialect spells why an answer ended.
WORDS = {
    "openai-chat": {"stop", "length", "tool_calls", "content_filter"},
    "openai-responses": {"completed", "max_output_tokens", "content_filter"},
    "anthropic": {"end_turn", "max_tokens", "tool_use", "refusal"},
    "ui": {"stop", "length", "tool-calls", "content-filter"},
}
# Its SDK keeps the arguments of a call as the object that they are.
OBJECTS = ("anthropic", "ui")


def expected(recording, dialect):
    """The fold in the proxy's words."""
    said = recording.expected
    several = said.get("choices") or [said]
    heard = Heard()
    for place, choice in enumerate(several if dialect == "openai-chat" else several[:1]):
        heard.choices[choice.get("index", place)] = of_choice(recording, dialect, choice)
    heard.usage = usage(recording)
    return heard


def of_choice(recording, dialect, said):
    to = Choice(text=said["text"] or "", reasoning=(said.get("reasoning") or "") + (said.get("tool_plan") or ""), refusal=said.get("refusal") or "")
    for call in said["tool_calls"]:
        to.call(len(to.calls), call["id"], call["name"], call["arguments"])
    to.finish = reason(recording, said, bool(to.calls))
    if dialect == "anthropic" and to.refusal:
        to.text, to.refusal, to.finish = to.text + to.refusal, "", "content_filter"
    return to


def reason(recording, said, calls):
    """The proxy's word for the provider's own."""
    whole = recording.expected
    native = said["finish_reason"] or whole.get("block_reason")
    match recording.wire, native:
        case ("gemini", "STOP" | "1") | ("ollama", "stop") | ("openai-responses", "completed") if calls:
            return "tool_calls"
        case "openai-responses", "incomplete":
            return "content_filter" if whole.get("incomplete_reason") == "content_filter" else "length"
    return REASONS.get(native, "content_filter" if whole.get("block_reason") else "stop")


def usage(recording):
    """The counts that were said."""
    told = {name: count for name, count in (recording.expected["usage"] or {}).items() if count is not None}
    input, output, reasoning = told.get("input"), told.get("output"), told.get("reasoning")
    add = lambda *counts: None if all(it is None for it in counts) else sum(it or 0 for it in counts)
    match recording.wire:
        case "anthropic" | "bedrock":
            input = add(input, told.get("cached"), told.get("cache_write"))
        case "gemini":
            input, output = add(input, (recording.expected.get("usage_raw") or {}).get("toolUsePromptTokenCount")), add(output, reasoning)
        case "openai-chat" if "total" in told and told["total"] == add(input, output, reasoning):
            output = add(output, reasoning)
    counts = {"input": input, "output": output, "cached": told.get("cached"), "reasoning": reasoning}
    return {name: count for name, count in counts.items() if count is not None}


def differences(recording, dialect, heard):
    """What the SDK has accumulated otherwise than the fold says, as lines of text."""
    wanted, found = expected(recording, dialect), []
    canonical = recording.expected.get("arguments_form") == "canonical"
    for index in sorted(set(wanted.choices) | set(heard.choices)):
        theirs, ours = wanted.choices.get(index, Choice()), heard.choices.get(index, Choice())
        for name in ("text", "reasoning", "refusal", "finish"):
            if getattr(theirs, name) != getattr(ours, name):
                found.append(f"{name}: {getattr(theirs, name)!r} was heard as {getattr(ours, name)!r}")
        if recording.wire != dialect and ours.word not in WORDS[dialect]:
            found.append(f"word: the dialect has no {ours.word!r}")
        calls = [*theirs.calls.values()], [*ours.calls.values()]
        if len(calls[0]) != len(calls[1]) or not all(same_call(*pair, canonical, dialect) for pair in zip(*calls)):
            found.append(f"calls: {calls[0]} was heard as {calls[1]}")
    wrong = {name: (count, heard.usage.get(name)) for name, count in wanted.usage.items() if count != (heard.usage.get(name) or 0)}
    return found + [f"usage: {name}: {count} was heard as {told}" for name, (count, told) in wrong.items()]


def same_call(theirs, ours, canonical, dialect):
    # Where the wire has no ids, ours are made.
    return (theirs[0] or ours[0]) == ours[0] != "" and theirs[1] == ours[1] and same_arguments(theirs[2], ours[2], canonical, dialect)


def same_arguments(theirs, ours, canonical, dialect):
    if dialect not in OBJECTS and not canonical:
        return theirs == ours
    return read(theirs, dialect) == read(ours, dialect)


def read(text, dialect):
    """Arguments as the SDK reads them. What was cut off one of them reads as far as it goes, the other leaves as text."""
    if text in ("", "null"):
        return {}
    try:
        return jiter.from_json(text.encode(), partial_mode=dialect == "anthropic")
    except ValueError:
        return text
