"""llama.cpp's server behind the proxy over three wires: streams, cancels and disconnects.

The server has one slot and generates one answer at a time. When it answers the next request, the
generation before has ended.
"""

import json
import re
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

import stack as harness
from clients import TIMEOUT, client, content
from transcript import from_events, parse_events

# The wires that the server supports.
WIRES = [wire for wire in ("openai-chat", "openai-responses", "anthropic") if wire in harness.WIRES]
# Maximum tokens of a long and of a short answer, and the tokens to read before a stop.
LONG, SHORT, ENOUGH = 50_000, 60, 20
# Seconds to wait for the slot.
PATIENCE = 20
# Over Responses the server reports an answer at its maximum length as completed.
ENDS = {"openai-chat": "length", "openai-responses": "stop", "anthropic": "length"}
# All tests run in one process, with one server.
pytestmark = pytest.mark.xdist_group("llama")
PROVIDERS = {
    "openai-chat": ("llamacpp", ""),
    "openai-responses": ("llama-responses", 'wire = "openai-responses"'),
    "anthropic": ("llama-messages", 'wire = "anthropic"'),
}
PROVIDER = """
[providers.{name}]
{wire}
base_url = "{url}/v1"
[models.{model}]
route = ["{name}/random"]
retries = 0
"""


@pytest.fixture(scope="module")
def llama():
    with harness.process([sys.executable, str(harness.HERE / "llama.py")], re.compile(r"serving on (http://[\d.:]+)/")) as url:
        yield url


@pytest.fixture(scope="module")
def proxy(llama):
    config = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\ndrain = "1s"\n'
    for wire in WIRES:
        name, setting = PROVIDERS[wire]
        config += PROVIDER.format(name=name, wire=setting, url=llama, model=wire)
    with harness.running_proxy(config) as url:
        yield url


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(url, data, {"content-type": "application/json"}), timeout=TIMEOUT)


def body(wire, max_tokens, **more):
    return {"model": wire, "messages": [{"role": "user", "content": "hi"}], "max_tokens": max_tokens} | more


def slot(llama):
    with ask(f"{llama}/slots") as response:
        [slot] = json.load(response)
    return slot


def wait_idle(llama):
    """Waits until the slot is idle and returns it."""
    deadline = time.monotonic() + PATIENCE
    while (now := slot(llama))["is_processing"]:
        assert time.monotonic() < deadline, f"the server still generates after {PATIENCE} s: {now['next_token']}"
    return now


@pytest.fixture(scope="module")
def direct_answer(llama):
    """The server's answer without the proxy."""
    with ask(f"{llama}/v1/chat/completions", body("random", SHORT)) as response:
        completion = json.load(response)
    assert completion["usage"]["completion_tokens"] == SHORT
    # At the end the slot contains the prompt and all generated tokens except the last one.
    assert generated_tokens(llama, completion) == SHORT - 1
    return completion


def generated_tokens(llama, direct_answer):
    """Waits for the end of the newest answer and returns its number of tokens.

    All requests have the same prompt, whose length is known from `direct_answer`.
    """
    return wait_idle(llama)["n_prompt_tokens"] - direct_answer["usage"]["prompt_tokens"]


@contextmanager
def generating(proxy, llama, wire):
    """Starts a long answer, reads its first tokens, and yields its id and its remaining events."""
    with ask(f"{proxy}/v1/streams", body(wire, LONG, stream=True)) as response:
        events = parse_events(response)
        deltas = (data for name, data in events if name == "text")
        for _ in range(ENOUGH):
            next(deltas)
        assert slot(llama)["is_processing"]
        yield response.headers["x-stream-id"], events


def test_the_proxy_streams_the_servers_answer(proxy, direct_answer, wire):
    [choice] = direct_answer["choices"]
    options = {"model": wire, "messages": [{"role": "user", "content": "hi"}], "max_tokens": SHORT}
    chunks = list(client(None, url=proxy).chat.completions.create(stream=True, stream_options={"include_usage": True}, **options))
    assert content(chunks) == choice["message"]["content"]
    assert [it.choices[0].finish_reason for it in chunks if it.choices and it.choices[0].finish_reason] == [ENDS[wire]]
    usage = next(it.usage for it in reversed(chunks) if it.usage)
    assert (usage.prompt_tokens, usage.completion_tokens) == (direct_answer["usage"]["prompt_tokens"], SHORT)
    complete = client(None, url=proxy).chat.completions.create(**options).choices[0]
    assert (complete.message.content, complete.finish_reason) == (choice["message"]["content"], ENDS[wire])


def test_each_token_is_an_event(proxy, direct_answer, wire):
    with ask(f"{proxy}/v1/streams", body(wire, SHORT, stream=True)) as response:
        events = list(parse_events(response))
    transcript = from_events(events)
    assert (transcript.choice().text, transcript.choice().finish) == (direct_answer["choices"][0]["message"]["content"], ENDS[wire])
    [usage] = [data for name, data in events if name == "usage"]
    assert (usage["output_tokens"], usage["estimated"]) == (SHORT, False)
    assert sum(name == "text" for name, _ in events) > SHORT / 3, "the text arrives token by token"


def test_a_cancel_stops_the_server(proxy, llama, direct_answer, wire):
    with generating(proxy, llama, wire) as (stream, events):
        with ask(f"{proxy}/v1/streams/{stream}/cancel", {}) as response:
            status = json.load(response)
        assert (response.status, status["status"], status["upstream"]) == (200, "cancelled", "closed")
        assert list(events)[-1][1]["reason"] == "cancelled"
    assert ENOUGH <= generated_tokens(llama, direct_answer) < LONG / 2, "the server stopped before the maximum"
    with ask(f"{proxy}/v1/chat/completions", body(wire, SHORT)) as response:
        assert json.load(response)["choices"][0]["message"]["content"] == direct_answer["choices"][0]["message"]["content"]


def test_a_disconnect_stops_the_server(proxy, llama, direct_answer, wire):
    stream = client(None, url=proxy).chat.completions.create(model=wire, messages=[{"role": "user", "content": "hi"}], max_tokens=LONG, stream=True)
    tokens = (chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    for _ in range(ENOUGH):
        next(tokens)
    assert slot(llama)["is_processing"]
    stream.close()
    assert ENOUGH <= generated_tokens(llama, direct_answer) < LONG / 2, "the server stopped before the maximum"
