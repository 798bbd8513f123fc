"""Converts a recording's independent fold to the transcript that a dialect's own SDK must produce.

A dialect with a single choice receives the first one. A dialect without refusals receives a refusal
as text with the matching finish reason. Token counts mean the same everywhere: input includes cached
tokens, output includes reasoning.
"""

import json

import jiter

from transcript import REASONS, Choice, Transcript

# The finish reasons of each dialect.
FINISH_REASONS = {
    "openai-chat": {"stop", "length", "tool_calls", "content_filter"},
    "openai-responses": {"completed", "max_output_tokens", "content_filter"},
    "anthropic": {"end_turn", "max_tokens", "tool_use", "refusal"},
    "ui": {"stop", "length", "tool-calls", "content-filter"},
}
# Dialects whose SDK parses the arguments of a call.
PARSED_ARGUMENTS = ("anthropic", "ui")


def expected(recording, dialect):
    """Returns the transcript of a recording, with the proxy's names."""
    fold = recording.expected
    choices = fold.get("choices") or [fold]
    transcript = Transcript()
    for place, choice in enumerate(choices if dialect == "openai-chat" else choices[:1]):
        transcript.choices[choice.get("index", place)] = expected_choice(recording, dialect, choice)
    transcript.usage = expected_usage(recording)
    return transcript


def expected_choice(recording, dialect, fold):
    to = Choice(text=fold["text"] or "", reasoning=(fold.get("reasoning") or "") + (fold.get("tool_plan") or ""), refusal=fold.get("refusal") or "")
    for call in fold["tool_calls"]:
        to.add_call(len(to.calls), call["id"], call["name"], call["arguments"])
    to.finish = finish_reason(recording, fold, bool(to.calls))
    if dialect == "anthropic" and to.refusal:
        to.text, to.refusal, to.finish = to.text + to.refusal, "", "content_filter"
    return to


def finish_reason(recording, fold, calls):
    """Returns the proxy's name for the provider's finish reason."""
    answer = recording.expected
    native = fold["finish_reason"] or answer.get("block_reason")
    match recording.wire, native:
        case ("gemini", "STOP" | "1") | ("ollama", "stop") | ("openai-responses", "completed") if calls:
            return "tool_calls"
        case "openai-responses", "incomplete":
            return "content_filter" if answer.get("incomplete_reason") == "content_filter" else "length"
    return REASONS.get(native, "content_filter" if answer.get("block_reason") else "stop")


def expected_usage(recording):
    """Returns the recorded token counts, counted as the proxy counts them."""
    recorded = {name: count for name, count in (recording.expected["usage"] or {}).items() if count is not None}
    input, output, reasoning = recorded.get("input"), recorded.get("output"), recorded.get("reasoning")
    add = lambda *counts: None if all(it is None for it in counts) else sum(it or 0 for it in counts)
    match recording.wire:
        case "anthropic" | "bedrock":
            input = add(input, recorded.get("cached"), recorded.get("cache_write"))
        case "gemini":
            input, output = add(input, (recording.expected.get("usage_raw") or {}).get("toolUsePromptTokenCount")), add(output, reasoning)
        case "openai-chat" if "total" in recorded and recorded["total"] == add(input, output, reasoning):
            output = add(output, reasoning)
    counts = {"input": input, "output": output, "cached": recorded.get("cached"), "reasoning": reasoning}
    return {name: count for name, count in counts.items() if count is not None}


def differences(recording, dialect, transcript):
    """Returns lines of text, one per difference between the SDK's transcript and the fold."""
    wanted, found = expected(recording, dialect), []
    canonical = recording.expected.get("arguments_form") == "canonical"
    for index in sorted(set(wanted.choices) | set(transcript.choices)):
        theirs, ours = wanted.choices.get(index, Choice()), transcript.choices.get(index, Choice())
        for name in ("text", "reasoning", "refusal", "finish"):
            if getattr(theirs, name) != getattr(ours, name):
                found.append(f"{name}: {getattr(theirs, name)!r} was read as {getattr(ours, name)!r}")
        if recording.wire != dialect and ours.raw_finish not in FINISH_REASONS[dialect]:
            found.append(f"raw_finish: {ours.raw_finish!r} is not a finish reason of the dialect")
        calls = [*theirs.calls.values()], [*ours.calls.values()]
        if len(calls[0]) != len(calls[1]) or not all(same_call(*pair, canonical, dialect) for pair in zip(*calls)):
            found.append(f"calls: {calls[0]} was read as {calls[1]}")
    wrong_counts = {name: (count, transcript.usage.get(name)) for name, count in wanted.usage.items() if count != (transcript.usage.get(name) or 0)}
    return found + [f"usage: {name}: {count} was read as {actual}" for name, (count, actual) in wrong_counts.items()]


def same_call(theirs, ours, canonical, dialect):
    # If the wire has no call ids, the proxy generates them.
    return (theirs[0] or ours[0]) == ours[0] != "" and theirs[1] == ours[1] and same_arguments(theirs[2], ours[2], canonical, dialect)


def same_arguments(theirs, ours, canonical, dialect):
    if dialect not in PARSED_ARGUMENTS and not canonical:
        return theirs == ours
    return parse_arguments(theirs, dialect) == parse_arguments(ours, dialect)


def parse_arguments(text, dialect):
    """Returns the arguments as the dialect's SDK parses them.

    Of incomplete JSON Anthropic's SDK parses the beginning; the others keep the text.
    """
    if text in ("", "null"):
        return {}
    try:
        return jiter.from_json(text.encode(), partial_mode=dialect == "anthropic")
    except ValueError:
        return text
