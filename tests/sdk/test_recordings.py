"""Every recording says through the proxy what the provider's own SDK hears when it reads the recording itself.

Nobody of this house wrote that reading: where the two differ, one of them is wrong, and EXPLAINED says which and why.
"""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

import recordings as recorded
from heard import Heard, differences, events, of_events
from readers import name_of, reader

AT_ONCE, TIMEOUT = 6, 30
# At most so many of a wire's recordings may differ, explained or not.
EXPLAINED_SHARE = 0.05

# What differs and may: a part of the recording's name (or its provider), the field, and why.
EXPLAINED = [
    ("completion_stream_multiple_choices_proxy", "finish", "LiteLLM ends one of two choices only; with [DONE] the other has stopped as well"),
    ("test_snowflake_thinking_streaming", "finish", "Snowflake sends no finish reason; with [DONE] it has stopped"),
    ("test_writer_async_streaming_chat_tool_call_request_legacy", "error", "the SDK asserts that a call has an id and a name, and gives up"),
]

def through_the_proxy(url, recording, number):
    """What the proxy says of a recording, in its own events."""
    message = {"role": "user", "content": f"recording-{number}-"}
    count = len(recording.expected.get("choices") or [0])
    body = {"model": recording.wire, "stream": True, "messages": [message]} | ({"n": count} if count > 1 else {})
    request = urllib.request.Request(f"{url}/v1/streams", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return of_events(events(answer))


def by_the_sdk(reader, number):
    try:
        return reader.read(f"recording-{number}-")
    except Exception as error:
        return error


def compared(proxy, readers, recording, number):
    """What differs, as lines of text."""
    sdk, ours = by_the_sdk(readers[name_of(recording)], number), through_the_proxy(proxy, recording, number)
    if recording.fails or isinstance(ours.failure, str):
        return [] if recording.fails and ours.failure else [f"failure: it should {'' if recording.fails else 'not '}fail, and {ours.failure}"]
    sdk = (isinstance(sdk, Heard) and sdk.failure) or sdk
    if isinstance(sdk, Exception):
        return [f"error: the SDK raised {sdk!r}"[:300]]
    return [f"{name}: the SDK heard {theirs!r}, the proxy says {mine!r}" for name, (theirs, mine) in differences(sdk, ours).items()]


def explained(recording, line):
    return any((part in recording.name or part == recording.provider) and line.startswith(field) for part, field, _ in EXPLAINED)


def each_folder():
    """The folders, the tests of one SDK in one process."""
    return [pytest.param(folder, marks=pytest.mark.xdist_group(wire)) for folder, wire, _ in recorded.FOLDERS if recorded.wanted(wire)]


@pytest.mark.parametrize("folder", each_folder())
def test_the_sdk_hears_the_same(all_recordings, player, recordings_proxy, folder):
    numbers = [number for number, recording in enumerate(all_recordings) if recording.folder == folder]
    if not numbers:
        pytest.skip("no recording of this wire is here")
    readers = {name: reader(name, player) for name in {name_of(all_recordings[number]) for number in numbers}}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda number: compared(recordings_proxy, readers, all_recordings[number], number), numbers))
    differing = [(all_recordings[number], lines) for number, lines in zip(numbers, found) if lines]
    unexplained = [f"{recording.name} ({recording.provider}): {line}" for recording, lines in differing for line in lines if not explained(recording, line)]
    print(f"{folder}: {len(numbers)} recordings compared, {len(differing)} differ")
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained)
    assert len(differing) <= max(1, EXPLAINED_SHARE * len(numbers)), "too much is explained"
