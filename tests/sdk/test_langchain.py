"""LangChain's published ChatOpenAI over every wire, with Chat Completions and with Responses.

Streams with usage, tools over two turns, structured output, typed errors, and a disconnect.
"""

import asyncio

import openai
import pytest
from langchain_core.exceptions import ModelAPIError, ModelInvalidRequestError, ModelNotFoundError, ModelRateLimitError
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

import stack as harness
from clients import TIMEOUT, scripted, text
from wires import TOOL_CALLS

# Tokens of an answer that is too long to be finished in a test.
MANY = 2000


@tool("weather")
def weather_tool(city: str) -> str:
    """The weather."""
    return f"sun in {city}"


class Weather(BaseModel):
    """The weather."""

    city: str = Field(description="Where it is.")


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def chat_model(request, stack, wire):
    """The chat model with its default settings, but without retries."""
    options = {"base_url": f"{stack.url}/v1", "api_key": harness.KEY, "timeout": TIMEOUT, "max_retries": 0, "stream_usage": True}
    return ChatOpenAI(model=wire, use_responses_api=request.param, **options)


def human(tag, **words):
    return HumanMessage(scripted(tag, **words)[0]["content"])


def combine(chunks):
    """Returns the sum of the chunks, by LangChain's own addition."""
    first, *more = chunks
    for chunk in more:
        first += chunk
    return first


def token_counts(message):
    usage = message.usage_metadata
    return usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]


def test_a_stream_and_its_usage(chat_model, tag):
    chunks = list(chat_model.stream([human(tag, tokens=20)]))
    assert sum(bool(chunk.text) for chunk in chunks) > 10, "the text arrives in pieces"
    message = combine(chunks)
    assert (message.text, token_counts(message)) == (text(20), (11, 20, 31))
    assert message.response_metadata.get("finish_reason", message.response_metadata.get("status")) in ("stop", "completed")


def test_a_non_streaming_answer(chat_model, tag):
    message = chat_model.invoke([human(tag, tokens=20)])
    assert (message.text, token_counts(message)) == (text(20), (11, 20, 31))


@pytest.fixture(scope="module")
def loop():
    """One loop for all tests, because LangChain shares connections among models."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_the_asynchronous_stream(chat_model, loop, tag):
    async def ask():
        return combine([chunk async for chunk in chat_model.astream([human(tag, tokens=20)])])

    message = loop.run_until_complete(ask())
    assert (message.text, token_counts(message)) == (text(20), (11, 20, 31))


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "invoked"])
def test_tools_over_two_turns(stack, chat_model, tag, streamed):
    bound = chat_model.bind_tools([weather_tool])
    turn = (lambda messages: combine(bound.stream(messages))) if streamed else bound.invoke
    messages = [human(tag, tools=1)]
    first = turn(messages)
    assert [(call["name"], call["args"]) for call in first.tool_calls] == TOOL_CALLS
    messages += [first, *(ToolMessage(tool_call_id=call["id"], content=weather_tool.invoke(call["args"])) for call in first.tool_calls)]
    last = turn(messages)
    assert last.tool_calls == []
    assert last.text == stack.calls(tag)[1]["text"]
    assert last.text.index("sun in Zürich") < last.text.index("sun in Paris")


def test_structured_output_by_schema(stack, chat_model, tag):
    assert chat_model.with_structured_output(Weather, method="json_schema").invoke([human(tag, say='{"city":"Paris"}')]) == Weather(city="Paris")
    [call] = stack.calls(tag)
    assert "Where it is." in str(call["body"]), "the schema reaches the model"


def test_structured_output_by_tool(chat_model, wire, tag):
    class weather(Weather):
        __doc__ = Weather.__doc__

    if wire == "ollama":
        # Ollama cannot force a tool call, and the proxy reports this as an error.
        with pytest.raises(openai.BadRequestError, match="tool_choice"):
            chat_model.with_structured_output(weather, method="function_calling").invoke([human(tag, tools=1)])
        return
    assert chat_model.with_structured_output(weather, method="function_calling").invoke([human(tag, tools=1)]) == weather(city="Zürich")


KINDS = [
    (400, openai.BadRequestError, ModelInvalidRequestError),
    (404, openai.NotFoundError, ModelNotFoundError),
    (429, openai.RateLimitError, ModelRateLimitError),
    (500, openai.InternalServerError, ModelAPIError),
]


@pytest.mark.parametrize("status, kind, model_kind", KINDS, ids=[str(row[0]) for row in KINDS])
def test_errors_before_the_head(chat_model, tag, status, kind, model_kind):
    for ask in (chat_model.invoke, lambda messages: list(chat_model.stream(messages))):
        with pytest.raises(kind) as failed:
            ask([human(tag, status=status)])
        assert isinstance(failed.value, model_kind)
        assert f"scripted refusal {status}" in str(failed.value)


def test_an_error_in_the_stream(chat_model, tag):
    received = ""
    with pytest.raises(Exception, match="scripted error") as failed:
        for chunk in chat_model.stream([human(tag, tokens=9, error=3)]):
            received += chunk.text
    assert isinstance(failed.value, (openai.APIError, ValueError)), repr(failed.value)
    assert received == text(3)


def test_closing_a_stream_closes_the_upstream(stack, chat_model, tag):
    stream = chat_model.stream([human(tag, tokens=MANY, every=10)])
    for chunk in stream:
        if chunk.text:
            break
    stream.close()
    [call] = stack.wait_ended(tag)
    assert call["end"] == "closed" and call["sent"] < MANY / 4, call
