"""LangChain's ChatOpenAI, as published, over every wire, by Chat Completions and by Responses: streams with usage, tools over
two turns, answers of a given shape, typed errors, and a stream that is left."""

import asyncio

import openai
import pytest
from langchain_core.exceptions import ModelAPIError, ModelInvalidRequestError, ModelNotFoundError, ModelRateLimitError
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

import stack as house
from asking import TIMEOUT, says, text
from wires import TOOLS

MANY = 2000


@tool("weather")
def look(city: str) -> str:
    """The weather."""
    return f"sun in {city}"


class Weather(BaseModel):
    """The weather."""

    city: str = Field(description="Where it is.")


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def asking(request, stack, wire):
    """The model as its users make it."""
    options = {"base_url": f"{stack.url}/v1", "api_key": house.KEY, "timeout": TIMEOUT, "max_retries": 0, "stream_usage": True}
    return ChatOpenAI(model=wire, use_responses_api=request.param, **options)


def human(tag, **words):
    return HumanMessage(says(tag, **words)[0]["content"])


def whole(chunks):
    """The sum of the chunks, as LangChain adds them up."""
    first, *more = chunks
    for chunk in more:
        first += chunk
    return first


def counted(message):
    told = message.usage_metadata
    return told["input_tokens"], told["output_tokens"], told["total_tokens"]


def test_a_stream_and_its_usage(asking, tag):
    chunks = list(asking.stream([human(tag, tokens=20)]))
    assert sum(bool(chunk.text) for chunk in chunks) > 10, "it is streamed"
    message = whole(chunks)
    assert (message.text, counted(message)) == (text(20), (11, 20, 31))
    assert message.response_metadata.get("finish_reason", message.response_metadata.get("status")) in ("stop", "completed")


def test_a_whole_answer(asking, tag):
    message = asking.invoke([human(tag, tokens=20)])
    assert (message.text, counted(message)) == (text(20), (11, 20, 31))


@pytest.fixture(scope="module")
def loop():
    """One for all: LangChain shares its connections among models."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_the_asynchronous_stream(asking, loop, tag):
    async def ask():
        return whole([chunk async for chunk in asking.astream([human(tag, tokens=20)])])

    message = loop.run_until_complete(ask())
    assert (message.text, counted(message)) == (text(20), (11, 20, 31))


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "invoked"])
def test_tools_over_two_turns(stack, asking, tag, streamed):
    bound = asking.bind_tools([look])
    turn = (lambda messages: whole(bound.stream(messages))) if streamed else bound.invoke
    messages = [human(tag, tools=1)]
    first = turn(messages)
    assert [(call["name"], call["args"]) for call in first.tool_calls] == TOOLS
    messages += [first, *(ToolMessage(tool_call_id=call["id"], content=look.invoke(call["args"])) for call in first.tool_calls)]
    last = turn(messages)
    assert last.tool_calls == []
    assert last.text == stack.calls(tag)[1]["said"]
    assert last.text.index("sun in Zürich") < last.text.index("sun in Paris")


def test_the_shape_of_an_answer(stack, asking, tag):
    assert asking.with_structured_output(Weather, method="json_schema").invoke([human(tag, say='{"city":"Paris"}')]) == Weather(city="Paris")
    [call] = stack.calls(tag)
    assert "Where it is." in str(call["body"]), "the schema reaches the model"


def test_the_shape_of_an_answer_by_a_tool(asking, wire, tag):
    class weather(Weather):
        __doc__ = Weather.__doc__

    if wire == "ollama":
        # It cannot make a model call a tool, and says so.
        with pytest.raises(openai.BadRequestError, match="tool_choice"):
            asking.with_structured_output(weather, method="function_calling").invoke([human(tag, tools=1)])
        return
    assert asking.with_structured_output(weather, method="function_calling").invoke([human(tag, tools=1)]) == weather(city="Zürich")


KINDS = [
    (400, openai.BadRequestError, ModelInvalidRequestError),
    (404, openai.NotFoundError, ModelNotFoundError),
    (429, openai.RateLimitError, ModelRateLimitError),
    (500, openai.InternalServerError, ModelAPIError),
]


@pytest.mark.parametrize("status, kind, model_kind", KINDS, ids=[str(row[0]) for row in KINDS])
def test_errors_before_the_head(asking, tag, status, kind, model_kind):
    for ask in (asking.invoke, lambda messages: list(asking.stream(messages))):
        with pytest.raises(kind) as failed:
            ask([human(tag, status=status)])
        assert isinstance(failed.value, model_kind)
        assert f"scripted refusal {status}" in str(failed.value)


def test_an_error_in_the_stream(asking, tag):
    said = ""
    with pytest.raises(Exception, match="scripted error") as failed:
        for chunk in asking.stream([human(tag, tokens=9, error=3)]):
            said += chunk.text
    assert isinstance(failed.value, (openai.APIError, ValueError)), repr(failed.value)
    assert said == text(3)


def test_a_stream_that_is_left(stack, asking, tag):
    stream = asking.stream([human(tag, tokens=MANY, every=10)])
    for chunk in stream:
        if chunk.text:
            break
    stream.close()
    [call] = stack.ended(tag)
    assert call["end"] == "closed" and call["sent"] < MANY / 4, call
