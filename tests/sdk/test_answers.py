"""openai-python over every wire: streams, non-streaming answers, usage, heartbeats, event ids."""

import asyncio

import openai
import pytest

import stack as harness
from clients import client, content, scripted, text


def test_a_stream(stack, wire, tag):
    chunks = list(client(stack).chat.completions.create(model=wire, messages=scripted(tag, tokens=20), stream=True))
    assert content(chunks) == text(20)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"} and len({chunk.id for chunk in chunks}) == 1
    assert next(chunk for chunk in chunks if chunk.choices).choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks), "usage without include_usage"


def test_a_non_streaming_answer(stack, wire, tag):
    raw = client(stack).chat.completions.with_raw_response.create(model=wire, messages=scripted(tag, tokens=20))
    answer = raw.parse()
    assert (answer.object, answer.choices[0].message.content, answer.choices[0].finish_reason) == ("chat.completion", text(20), "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 20, 31)
    assert raw.headers["x-request-id"] and raw.headers["x-stream-id"]


def test_usage_is_sent_if_requested(stack, wire, tag):
    options = {"include_usage": True}
    chunks = list(client(stack).chat.completions.create(model=wire, messages=scripted(tag), stream=True, stream_options=options))
    *others, last = chunks
    assert last.choices == [] and (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (11, 3, 14)
    assert all(chunk.choices and chunk.usage is None for chunk in others)


def test_the_upstream_receives_our_key_and_no_client_headers(stack, wire, tag):
    client(stack, organization="org-x", default_headers={"cookie": "a=b"}).chat.completions.create(model=wire, messages=scripted(tag))
    [call] = stack.calls(tag)
    assert harness.UPSTREAM_KEY in str(call["headers"]) and harness.KEY not in str(call["headers"])
    foreign = [name for name in call["headers"] if name.startswith(("x-stainless", "openai-", "cookie", "x-forwarded"))]
    assert foreign == []


@pytest.mark.parametrize("headers", [{}, {"x-event-ids": "true"}], ids=["plain", "with-ids"])
def test_the_sdk_ignores_heartbeats_before_and_between_tokens(stack, wire, tag, headers):
    messages = scripted(tag, stall=2400, tokens=3, every=700)
    chunks = list(client(stack).chat.completions.create(model=wire, messages=messages, stream=True, extra_headers=headers))
    assert content(chunks) == text(3)
    assert all(chunk.id and chunk.choices for chunk in chunks)


def test_the_asynchronous_client(stack, wire, tag):
    async def ask():
        async with client(stack, openai.AsyncOpenAI) as api:
            stream = await api.chat.completions.create(model=wire, messages=scripted(tag, tokens=20), stream=True)
            return [chunk async for chunk in stream]

    assert content(asyncio.run(ask())) == text(20)


def test_the_models_are_listed(stack):
    models = client(stack).models.list()
    assert {model.id for model in models} == {f"{wire}{kind}" for wire in harness.WIRES for kind in ("", "-again", "-hasty")} | {"tour"}
    assert client(stack).models.retrieve("anthropic").id == "anthropic"
