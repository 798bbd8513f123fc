"""Two requests with the same Idempotency-Key share one generation."""

import openai
import pytest

from clients import client, content, scripted, text
from relay import Relay


@pytest.fixture(params=[True, False], ids=["streaming", "non-streaming"])
def streamed(request):
    return request.param


def answer_text(answer, streamed):
    return content(list(answer)) if streamed else answer.choices[0].message.content


def test_a_retry_after_a_lost_answer_joins_the_running_generation(stack, wire, tag, streamed):
    # The relay drops the first two responses completely, and the SDK retries on its own.
    with Relay(stack.url, cuts=[0, 0]) as relay:
        api = client(stack, url=relay.url, max_retries=2)
        messages = scripted(tag, tokens=50, every=5)
        answer = api.chat.completions.create(model=wire, messages=messages, stream=streamed, extra_headers={"Idempotency-Key": tag})
        assert answer_text(answer, streamed) == text(50)
        assert (relay.connections, relay.cuts_made) == (3, 2)
    assert [call["end"] for call in stack.wait_ended(tag)] == ["done"]


def test_a_repeated_request_gets_the_answer_of_the_same_generation(stack, wire, tag, streamed):
    options = {"model": wire, "messages": scripted(tag, tokens=20), "stream": streamed, "extra_headers": {"Idempotency-Key": tag}}
    answers = [answer_text(client(stack).chat.completions.create(**options), streamed) for _ in range(2)]
    assert answers == [text(20)] * 2
    assert len(stack.calls(tag)) == 1


def test_another_body_under_the_same_key_is_a_conflict(stack, wire, tag, streamed):
    options = {"model": wire, "stream": streamed, "extra_headers": {"Idempotency-Key": tag}}
    answer_text(client(stack).chat.completions.create(messages=scripted(tag), **options), streamed)
    with pytest.raises(openai.ConflictError) as raised:
        client(stack, max_retries=2).chat.completions.create(messages=scripted(tag, tokens=4), **options)
    assert raised.value.code == "idempotency_conflict" and raised.value.response.headers["x-should-retry"] == "false"
    assert len(stack.calls(tag)) == 1
