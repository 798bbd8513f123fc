"""A conversation begun with one provider goes on with any other: what that one is sent is what its own SDK would send.

Each begins with two parallel calls and, where the wire has it, reasoning that is signed; the client brings back the
message that it was given, with the results of its tools.
"""

import json

import pytest

import stack as house
from asking import client, says
from schemas import schema
from wires import BY_NAME, TOOLS

PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CACHED = {"cache_control": {"type": "ephemeral"}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}} | CACHED
# What clients say to an upstream of their own dialect goes there as they said it, with what servers like it have said.
CLIENTS_OWN = ("cache_control", "reasoning_content", "extra_content")

begun = {}


def each(wires, direction):
    """The tests that need one SDK in one process."""
    marks = lambda wire: pytest.mark.xdist_group(wire) if direction == "to" else ()
    return [pytest.param(wire, id=f"{direction}-{wire}", marks=marks(wire)) for wire in wires if wire in house.WIRES]


@pytest.fixture(params=each(house.MODELS, "to"))
def second(request):
    return request.param


@pytest.fixture(params=each(house.MODELS, "from"))
def first(request):
    return request.param


def opening(tag):
    [user] = says(tag, tools=1)
    parts = [{"type": "text", "text": user["content"]}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    instructions = [{"type": "text", "text": "Be short."} | CACHED]
    return [{"role": "system", "content": instructions}, {"role": "user", "content": parts}]


def asked(stack, model, messages):
    options = {"model": model, "messages": messages, "tools": [WEATHER], "reasoning_effort": "low"}
    with client(stack).chat.completions.stream(**options) as stream:
        stream.until_done()
        return stream.get_final_completion().choices[0]


def conversation(stack, wire, results):
    """The turns up to the results of the tools. Each wire is asked once."""
    if wire not in begun:
        tag = f"begun-with-{wire}x"
        choice = asked(stack, wire, opening(tag))
        assert choice.finish_reason == "tool_calls"
        begun[wire] = brought_back(choice.message)
    message = begun[wire]
    calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message["tool_calls"]]
    assert calls == TOOLS
    answers = [{"role": "tool", "tool_call_id": call["id"], "content": result} for call, result in zip(message["tool_calls"], results)]
    return message, answers


def brought_back(message):
    """The message as it was sent, without what the SDK has made of it."""
    said = message.to_dict()
    kept = {name: said[name] for name in ("role", "content", "reasoning_content", "reasoning_details") if said.get(name)}
    calls = [{name: value for name, value in call.items() if name != "index"} for call in said["tool_calls"]]
    for call in calls:
        call["function"].pop("parsed_arguments", None)
    return kept | {"tool_calls": calls}


def known(member, second):
    """A member that the SDK does not know, and its provider does."""
    # Ollama's own type of a schema has few words, its server takes any.
    return second == "openai-chat" and member.endswith(CLIENTS_OWN) or second == "ollama" and ".parameters." in member


def sent(stack, tag):
    """The body of the one request with this tag."""
    [call] = stack.calls(tag)
    return call["body"]


def test_the_second_turn_is_what_the_other_provider_takes(stack, tag, first, second):
    message, answers = conversation(stack, first, ["sun 0", [{"type": "text", "text": "sun 1"}]])
    said = asked(stack, second, [*opening(tag), message, *answers]).message.content
    assert [part in said for part in ("Zürich", "sun 0", "Paris", "sun 1")] == [True] * 4, said
    body = sent(stack, tag)
    wire, text = BY_NAME[second], json.dumps(body, ensure_ascii=False)
    # The upstream has refused calls and results whose ids, names, arguments or signatures are not as they should be.
    assert [call[1:] for call in wire.called(body)] == TOOLS
    unknown = [it for it in schema(second)(body) if not known(it, second)]
    assert unknown == [], f"{second} does not know {unknown} in {text}"
    # Gemini's thoughts carry no mark: in its own dialect nobody can tell them from a compatible server's.
    foreign = [it for name, it in BY_NAME.items() if name != second and (name, second) != ("gemini", "openai-chat")]
    leaked = [mark for it in foreign for mark in (it.THOUGHT, it.SIGNATURE) if mark and mark in text]
    assert leaked == [], f"foreign reasoning: {leaked} in {text}"
    assert first != second or (wire.SIGNATURE or wire.THOUGHT) in text, "its own comes back"
    assert PICTURE.partition(",")[2] in text, "the picture is there"


@pytest.fixture(scope="module")
def strict(stack):
    """A proxy before a provider that refuses what it does not know, by its preset."""
    server = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\ndrain = "1s"\n'
    provider = f'[providers.mistral]\nbase_url = "{stack.upstream}/mistral/v1"\napi_key = "sk-mistral"\n'
    with house.serving(f'{server}{provider}[models.mistral]\nroute = ["mistral/magistral-medium-latest"]\nretries = 0\n') as url:
        yield url


# What was signed, or marked as somebody's, is known to be foreign.
@pytest.mark.xdist_group("mistral")
@pytest.mark.parametrize("begun_with", [wire for wire in ("openai-responses", "anthropic", "bedrock", "ollama", "cohere") if wire in house.WIRES])
def test_a_strict_server_is_sent_nothing_unknown(stack, strict, tag, begun_with):
    message, answers = conversation(stack, begun_with, ["sun 0", "sun 1"])
    tool = {name: value for name, value in WEATHER.items() if name != "cache_control"}
    asking = client(stack, url=strict).chat.completions
    asking.create(model="mistral", messages=[*opening(tag)[1:], message, *answers], tools=[tool], stream=True).close()
    assert schema("mistral")(sent(stack, tag)) == []


def test_marks_of_what_may_be_cached_survive(stack, tag, first):
    message, answers = conversation(stack, first, ["sun 0", "sun 1"])
    for at, second in enumerate(wire for wire in ("anthropic", "bedrock") if wire in house.WIRES):
        asked(stack, second, [*opening(f"{tag}{at}x"), message, *answers])
        body = sent(stack, f"{tag}{at}x")
        mark, tools = ("cache_control", body.get("tools")) if second == "anthropic" else ("cachePoint", body.get("toolConfig"))
        assert mark in json.dumps(body["system"]) and mark in json.dumps(tools), body


@pytest.mark.parametrize("second", each(("openai-responses", "anthropic", "gemini", "bedrock", "ollama"), "to"))
def test_a_picture_in_a_result(stack, tag, second):
    seen = [{"type": "text", "text": "sun 0"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    message, answers = conversation(stack, house.WIRES[0], [seen, "sun 1"])
    messages = [*opening(tag), message, *answers]
    messages[1]["content"].pop()
    asked(stack, second, messages)
    body = sent(stack, tag)
    assert [it for it in schema(second)(body) if not known(it, second)] == []
    assert PICTURE.partition(",")[2] in json.dumps(body), "the picture is there"
