"""openai-python's Responses, as published, over every wire but its own (whose payloads pass as they came: see tests/it): streams and their helper, whole answers, tools over turns, the
background, resuming by number, cancelling, forgetting, and errors."""

import asyncio
import json
import time

import openai
import pytest

from asking import client, text
from stack import WIRES

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "name": "weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}


def asked(wire, tag, **words):
    script = " ".join(f"{word}={value}" for word, value in words.items())
    return {"model": wire, "input": f"script tag={tag} {script}"}


@pytest.fixture(params=[wire for wire in WIRES if wire != "openai-responses"])
def wire(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request):
    return request.param


def answer(asking, streamed, **options):
    """The response, by the SDK's own accumulator where it is streamed."""
    if not streamed:
        return asking.responses.create(**options)
    with asking.responses.stream(**options) as stream:
        return stream.get_final_response()


def test_a_response(stack, wire, tag, streamed):
    response = answer(client(stack), streamed, **asked(wire, tag, tokens=20), metadata={"a": "b"})
    assert (response.output_text, response.status, response.model, response.metadata) == (text(20), "completed", wire, {"a": "b"})
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (11, 20, 31)
    assert response.id.startswith("resp_") and response.store and not response.background


def test_the_events_of_a_stream(stack, wire, tag):
    events = list(client(stack).responses.create(**asked(wire, tag, tokens=20), stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(20)


def test_the_asynchronous_client(stack, wire, tag):
    async def ask():
        async with client(stack, openai.AsyncOpenAI) as asking, asking.responses.stream(**asked(wire, tag, tokens=20)) as stream:
            return (await stream.get_final_response()).output_text

    assert asyncio.run(ask()) == text(20)


def test_heartbeats_are_not_noticed(stack, wire, tag):
    events = list(client(stack).responses.create(**asked(wire, tag, stall=2400, tokens=3, every=700), stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(3)


def test_tools_over_two_turns(stack, wire, tag, streamed):
    asking = client(stack)
    first = answer(asking, streamed, **asked(wire, tag, tools=1), tools=[WEATHER])
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2 and {call.name for call in calls} == {"weather"}
    cities = [json.loads(call.arguments)["city"] for call in calls]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": f"{city}: 20 degrees"} for call, city in zip(calls, cities)]
    second = answer(asking, streamed, model=wire, input=results, previous_response_id=first.id, tools=[WEATHER])
    assert all(city in second.output_text for city in cities), second.output_text
    assert second.previous_response_id == first.id
    items = list(asking.responses.input_items.list(second.id, order="asc"))
    assert [item.type for item in items][-2:] == ["function_call_output"] * 2 and "message" in [item.type for item in items]
    # The same by the client's own hand.
    turns = [{"role": "user", "content": f"script tag={tag} tools=1"}, *(item.model_dump(exclude_none=True) for item in first.output), *results]
    again = answer(asking, streamed, model=wire, input=turns, tools=[WEATHER])
    assert again.output_text == second.output_text


def test_the_background(stack, wire, tag):
    asking = client(stack)
    response = asking.responses.create(**asked(wire, tag, tokens=20, every=20), background=True)
    assert response.status in ("queued", "in_progress") and response.background
    until = time.monotonic() + 10
    while response.status in ("queued", "in_progress") and time.monotonic() < until:
        response = asking.responses.retrieve(response.id)
    assert (response.status, response.output_text) == ("completed", text(20))


def test_a_cancel(stack, wire, tag):
    asking = client(stack)
    response = asking.responses.create(**asked(wire, tag, tokens=20, gate=tag), background=True)
    stopped = asking.responses.cancel(response.id)
    assert (stopped.id, stopped.status) == (response.id, "cancelled")
    assert asking.responses.retrieve(response.id).status == "cancelled"
    stack.control("gate", name=tag)


def test_a_stream_that_was_cut_goes_on_behind_its_last_number(stack, wire, tag):
    asking = client(stack)
    seen = []
    with asking.responses.create(**asked(wire, tag, tokens=20, gate=tag), background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    stack.control("gate", name=tag)
    rest = list(asking.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number))
    every = seen + rest
    assert [event.sequence_number for event in every] == list(range(len(every)))
    assert "".join(event.delta for event in every if event.type == "response.output_text.delta") == text(20)
    assert rest[-1].response.output_text == text(20)


def test_a_response_is_forgotten(stack, wire, tag):
    asking = client(stack)
    response = asking.responses.create(**asked(wire, tag))
    asking.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError) as gone:
        asking.responses.retrieve(response.id)
    assert gone.value.code == "stream_not_found"
    with pytest.raises(openai.NotFoundError) as gone:
        asking.responses.create(**asked(wire, tag), previous_response_id=response.id)
    assert (gone.value.code, gone.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("status, kind", [(400, openai.BadRequestError), (404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.InternalServerError)])
def test_errors_before_the_head(stack, wire, tag, status, kind, streamed):
    with pytest.raises(kind) as failed:
        answer(client(stack), streamed, **asked(wire, tag, status=status))
    assert failed.value.request_id and failed.value.code


def test_an_error_in_the_stream(stack, wire, tag):
    events = list(client(stack).responses.create(**asked(wire, tag, tokens=9, error=3), stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed" and events[-1].response.error.message
    assert events[-1].response.output_text == text(3)
