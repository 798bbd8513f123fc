"""openai-python's Responses, as published, over every wire, its own included: streams and their helper, whole answers, tools
over turns, the background, resuming by number, cancelling, forgetting, and errors."""

import asyncio
import json
import time

import openai
import pytest

from asking import client, text
from wires import BY_NAME

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "name": "weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}


def asked(wire, tag, **words):
    script = " ".join(f"{word}={value}" for word, value in words.items())
    return {"model": wire, "input": f"script tag={tag} {script}"}


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request):
    return request.param


def model(wire):
    """The model's name as it is told: over the dialect's own wire that is the upstream's word."""
    return "m-up" if wire == "openai-responses" else wire


def answer(asking, streamed, **options):
    """The response, by the SDK's own accumulator where it is streamed."""
    if not streamed:
        return asking.responses.create(**options)
    with asking.responses.stream(**options) as stream:
        return stream.get_final_response()


def test_a_response(stack, wire, tag, streamed):
    response = answer(client(stack), streamed, **asked(wire, tag, tokens=20), metadata={"a": "b"})
    assert (response.output_text, response.status, response.model, response.metadata) == (text(20), "completed", model(wire), {"a": "b"})
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
    thinking = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "tools": [WEATHER]}
    first = answer(asking, streamed, **asked(wire, tag, tools=1), **thinking)
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2 and {call.name for call in calls} == {"weather"}
    cities = [json.loads(call.arguments)["city"] for call in calls]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": f"{city}: 20 degrees"} for call, city in zip(calls, cities)]
    second = answer(asking, streamed, model=wire, input=results, previous_response_id=first.id, **thinking)
    assert all(city in second.output_text for city in cities), second.output_text
    # Over the dialect's own wire a response is what the upstream has said: it was asked with all turns.
    assert second.previous_response_id == (None if wire == "openai-responses" else first.id)
    items = list(asking.responses.input_items.list(second.id, order="asc"))
    assert [item.type for item in items][-2:] == ["function_call_output"] * 2 and "message" in [item.type for item in items]
    # The same by the client's own hand.
    turns = [{"role": "user", "content": f"script tag={tag} tools=1"}, *(item.model_dump(exclude_none=True) for item in first.output), *results]
    again = answer(asking, streamed, model=wire, input=turns, **thinking)
    assert again.output_text == second.output_text
    # Either way what the upstream has signed, or thought, is there again; a compatible server is sent no thoughts unasked.
    for turn in stack.calls(tag)[1:] if wire != "openai-chat" else ():
        assert (BY_NAME[wire].SIGNATURE or BY_NAME[wire].THOUGHT) in json.dumps(turn["body"]), turn["body"]


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


def test_a_stream_that_is_cancelled_ends_as_a_response_does(stack, wire, tag):
    asking, events = client(stack), []
    for event in asking.responses.create(**asked(wire, tag, tokens=2000, every=10), stream=True):
        events.append(event)
        if sum(it.type == "response.output_text.delta" for it in events) == 5 and event.type == "response.output_text.delta":
            asking.responses.cancel(events[0].response.id)
    ends = [event.type for event in events if event.type != "response.output_text.delta"][-4:]
    assert ends == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"]
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert [events[-4].text, events[-3].part.text, events[-2].item.content[0].text, events[-1].response.output_text] == [said] * 4
    assert (events[-2].item.status, events[-1].response.status) == ("incomplete", "cancelled")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    [call] = stack.ended(tag)
    assert call["end"] == "closed", call


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
    events = []
    stream = client(stack).responses.create(**asked(wire, tag, tokens=9, error=3), stream=True)
    if wire == "openai-responses":
        # Its own `error` comes as it is, which the SDK raises.
        with pytest.raises(openai.APIError, match="scripted error"):
            events.extend(stream)
    else:
        events.extend(stream)
        assert events.pop().type == "response.failed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(3)
