"""The published anthropic-python over every wire.

Streams, non-streaming answers, thinking, tools, token counts, models, errors and disconnects.
"""

import asyncio
import json

import anthropic
import httpx2
import pytest

import stack as harness
from clients import scripted, text
from relay import Relay
from wires import BY_NAME, COUNTED, TOOL_CALLS

# Seconds.
TIMEOUT = 20
# Tokens of an answer that is too long to be finished in a test.
MANY = 2000
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"name": "weather", "description": "The weather.", "input_schema": PARAMETERS}
# The path of the output schema in a request of each API.
SCHEMAS = {
    "openai-chat": ("response_format", "json_schema", "schema"),
    "openai-responses": ("text", "format", "schema"),
    "anthropic": ("output_config", "format", "schema"),
    "gemini": ("generationConfig", "responseJsonSchema"),
    "bedrock": ("outputConfig", "textFormat", "structure", "jsonSchema", "schema"),
    "ollama": ("format",),
    "cohere": ("response_format", "json_schema"),
}
# The APIs that have an endpoint for token counts.
COUNTING = ("anthropic", "gemini")

STATUSES = [
    (400, anthropic.BadRequestError, 400, "invalid_request_error"),
    (401, anthropic.InternalServerError, 502, "api_error"),
    (404, anthropic.NotFoundError, 404, "not_found_error"),
    (409, anthropic.InternalServerError, 502, "api_error"),
    (413, anthropic.ContentTooLargeError, 413, "request_too_large"),
    (422, anthropic.UnprocessableEntityError, 422, "invalid_request_error"),
    (429, anthropic.RateLimitError, 429, "rate_limit_error"),
    (502, anthropic.InternalServerError, 502, "api_error"),
    (503, anthropic.OverloadedError, 529, "overloaded_error"),
    (529, anthropic.OverloadedError, 529, "overloaded_error"),
]


def client(stack, kind=anthropic.Anthropic, **options):
    url = options.pop("url", stack.url)
    return kind(**({"base_url": url, "api_key": harness.KEY, "timeout": TIMEOUT, "max_retries": 0} | options))


def request_for(wire, tag, **words):
    """Returns the arguments of a request whose script the upstream plays."""
    return {"model": wire, "max_tokens": 1000, "messages": scripted(tag, **words)}


@pytest.fixture(params=[True, False], ids=["streaming", "non-streaming"])
def streamed(request):
    return request.param


def answer(api, streamed, **options):
    """Returns the message. For a stream the SDK's own accumulator builds it."""
    if not streamed:
        return api.messages.create(**options)
    with api.messages.stream(**options) as stream:
        return stream.get_final_message()


def message_text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message(stack, wire, tag, streamed):
    message = answer(client(stack), streamed, **request_for(wire, tag, tokens=20))
    assert (message_text(message), message.stop_reason, message.role, message.type) == (text(20), "end_turn", "assistant", "message")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 20)
    assert message.id.startswith("msg_") and message.model == ("m-up" if wire == "anthropic" else wire)


def test_the_events_of_a_stream(stack, wire, tag):
    events = list(client(stack).messages.create(**request_for(wire, tag, tokens=20), stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"] and kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert "".join(event.delta.text for event in events[2:-3]) == text(20)


def test_the_text_and_the_headers_of_a_stream(stack, wire, tag):
    with client(stack).messages.stream(**request_for(wire, tag, tokens=20)) as stream:
        assert "".join(stream.text_stream) == text(20)
        assert stream.request_id and stream.response.headers["x-stream-id"]


def test_the_upstream_receives_our_key_and_no_client_headers(stack, wire, tag):
    client(stack, default_headers={"cookie": "a=b"}).messages.create(**request_for(wire, tag))
    [call] = stack.calls(tag)
    assert harness.UPSTREAM_KEY in str(call["headers"]) and harness.KEY not in str(call["headers"])
    foreign = [name for name in call["headers"] if name.startswith(("x-stainless", "cookie", "x-forwarded", "anthropic-dangerous"))]
    assert foreign == []
    assert ("anthropic-version" in call["headers"]) == (wire == "anthropic")


@pytest.mark.parametrize("headers", [{}, {"x-event-ids": "true"}], ids=["plain", "with-ids"])
def test_the_sdk_ignores_heartbeats(stack, wire, tag, headers):
    options = request_for(wire, tag, stall=2400, tokens=3, every=700)
    events = list(client(stack).messages.create(**options, stream=True, extra_headers=headers))
    assert {event.type for event in events} == {
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == text(3)


def test_the_asynchronous_client(stack, wire, tag):
    async def ask():
        async with client(stack, anthropic.AsyncAnthropic) as api, api.messages.stream(**request_for(wire, tag, tokens=20)) as stream:
            return await stream.get_final_text()

    assert asyncio.run(ask()) == text(20)


def test_thinking(stack, wire, tag):
    options = request_for(wire, tag, think=1, tokens=5) | {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    message = answer(client(stack), True, **options)
    thinking, *opaque, last = message.content
    assert (thinking.type, thinking.thinking, last.text) == ("thinking", BY_NAME[wire].REASONING, text(5))
    signature = thinking.signature + "".join(block.data for block in opaque)
    # The proxy adds a signature only if the provider signs its reasoning or needs it in the next
    # turn: Anthropic's own unchanged, that of other providers with our prefix.
    unsigned = wire in ("openai-chat", "gemini")
    if wire == "anthropic" or unsigned:
        assert signature == ("" if unsigned else BY_NAME[wire].SIGNATURE)
    else:
        assert signature.startswith(f"sluicegate:{wire}:"), signature
    # Every provider accepts a next turn with this thinking. Only the one that signed it receives
    # it.
    messages = options["messages"] + [{"role": "assistant", "content": message.content}, *scripted(tag, tokens=4)]
    for model in harness.WIRES:
        assert message_text(answer(client(stack), True, **options | {"model": model, "messages": messages})) == text(4)
    _, *seconds = stack.calls(tag)
    expected = BY_NAME[wire].SIGNATURE or BY_NAME[wire].REASONING
    assert [call["wire"] for call in seconds if expected in json.dumps(call["body"])] == ([] if unsigned else [wire])


def test_two_parallel_calls_and_the_turn_that_answers_them(stack, wire, tag, streamed):
    messages = scripted(tag, tools=1)
    options = {"model": wire, "max_tokens": 1000, "messages": messages, "tools": [WEATHER], "output_config": {"effort": "low"}}
    first = answer(client(stack), streamed, **options)
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == TOOL_CALLS
    assert len({call.id for call in calls}) == 2
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"sun {at}"} for at, call in enumerate(calls)]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    reply = message_text(answer(client(stack), streamed, **options))
    assert [part in reply for part in ("Zürich", "sun 0", "Paris", "sun 1")] == [True] * 4, reply
    assert reply.index("sun 0") < reply.index("Paris") < reply.index("sun 1")
    _, second = stack.calls(tag)
    assert wire == "openai-chat" or (BY_NAME[wire].SIGNATURE or BY_NAME[wire].REASONING) in json.dumps(second["body"]), "the upstream receives its signed reasoning"


def test_tools_run_by_the_sdk(stack, wire, tag):
    cities = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather.

        Args:
            city: Where.
        """
        cities.append(city)
        return f"sun {len(cities) - 1}"

    runner = client(stack).beta.messages.tool_runner(model=wire, max_tokens=1000, messages=scripted(tag, tools=1), tools=[weather])
    reply = message_text(runner.until_done())
    assert cities == [arguments["city"] for _, arguments in TOOL_CALLS]
    assert "sun 0" in reply and "sun 1" in reply


def test_a_schema_reaches_the_model(stack, wire, tag):
    schema = {"type": "json_schema", "schema": PARAMETERS}
    client(stack).messages.create(**request_for(wire, tag), output_config={"format": schema})
    [call] = stack.calls(tag)
    found = call["body"]
    for place in SCHEMAS[wire]:
        found = found[place]
    assert (json.loads(found) if wire == "bedrock" else found) == PARAMETERS


def test_tokens_are_counted(stack, wire, tag):
    counted = client(stack).messages.count_tokens(model=wire, messages=scripted(tag), tools=[WEATHER], system="Be brief.")
    if wire not in COUNTING:
        assert 0 < counted.input_tokens < 200 and counted.sluicegate == {"estimated": True}
        assert stack.calls(tag) == []
    else:
        assert counted.input_tokens == COUNTED
        assert len(stack.calls(tag)) == 1


def test_the_models_are_listed(stack):
    api = client(stack)
    names = {f"{wire}{kind}" for wire in harness.WIRES for kind in ("", "-again", "-hasty")} | {"tour"}
    assert {model.id for model in api.models.list()} == names
    assert {model.id for model in api.models.list(limit=3)} == names, "page by page"
    model = api.models.retrieve("anthropic")
    assert (model.id, model.type, model.display_name, model.created_at.year > 2020) == ("anthropic", "model", "anthropic", True)


def failure(kind, api, streamed=False, **options):
    with pytest.raises(anthropic.AnthropicError) as raised:
        api.messages.create(**options, stream=streamed)
    error = raised.value
    assert type(error) is kind, repr(error)
    assert error.request_id and error.api_message and error.body["request_id"] == error.request_id
    assert error.error_code == error.body["error"]["code"]
    return error


@pytest.mark.parametrize("status, kind, ours, type", STATUSES, ids=[str(row[0]) for row in STATUSES])
def test_an_error_status_of_the_upstream(stack, wire, tag, streamed, status, kind, ours, type):
    error = failure(kind, client(stack), streamed, **request_for(wire, tag, status=status))
    assert (error.status_code, error.type) == (ours, type), error.body
    if status in (400, 404, 422):
        assert error.api_message == f"scripted refusal {status}"
    if status == 429:
        assert error.body["error"]["limit"] == "provider" and error.response.headers["retry-after"]
    if status == 401:
        assert "scripted" not in error.api_message, "errors about our key are for the operator only"


@pytest.mark.parametrize("never", ["head", "body"])
def test_an_upstream_that_never_answers(stack, wire, tag, streamed, never):
    # A non-streaming request over the dialect's own wire has only the clocks `connect` and `total`.
    lossless = wire == "anthropic" and not streamed
    clock = "total" if lossless else {"head": "headers", "body": "first_token"}[never]
    error = failure(anthropic.GatewayTimeoutError, client(stack), streamed, **request_for(f"{wire}-hasty", tag, never=never))
    assert (error.error_code, error.type) == ("upstream_timeout", "timeout_error") and f"`{clock}` clock" in error.api_message
    assert stack.wait_ended(tag)[0]["end"] == "closed"


def test_an_error_in_the_first_event_is_still_a_status(stack, wire, tag):
    error = failure(anthropic.InternalServerError, client(stack), True, **request_for(wire, tag, error=0))
    assert (error.status_code, error.error_code) == (502, "upstream_error") and "scripted error" in error.api_message


def test_an_error_follows_the_tokens_before_it(stack, wire, tag):
    pieces = []
    with pytest.raises(anthropic.APIStatusError) as raised, client(stack).messages.stream(**request_for(wire, tag, tokens=30, error=20)) as stream:
        pieces.extend(stream.text_stream)
    assert "".join(pieces) == text(20)
    assert raised.value.type == "api_error" and "scripted error" in raised.value.api_message


def test_an_error_in_a_non_streaming_answer(stack, wire, tag):
    error = failure(anthropic.InternalServerError, client(stack), **request_for(wire, tag, tokens=30, error=20))
    assert error.status_code == 502 and "scripted error" in error.api_message


def test_a_key_is_required(stack, tag, streamed):
    api = client(stack, api_key="sk-wrong")
    error = failure(anthropic.AuthenticationError, api, streamed, **request_for("gemini", tag))
    assert (error.error_code, error.type) == ("unauthenticated", "authentication_error")
    for request in (api.models.list, lambda: api.messages.count_tokens(model="gemini", messages=scripted(tag))):
        with pytest.raises(anthropic.AuthenticationError):
            request()
    assert stack.calls(tag) == []


def test_both_headers_accept_the_key(stack, tag):
    for headers in ({"x-api-key": harness.KEY, "Authorization": anthropic.omit}, {"Authorization": f"Bearer {harness.KEY}"}):
        assert message_text(client(stack).messages.create(**request_for("gemini", tag), extra_headers=headers)) == text(3)


def test_an_unknown_model(stack, tag, streamed):
    error = failure(anthropic.NotFoundError, client(stack), streamed, **request_for("anthropik", tag))
    assert error.error_code == "model_not_found" and "anthropic" in error.api_message
    with pytest.raises(anthropic.NotFoundError):
        client(stack).models.retrieve("anthropik")


def test_an_invalid_request(stack, tag):
    error = failure(anthropic.BadRequestError, client(stack), **request_for("openai-chat", tag), extra_body={"max_tokens": "many"})
    assert (error.error_code, error.body["error"]["param"]) == ("invalid_request", "max_tokens")


def test_a_rate_limit(stack, tag):
    api = client(stack, api_key=harness.ONE_MESSAGE)
    first = api.messages.with_raw_response.create(**request_for("openai-chat", tag))
    assert (first.headers["anthropic-ratelimit-requests-limit"], first.headers["anthropic-ratelimit-requests-remaining"]) == ("1", "0")
    error = failure(anthropic.RateLimitError, api, True, **request_for("openai-chat", tag))
    assert error.body["error"]["limit"] == "key" and 0 < int(error.response.headers["retry-after"]) <= 60
    assert len(stack.calls(tag)) == 1


def test_the_client_does_not_retry_after_our_retries(stack, wire, tag, streamed):
    requests = []
    with httpx2.Client(event_hooks={"request": [requests.append]}) as http:
        api = client(stack, max_retries=2, http_client=http)
        error = failure(anthropic.InternalServerError, api, streamed, **request_for(f"{wire}-again", tag, status=500))
    assert error.response.headers["x-should-retry"] == "false"
    assert len(requests) == 1, "x-should-retry stops the client"
    assert len(stack.calls(tag)) == 2, "one attempt and one retry"


def test_the_client_retries_if_we_did_not(stack, tag):
    with pytest.raises(anthropic.InternalServerError):
        client(stack, max_retries=1).messages.create(**request_for("anthropic", tag, status=500))
    assert len(stack.calls(tag)) == 2


def test_a_retry_after_a_lost_answer_joins_the_running_generation(stack, wire, tag, streamed):
    with Relay(stack.url, cuts=[0, 0]) as relay:
        api = client(stack, url=relay.url, max_retries=2)
        message = answer(api, streamed, **request_for(wire, tag, tokens=50, every=5), extra_headers={"Idempotency-Key": tag})
        assert message_text(message) == text(50)
        assert (relay.connections, relay.cuts_made) == (3, 2)
    assert [call["end"] for call in stack.wait_ended(tag)] == ["done"]


def assert_closed(stack, tag, max_tokens):
    [call] = stack.wait_ended(tag)
    assert call["end"] == "closed" and call["sent"] <= max_tokens, (call["end"], call["sent"])


def test_closing_a_stream_after_five_tokens(stack, wire, tag):
    with client(stack).messages.stream(**request_for(wire, tag, tokens=MANY, every=10)) as stream:
        for _, _ in zip(range(5), stream.text_stream):
            pass
    assert_closed(stack, tag, MANY // 4)


def test_closing_an_asynchronous_stream(stack, wire, tag):
    async def leave():
        async with client(stack, anthropic.AsyncAnthropic) as api:
            stream = await api.messages.create(**request_for(wire, tag, tokens=MANY, every=10), stream=True)
            async for event in stream:
                if event.type == "content_block_delta":
                    break
            await stream.close()

    asyncio.run(leave())
    assert_closed(stack, tag, MANY // 4)


@pytest.mark.parametrize("never", ["head", "body"])
def test_a_client_timeout_before_the_first_token(stack, wire, tag, never, streamed):
    with pytest.raises(anthropic.APITimeoutError):
        client(stack, timeout=1).messages.create(**request_for(wire, tag, never=never), stream=streamed)
    assert_closed(stack, tag, 0)


def test_a_cancelled_stream_ends_like_a_message(stack, wire, tag):
    with client(stack).messages.stream(**request_for(wire, tag, tokens=MANY, every=10)) as stream:
        for _, _ in zip(range(5), stream.text_stream):
            pass
        url = f"{stack.url}/v1/streams/{stream.response.headers['x-stream-id']}/cancel"
        assert httpx2.post(url, headers={"x-api-key": harness.KEY}).json()["status"] == "cancelled"
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn" and message_text(message).startswith(text(5)) and message.usage.output_tokens > 0
    assert_closed(stack, tag, MANY // 4)
