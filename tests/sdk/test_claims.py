"""A request that is sent twice under one Idempotency-Key is one generation."""

import openai
import pytest

from asking import client, content, says, text
from relay import Relay


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request):
    return request.param


def said(answer, streamed):
    return content(list(answer)) if streamed else answer.choices[0].message.content


def test_a_retry_after_a_lost_answer_joins_the_running_generation(stack, wire, tag, streamed):
    # The answer to the first request is lost to the last byte; the SDK asks again by itself.
    with Relay(stack.url, cuts=[0, 0]) as relay:
        asking = client(stack, url=relay.url, max_retries=2)
        messages = says(tag, tokens=50, every=5)
        answer = asking.chat.completions.create(model=wire, messages=messages, stream=streamed, extra_headers={"Idempotency-Key": tag})
        assert said(answer, streamed) == text(50)
        assert (relay.connections, relay.cut) == (3, 2)
    assert [call["end"] for call in stack.ended(tag)] == ["done"]


def test_asked_twice_it_is_answered_twice_and_generated_once(stack, wire, tag, streamed):
    options = {"model": wire, "messages": says(tag, tokens=20), "stream": streamed, "extra_headers": {"Idempotency-Key": tag}}
    answers = [said(client(stack).chat.completions.create(**options), streamed) for _ in range(2)]
    assert answers == [text(20)] * 2
    assert len(stack.calls(tag)) == 1


def test_another_body_under_the_same_key_is_a_conflict(stack, wire, tag, streamed):
    options = {"model": wire, "stream": streamed, "extra_headers": {"Idempotency-Key": tag}}
    said(client(stack).chat.completions.create(messages=says(tag), **options), streamed)
    with pytest.raises(openai.ConflictError) as raised:
        client(stack, max_retries=2).chat.completions.create(messages=says(tag, tokens=4), **options)
    assert raised.value.code == "idempotency_conflict" and raised.value.response.headers["x-should-retry"] == "false"
    assert len(stack.calls(tag)) == 1
