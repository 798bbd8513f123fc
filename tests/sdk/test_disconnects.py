"""When a client disconnects, the proxy closes the upstream connection: every wire, any moment."""

import asyncio

import openai
import pytest

from clients import client, scripted

# Tokens of an answer that is too long to be finished in a test.
MANY = 2000


def assert_closed(stack, tag, max_tokens):
    [call] = stack.wait_ended(tag)
    assert call["end"] == "closed" and call["sent"] <= max_tokens, (call["end"], call["sent"])


def test_closing_a_stream_after_five_tokens(stack, wire, tag):
    stream = client(stack).chat.completions.create(model=wire, messages=scripted(tag, tokens=MANY, every=10), stream=True)
    tokens = (chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    for _ in range(5):
        next(tokens)
    stream.close()
    assert_closed(stack, tag, MANY // 4)


def test_closing_an_asynchronous_stream(stack, wire, tag):
    async def leave():
        async with client(stack, openai.AsyncOpenAI) as api:
            stream = await api.chat.completions.create(model=wire, messages=scripted(tag, tokens=MANY, every=10), stream=True)
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    break
            await stream.close()

    asyncio.run(leave())
    assert_closed(stack, tag, MANY // 4)


@pytest.mark.parametrize("streamed", [True, False], ids=["streaming", "non-streaming"])
@pytest.mark.parametrize("never", ["head", "body"])
def test_a_client_timeout_before_the_first_token(stack, wire, tag, never, streamed):
    with pytest.raises(openai.APITimeoutError):
        client(stack, timeout=1).chat.completions.create(model=wire, messages=scripted(tag, never=never), stream=streamed)
    assert_closed(stack, tag, 0)
