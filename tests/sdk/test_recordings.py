"""Plays every recording through the proxy and directly to the provider's SDK: both must agree.

The SDK is an independent reading of the recording: if the two differ, one of them is wrong, and
EXPLAINED says which one and why.
"""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

import recordings
from readers import reader, sdk_name
from transcript import Transcript, differences, from_events, parse_events

# Number of concurrent reads, and seconds to wait for one.
PARALLEL, TIMEOUT = 6, 30
# Maximum fraction of a wire's recordings that may differ, explained or not.
EXPLAINED_SHARE = 0.05

# Allowed differences: part of the recording's name (or its provider), field, reason.
EXPLAINED = [
    ("completion_stream_multiple_choices_proxy", "finish", "LiteLLM ends only one of two choices; for the other [DONE] means `stop`"),
    ("test_snowflake_thinking_streaming", "finish", "Snowflake sends no finish reason; [DONE] means `stop`"),
    ("test_writer_async_streaming_chat_tool_call_request_legacy", "error", "the SDK requires an id and a name in every call, and raises"),
]


def read_proxy(url, recording, number):
    """Returns the transcript of a recording from the proxy's `events` dialect."""
    message = {"role": "user", "content": f"recording-{number}-"}
    count = len(recording.expected.get("choices") or [0])
    body = {"model": recording.wire, "stream": True, "messages": [message]} | ({"n": count} if count > 1 else {})
    request = urllib.request.Request(f"{url}/v1/streams", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return from_events(parse_events(response))


def read_sdk(reader, number):
    """Returns the transcript of the provider's SDK, or the exception that it raised."""
    try:
        return reader.read(f"recording-{number}-")
    except Exception as error:
        return error


def compared(proxy, readers, recording, number):
    """Returns the differences, as lines of text."""
    sdk, ours = read_sdk(readers[sdk_name(recording)], number), read_proxy(proxy, recording, number)
    if recording.fails or isinstance(ours.failure, str):
        return [] if recording.fails and ours.failure else [f"failure: expected {'a failure' if recording.fails else 'none'}, the proxy reports {ours.failure}"]
    sdk = (isinstance(sdk, Transcript) and sdk.failure) or sdk
    if isinstance(sdk, Exception):
        return [f"error: the SDK raised {sdk!r}"[:300]]
    return [f"{name}: the SDK reads {theirs!r}, the proxy {mine!r}" for name, (theirs, mine) in differences(sdk, ours).items()]


def explained(recording, line):
    return any((part in recording.name or part == recording.provider) and line.startswith(field) for part, field, _ in EXPLAINED)


def each_folder():
    """Returns the folders as parameters, grouped so that one process imports each SDK."""
    return [pytest.param(folder, marks=pytest.mark.xdist_group(wire)) for folder, wire, _ in recordings.FOLDERS if recordings.selected(wire)]


@pytest.mark.parametrize("folder", each_folder())
def test_the_sdk_and_the_proxy_agree(all_recordings, player, recordings_proxy, folder):
    numbers = [number for number, recording in enumerate(all_recordings) if recording.folder == folder]
    if not numbers:
        pytest.skip("there is no recording of this wire")
    readers = {name: reader(name, player) for name in {sdk_name(all_recordings[number]) for number in numbers}}
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda number: compared(recordings_proxy, readers, all_recordings[number], number), numbers))
    differing = [(all_recordings[number], lines) for number, lines in zip(numbers, found) if lines]
    unexplained = [f"{recording.name} ({recording.provider}): {line}" for recording, lines in differing for line in lines if not explained(recording, line)]
    print(f"{folder}: {len(numbers)} recordings compared, {len(differing)} differ")
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained)
    assert len(differing) <= max(1, EXPLAINED_SHARE * len(numbers)), "too many recordings differ"
