"""A client that goes away is seen by the provider: its connection closes, whatever the wire and the moment."""

import asyncio

import openai
import pytest

from asking import client, says

MANY = 2000


def assert_closed(stack, tag, most):
    [call] = stack.ended(tag)
    assert call["end"] == "closed" and call["sent"] <= most, (call["end"], call["sent"])


def test_a_stream_is_left_after_five_tokens(stack, wire, tag):
    stream = client(stack).chat.completions.create(model=wire, messages=says(tag, tokens=MANY, every=10), stream=True)
    tokens = (chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    for _ in range(5):
        next(tokens)
    stream.close()
    assert_closed(stack, tag, MANY // 4)


def test_an_asynchronous_stream_is_left(stack, wire, tag):
    async def leave():
        async with client(stack, openai.AsyncOpenAI) as asking:
            stream = await asking.chat.completions.create(model=wire, messages=says(tag, tokens=MANY, every=10), stream=True)
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    break
            await stream.close()

    asyncio.run(leave())
    assert_closed(stack, tag, MANY // 4)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("never", ["head", "body"])
def test_a_client_gives_up_before_the_first_token(stack, wire, tag, never, streamed):
    with pytest.raises(openai.APITimeoutError):
        client(stack, timeout=1).chat.completions.create(model=wire, messages=says(tag, never=never), stream=streamed)
    assert_closed(stack, tag, 0)
