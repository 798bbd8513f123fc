"""Responses with the published openai-python over every wire, including the dialect's own.

Streams and the stream helper, non-streaming answers, tools over turns, background responses,
resuming by sequence number, cancelling, deleting, and errors.
"""

import asyncio
import json
import time

import openai
import pytest

from clients import client, text
from wires import BY_NAME

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "name": "weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}


def request_for(wire, tag, **words):
    """Returns the arguments of a request whose script the upstream plays."""
    script = " ".join(f"{word}={value}" for word, value in words.items())
    return {"model": wire, "input": f"script tag={tag} {script}"}


@pytest.fixture(params=[True, False], ids=["streaming", "non-streaming"])
def streamed(request):
    return request.param


def model_name(wire):
    """Returns the model name in responses: over the dialect's own wire it is the upstream's."""
    return "m-up" if wire == "openai-responses" else wire


def answer(api, streamed, **options):
    """Returns the response. For a stream the SDK's own accumulator builds it."""
    if not streamed:
        return api.responses.create(**options)
    with api.responses.stream(**options) as stream:
        return stream.get_final_response()


def test_a_response(stack, wire, tag, streamed):
    response = answer(client(stack), streamed, **request_for(wire, tag, tokens=20), metadata={"a": "b"})
    assert (response.output_text, response.status, response.model, response.metadata) == (text(20), "completed", model_name(wire), {"a": "b"})
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (11, 20, 31)
    assert response.id.startswith("resp_") and response.store and not response.background


def test_the_events_of_a_stream(stack, wire, tag):
    events = list(client(stack).responses.create(**request_for(wire, tag, tokens=20), stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(20)


def test_the_asynchronous_client(stack, wire, tag):
    async def ask():
        async with client(stack, openai.AsyncOpenAI) as api, api.responses.stream(**request_for(wire, tag, tokens=20)) as stream:
            return (await stream.get_final_response()).output_text

    assert asyncio.run(ask()) == text(20)


def test_the_sdk_ignores_heartbeats(stack, wire, tag):
    events = list(client(stack).responses.create(**request_for(wire, tag, stall=2400, tokens=3, every=700), stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(3)


def test_tools_over_two_turns(stack, wire, tag, streamed):
    api = client(stack)
    thinking = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"], "tools": [WEATHER]}
    first = answer(api, streamed, **request_for(wire, tag, tools=1), **thinking)
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2 and {call.name for call in calls} == {"weather"}
    cities = [json.loads(call.arguments)["city"] for call in calls]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": f"{city}: 20 degrees"} for call, city in zip(calls, cities)]
    second = answer(api, streamed, model=wire, input=results, previous_response_id=first.id, **thinking)
    assert all(city in second.output_text for city in cities), second.output_text
    # Over the dialect's own wire the response is the upstream's, which received all turns in one
    # request.
    assert second.previous_response_id == (None if wire == "openai-responses" else first.id)
    items = list(api.responses.input_items.list(second.id, order="asc"))
    assert [item.type for item in items][-2:] == ["function_call_output"] * 2 and "message" in [item.type for item in items]
    # The same request, with all turns sent by the client.
    turns = [{"role": "user", "content": f"script tag={tag} tools=1"}, *(item.model_dump(exclude_none=True) for item in first.output), *results]
    again = answer(api, streamed, model=wire, input=turns, **thinking)
    assert again.output_text == second.output_text
    # In both cases the upstream receives its reasoning again. Over openai-chat only servers whose
    # preset asks for earlier reasoning would receive it.
    for turn in stack.calls(tag)[1:] if wire != "openai-chat" else ():
        assert (BY_NAME[wire].SIGNATURE or BY_NAME[wire].REASONING) in json.dumps(turn["body"]), turn["body"]


def test_a_background_response(stack, wire, tag):
    api = client(stack)
    response = api.responses.create(**request_for(wire, tag, tokens=20, every=20), background=True)
    assert response.status in ("queued", "in_progress") and response.background
    deadline = time.monotonic() + 10
    while response.status in ("queued", "in_progress") and time.monotonic() < deadline:
        response = api.responses.retrieve(response.id)
    assert (response.status, response.output_text) == ("completed", text(20))


def test_cancelling_a_background_response(stack, wire, tag):
    api = client(stack)
    response = api.responses.create(**request_for(wire, tag, tokens=20, gate=tag), background=True)
    cancelled = api.responses.cancel(response.id)
    assert (cancelled.id, cancelled.status) == (response.id, "cancelled")
    assert api.responses.retrieve(response.id).status == "cancelled"
    stack.control("gate", name=tag)


def test_a_cancelled_stream_ends_like_a_response(stack, wire, tag):
    api, events = client(stack), []
    for event in api.responses.create(**request_for(wire, tag, tokens=2000, every=10), stream=True):
        events.append(event)
        if sum(it.type == "response.output_text.delta" for it in events) == 5 and event.type == "response.output_text.delta":
            api.responses.cancel(events[0].response.id)
    ends = [event.type for event in events if event.type != "response.output_text.delta"][-4:]
    assert ends == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"]
    received = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert [events[-4].text, events[-3].part.text, events[-2].item.content[0].text, events[-1].response.output_text] == [received] * 4
    assert (events[-2].item.status, events[-1].response.status) == ("incomplete", "cancelled")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    [call] = stack.wait_ended(tag)
    assert call["end"] == "closed", call


def test_a_cut_stream_resumes_after_its_last_number(stack, wire, tag):
    api = client(stack)
    received = []
    with api.responses.create(**request_for(wire, tag, tokens=20, gate=tag), background=True, stream=True) as stream:
        for event in stream:
            received.append(event)
            if event.type == "response.output_text.delta":
                break
    stack.control("gate", name=tag)
    rest = list(api.responses.retrieve(received[0].response.id, stream=True, starting_after=received[-1].sequence_number))
    events = received + rest
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(20)
    assert rest[-1].response.output_text == text(20)


def test_a_deleted_response_is_not_found(stack, wire, tag):
    api = client(stack)
    response = api.responses.create(**request_for(wire, tag))
    api.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError) as raised:
        api.responses.retrieve(response.id)
    assert raised.value.code == "stream_not_found"
    with pytest.raises(openai.NotFoundError) as raised:
        api.responses.create(**request_for(wire, tag), previous_response_id=response.id)
    assert (raised.value.code, raised.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("status, kind", [(400, openai.BadRequestError), (404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.InternalServerError)])
def test_errors_before_the_head(stack, wire, tag, status, kind, streamed):
    with pytest.raises(kind) as failed:
        answer(client(stack), streamed, **request_for(wire, tag, status=status))
    assert failed.value.request_id and failed.value.code


def test_an_error_in_the_stream(stack, wire, tag):
    events = []
    stream = client(stack).responses.create(**request_for(wire, tag, tokens=9, error=3), stream=True)
    if wire == "openai-responses":
        # The upstream's own `error` event passes unchanged, and the SDK raises it.
        with pytest.raises(openai.APIError, match="scripted error"):
            events.extend(stream)
    else:
        events.extend(stream)
        assert events.pop().type == "response.failed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == text(3)
