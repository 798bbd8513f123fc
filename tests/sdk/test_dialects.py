"""Every recording, over its own wire, says in every dialect to that dialect's own SDK what it says: what the SDK's
accumulator has at the end equals the recording's independent fold, and a failure is the SDK's own typed error.

(`events` has no SDK: see test_recordings.py.) Over its own wire a dialect's payloads pass as they came. What differs there
must be what the SDK makes of the recording when it reads it without the proxy.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import anthropic
import openai
import pytest
from openai.types.responses import ResponseError

from expected import differences
from heard import Heard
from readers import of_dialect, ui

AT_ONCE, SHARES = 4, 4
# At most so many of a share's recordings may differ in a dialect, explained or not.
EXPLAINED_SHARE = 0.03
# What each SDK raises before the head, and what a failure is that comes later.
FAILURES = {
    "openai-chat": (openai.APIStatusError, openai.APIError),
    "openai-responses": (openai.APIStatusError, (ResponseError, openai.APIError)),
    "anthropic": (anthropic.APIStatusError, anthropic.APIStatusError),
    "ui": ((), ui.Failed),
}

CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic"
DIALECTS = [CHAT, RESPONSES, MESSAGES, "ui"]
# What differs and may: dialects, wire, a part of the recording's name (or its provider), fields, why.
EXPLAINED = [
    (DIALECTS, CHAT, "test_snowflake_thinking_streaming", "reasoning", "it reasons in `reasoning_details` alone, where the independent fold does not look"),
    ([MESSAGES], CHAT, "_azure_grok-4-1-fast-non-reasoning_", "usage", "it counts more cached input than input, and a message has no words for that"),
    ([MESSAGES], RESPONSES, "xai-x-search-tool", "calls", 'what a custom tool is given is free text, and stands in a message as {"input": …}'),
    ([CHAT], RESPONSES, "xai-x-search-tool", "error", "the SDK's accumulator takes every call for one of a function; these are of custom tools"),
    ([CHAT], CHAT, "mistral", "error", "calls without an index: the SDK has no place for them"),
    ([CHAT], CHAT, "mistral", "text reasoning", "content as a list of parts: the SDK knows text"),
    ([CHAT], CHAT, "groq", "usage", "it is told in `x_groq` alone, or not in the last chunk, whose word the SDK takes"),
    ([CHAT], CHAT, "completion_stream_multiple_choices_proxy", "finish usage", "LiteLLM ends one of two choices, and counts in a chunk that is not the last"),
    ([CHAT], CHAT, "test_snowflake_thinking_streaming", "finish", "Snowflake sends no finish reason; with [DONE] it has stopped"),
    ([CHAT], CHAT, "test_writer_async_streaming_chat_tool_call_request_legacy", "error", "the SDK asserts that a call has an id and a name"),
    ([CHAT], CHAT, "chat_completion_function_call_streamed", "calls", "the call of a legacy `function_call` has no id"),
    ([RESPONSES], RESPONSES, "openai-chatgpt", "calls finish", "its last event has no output, and the SDK takes that for all there is"),
    ([RESPONSES], RESPONSES, "github-copilot", "error", "the ids of the response and its items change, which the SDK refuses"),
    ([RESPONSES], RESPONSES, "aws-bedrock", "error", "deltas of a part that was never added"),
    ([RESPONSES], RESPONSES, "starting_after", "error", "the rest of an answer, without its beginning"),
    ([RESPONSES], RESPONSES, "cut_by_the_maximum", "error", "deltas of an item that was never added"),
    ([RESPONSES], RESPONSES, "an_error_after_content", "error", "deltas of a part that was never added"),
    ([RESPONSES], RESPONSES, "reasoning_text_and_two_tools", "error", "an item changes its id"),
]


def heard_by(reader, model, dialect, recording, number):
    """What the SDK has at the end, or the exception with which it gave up."""
    several = len(recording.expected.get("choices") or [0])
    more = {"n": several} if several > 1 and dialect == "openai-chat" else {}
    try:
        return reader.read(model, f"recording-{number}-", **more)
    except Exception as error:
        return error


def wrong(dialect, recording, heard):
    """What is not as it should be, as lines of text."""
    at_once, later = FAILURES[dialect]
    if recording.fails and isinstance(heard, at_once):
        return []
    if isinstance(heard, Exception):
        return [f"error: the SDK raised {heard!r}"[:300]]
    if recording.fails:
        return failure(recording, heard, later)
    return [f"error: {heard.failure!r}"[:300]] if heard.failure else differences(recording, dialect, heard)


def failure(recording, heard, kind):
    """A failure is told once, in the upstream's words, behind all that came before it, and never with a success."""
    words = str(getattr(heard.failure, "message", heard.failure))
    # Addresses are taken out of what an upstream says.
    said = ((recording.expected["error"] or {}).get("message") or "").split("http")[0]
    told = isinstance(heard.failure, kind) and said in words
    text, to = recording.expected["text"] or "", heard.choice()
    if told and (to.text, to.word in (None, "failed", "error")) == (text, True):
        return []
    return [f"failure: {heard.failure!r} ({to.word!r}) behind {to.text!r}, of {text!r}"]


def compared(readers, dialect, recording, number):
    """What differs; a difference over the dialect's own wire is the SDK's where it hears the same without the proxy."""
    proxied, direct = readers
    heard = heard_by(proxied, recording.wire, dialect, recording, number)
    lines = wrong(dialect, recording, heard)
    if lines and recording.wire == dialect:
        alone = heard_by(direct, f"recording-{number}-", dialect, recording, number)
        if not same(heard, alone):
            lines.append(f"proxy: without it the SDK hears {alone!r}"[:600])
    return lines


def same(one, other):
    if isinstance(one, Heard) and isinstance(other, Heard):
        return (one.choices, one.usage, repr(one.failure)) == (other.choices, other.usage, repr(other.failure))
    return repr(one) == repr(other)


def explained(dialect, recording, line):
    field = line.split(":")[0]
    return any(
        dialect in dialects and recording.wire == wire and (part in recording.name or part == recording.provider) and field in fields.split()
        for dialects, wire, part, fields, _ in EXPLAINED
    )


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_sdk_accumulates_what_was_recorded(all_recordings, player, recordings_proxy, dialect, share):
    numbers = range(share, len(all_recordings), SHARES)
    with ExitStack() as open_ones, ThreadPoolExecutor(AT_ONCE) as pool:
        readers = [open_ones.enter_context(closing(of_dialect(dialect, url))) for url in (recordings_proxy, player)]
        found = list(pool.map(lambda number: compared(readers, dialect, all_recordings[number], number), numbers))
    differing = [(all_recordings[number], lines) for number, lines in zip(numbers, found) if lines]
    unexplained = [f"{it.folder}/{it.name} ({it.provider}): {line}" for it, lines in differing for line in lines if not explained(dialect, it, line)]
    print(f"{dialect}: {len(numbers)} recordings compared, {len(differing)} differ")
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained)
    assert len(differing) <= max(2, EXPLAINED_SHARE * len(numbers)), "too much is explained"
