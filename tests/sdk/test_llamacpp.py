"""A real server that nobody here wrote, llama.cpp's: over three wires it streams through the proxy, and stops when it is told to.

It has one slot: while an answer is generated, nobody else is served, so whoever is served next shows that it has ended.
"""

import json
import re
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

import stack as house
from asking import TIMEOUT, client, content
from heard import events, of_events

# Each wire that it speaks, under the provider's name.
WIRES = [wire for wire in ("openai-chat", "openai-responses", "anthropic") if wire in house.WIRES]
LONG, SHORT, ENOUGH, PATIENCE = 50_000, 60, 20, 20
# Over Responses it says that an answer at its maximum is complete.
ENDS = {"openai-chat": "length", "openai-responses": "stop", "anthropic": "length"}
# One server is enough.
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
    with house.process([sys.executable, str(house.HERE / "llama.py")], re.compile(r"serving on (http://[\d.:]+)/")) as url:
        yield url


@pytest.fixture(scope="module")
def proxy(llama):
    config = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\ndrain = "1s"\n'
    for wire in WIRES:
        name, said = PROVIDERS[wire]
        config += PROVIDER.format(name=name, wire=said, url=llama, model=wire)
    with house.serving(config) as url:
        yield url


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(url, data, {"content-type": "application/json"}), timeout=TIMEOUT)


def body(wire, most, **more):
    return {"model": wire, "messages": [{"role": "user", "content": "hi"}], "max_tokens": most} | more


def slot(llama):
    with ask(f"{llama}/slots") as answer:
        [slot] = json.load(answer)
    return slot


def freed(llama):
    """The slot once nothing is generated in it any more."""
    deadline = time.monotonic() + PATIENCE
    while (now := slot(llama))["is_processing"]:
        assert time.monotonic() < deadline, f"the server goes on: {now['next_token']}"
    return now


@pytest.fixture(scope="module")
def said(llama):
    """What it says when it is asked without us."""
    with ask(f"{llama}/v1/chat/completions", body("random", SHORT)) as answer:
        whole = json.load(answer)
    assert whole["usage"]["completion_tokens"] == SHORT
    # What is in its slot at the end is the prompt and all that was generated, but for the last token.
    assert generated(llama, whole) == SHORT - 1
    return whole


def generated(llama, said):
    """The tokens of the newest answer, once it is not going on any more. All are asked the same."""
    return freed(llama)["n_prompt_tokens"] - said["usage"]["prompt_tokens"]


@contextmanager
def generating(proxy, llama, wire):
    """A long answer under way: its id, and the lines that are still to come."""
    with ask(f"{proxy}/v1/streams", body(wire, LONG, stream=True)) as answer:
        told = events(answer)
        deltas = (data for name, data in told if name == "text")
        for _ in range(ENOUGH):
            next(deltas)
        assert slot(llama)["is_processing"]
        yield answer.headers["x-stream-id"], told


def test_it_streams_what_it_says(proxy, said, wire):
    [choice] = said["choices"]
    options = {"model": wire, "messages": [{"role": "user", "content": "hi"}], "max_tokens": SHORT}
    chunks = list(client(None, url=proxy).chat.completions.create(stream=True, stream_options={"include_usage": True}, **options))
    assert content(chunks) == choice["message"]["content"]
    assert [it.choices[0].finish_reason for it in chunks if it.choices and it.choices[0].finish_reason] == [ENDS[wire]]
    usage = next(it.usage for it in reversed(chunks) if it.usage)
    assert (usage.prompt_tokens, usage.completion_tokens) == (said["usage"]["prompt_tokens"], SHORT)
    whole = client(None, url=proxy).chat.completions.create(**options).choices[0]
    assert (whole.message.content, whole.finish_reason) == (choice["message"]["content"], ENDS[wire])


def test_its_tokens_are_events(proxy, said, wire):
    with ask(f"{proxy}/v1/streams", body(wire, SHORT, stream=True)) as answer:
        told = list(events(answer))
    heard = of_events(told)
    assert (heard.choice().text, heard.choice().finish) == (said["choices"][0]["message"]["content"], ENDS[wire])
    [usage] = [data for name, data in told if name == "usage"]
    assert (usage["output_tokens"], usage["estimated"]) == (SHORT, False)
    assert sum(name == "text" for name, _ in told) > SHORT / 3, "token by token"


def test_cancelled_it_stops(proxy, llama, said, wire):
    with generating(proxy, llama, wire) as (stream, told):
        with ask(f"{proxy}/v1/streams/{stream}/cancel", {}) as answer:
            status = json.load(answer)
        assert (answer.status, status["status"], status["upstream"]) == (200, "cancelled", "closed")
        assert list(told)[-1][1]["reason"] == "cancelled"
    assert ENOUGH <= generated(llama, said) < LONG / 2, "it did not come to its end"
    with ask(f"{proxy}/v1/chat/completions", body(wire, SHORT)) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"] == said["choices"][0]["message"]["content"]


def test_left_it_stops(proxy, llama, said, wire):
    stream = client(None, url=proxy).chat.completions.create(model=wire, messages=[{"role": "user", "content": "hi"}], max_tokens=LONG, stream=True)
    tokens = (chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    for _ in range(ENOUGH):
        next(tokens)
    assert slot(llama)["is_processing"]
    stream.close()
    assert ENOUGH <= generated(llama, said) < LONG / 2, "it did not come to its end"
