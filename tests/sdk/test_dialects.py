"""Plays every recording through the proxy to the SDK of every dialect.

The transcript of the SDK's accumulator must equal the recording's independent fold, and a failure
must be the SDK's own typed error. (`events` has no SDK: see test_recordings.py.) Over its own wire a
dialect's payloads are unchanged, so a difference there is allowed if the SDK has it without the proxy
too.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import anthropic
import openai
import pytest
from openai.types.responses import ResponseError

from expected import differences
from readers import for_dialect, ui
from transcript import Transcript

# Number of concurrent reads, and of the parts into which the recordings are split.
PARALLEL, SHARES = 4, 4
# Maximum fraction of a share's recordings that may differ in a dialect, explained or not.
EXPLAINED_SHARE = 0.03
# The errors of each SDK: raised before the response head, and found in the transcript later.
FAILURES = {
    "openai-chat": (openai.APIStatusError, openai.APIError),
    "openai-responses": (openai.APIStatusError, (ResponseError, openai.APIError)),
    "anthropic": (anthropic.APIStatusError, anthropic.APIStatusError),
    "ui": ((), ui.Failed),
}

CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic"
DIALECTS = [CHAT, RESPONSES, MESSAGES, "ui"]
# Allowed differences: dialects, wire, part of the recording's name (or its provider), fields,
# reason.
EXPLAINED = [
    (DIALECTS, CHAT, "test_snowflake_thinking_streaming", "reasoning", "the reasoning is in `reasoning_details` only, which the independent fold does not read"),
    ([MESSAGES], CHAT, "_azure_grok-4-1-fast-non-reasoning_", "usage", "it reports more cached input than input, which a message cannot express"),
    ([MESSAGES], RESPONSES, "xai-x-search-tool", "calls", 'the input of a custom tool is free text, which a message contains as {"input": …}'),
    ([CHAT], RESPONSES, "xai-x-search-tool", "error", "the SDK's accumulator supports calls of functions only; these are calls of custom tools"),
    ([CHAT], CHAT, "mistral", "error", "calls without an index, which the SDK requires"),
    ([CHAT], CHAT, "mistral", "text reasoning", "content is a list of parts; the SDK supports text only"),
    ([CHAT], CHAT, "groq", "usage", "it is in `x_groq` only, or not in the last chunk, from which the SDK takes it"),
    ([CHAT], CHAT, "completion_stream_multiple_choices_proxy", "finish usage", "LiteLLM ends one of two choices, and sends usage in a chunk that is not the last"),
    ([CHAT], CHAT, "test_snowflake_thinking_streaming", "finish", "Snowflake sends no finish reason; [DONE] means `stop`"),
    ([CHAT], CHAT, "test_writer_async_streaming_chat_tool_call_request_legacy", "error", "the SDK requires an id and a name in every call"),
    ([CHAT], CHAT, "chat_completion_function_call_streamed", "calls", "the call of a legacy `function_call` has no id"),
    ([RESPONSES], RESPONSES, "openai-chatgpt", "calls finish", "its last event has no output, and the SDK takes the output from that event only"),
    ([RESPONSES], RESPONSES, "github-copilot", "error", "the ids of the response and its items change, which the SDK rejects"),
    ([RESPONSES], RESPONSES, "aws-bedrock", "error", "deltas of a part that was never added"),
    ([RESPONSES], RESPONSES, "starting_after", "error", "a resumed stream, without its beginning"),
    ([RESPONSES], RESPONSES, "cut_by_the_maximum", "error", "deltas of an item that was never added"),
    ([RESPONSES], RESPONSES, "an_error_after_content", "error", "deltas of a part that was never added"),
    ([RESPONSES], RESPONSES, "reasoning_text_and_two_tools", "error", "an item changes its id"),
]


def read_with(reader, model, dialect, recording, number):
    """Returns the SDK's transcript, or the exception that it raised."""
    choices = len(recording.expected.get("choices") or [0])
    more = {"n": choices} if choices > 1 and dialect == "openai-chat" else {}
    try:
        return reader.read(model, f"recording-{number}-", **more)
    except Exception as error:
        return error


def deviations(dialect, recording, transcript):
    """Returns lines of text, one per deviation from the recording."""
    at_once, later = FAILURES[dialect]
    if recording.fails and isinstance(transcript, at_once):
        return []
    if isinstance(transcript, Exception):
        return [f"error: the SDK raised {transcript!r}"[:300]]
    if recording.fails:
        return failure_deviations(recording, transcript, later)
    return [f"error: {transcript.failure!r}"[:300]] if transcript.failure else differences(recording, dialect, transcript)


def failure_deviations(recording, transcript, kind):
    """Checks that a failure has the upstream's message and follows the text, without a success."""
    message = str(getattr(transcript.failure, "message", transcript.failure))
    # The proxy removes URLs from the messages of an upstream, so only the part before one is
    # compared.
    expected = ((recording.expected["error"] or {}).get("message") or "").split("http")[0]
    reported = isinstance(transcript.failure, kind) and expected in message
    text, to = recording.expected["text"] or "", transcript.choice()
    if reported and (to.text, to.raw_finish in (None, "failed", "error")) == (text, True):
        return []
    return [f"failure: {transcript.failure!r} ({to.raw_finish!r}) after {to.text!r}, expected after {text!r}"]


def compared(readers, dialect, recording, number):
    """Returns the deviations, as lines of text.

    Over the dialect's own wire, adds a line if the SDK reads something else without the proxy.
    """
    proxied, direct = readers
    transcript = read_with(proxied, recording.wire, dialect, recording, number)
    lines = deviations(dialect, recording, transcript)
    if lines and recording.wire == dialect:
        unproxied = read_with(direct, f"recording-{number}-", dialect, recording, number)
        if not same(transcript, unproxied):
            lines.append(f"proxy: without it the SDK reads {unproxied!r}"[:600])
    return lines


def same(one, other):
    if isinstance(one, Transcript) and isinstance(other, Transcript):
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
def test_the_sdk_accumulates_the_recorded_answer(all_recordings, player, recordings_proxy, dialect, share):
    numbers = range(share, len(all_recordings), SHARES)
    with ExitStack() as open_readers, ThreadPoolExecutor(PARALLEL) as pool:
        readers = [open_readers.enter_context(closing(for_dialect(dialect, url))) for url in (recordings_proxy, player)]
        found = list(pool.map(lambda number: compared(readers, dialect, all_recordings[number], number), numbers))
    differing = [(all_recordings[number], lines) for number, lines in zip(numbers, found) if lines]
    unexplained = [f"{it.folder}/{it.name} ({it.provider}): {line}" for it, lines in differing for line in lines if not explained(dialect, it, line)]
    print(f"{dialect}: {len(numbers)} recordings compared, {len(differing)} differ")
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained)
    assert len(differing) <= max(2, EXPLAINED_SHARE * len(numbers)), "too many recordings differ"
