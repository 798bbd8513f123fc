"""Starts a conversation with one provider and continues it with another.

The request must fit the types of the second provider's own SDK. Each conversation starts with two
parallel calls and, if the wire has it, signed reasoning. The client sends back the message that it
received, with the tool results.
"""

import json

import pytest

import stack as harness
from clients import client, scripted
from schemas import schema
from wires import BY_NAME, TOOL_CALLS

IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CACHED = {"cache_control": {"type": "ephemeral"}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}} | CACHED
# Members that only openai-chat clients and compatible servers use. An upstream of the client's own
# dialect receives them unchanged.
PASSED_THROUGH = ("cache_control", "reasoning_content", "extra_content")

# The first turn of each wire, which all tests share.
first_turns = {}


def each(wires, direction):
    """Returns the wires as parameters, grouped so that one process imports each SDK."""
    marks = lambda wire: pytest.mark.xdist_group(wire) if direction == "to" else ()
    return [pytest.param(wire, id=f"{direction}-{wire}", marks=marks(wire)) for wire in wires if wire in harness.WIRES]


@pytest.fixture(params=each(harness.MODELS, "to"))
def second(request):
    return request.param


@pytest.fixture(params=each(harness.MODELS, "from"))
def first(request):
    return request.param


def opening(tag):
    [user] = scripted(tag, tools=1)
    parts = [{"type": "text", "text": user["content"]}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    instructions = [{"type": "text", "text": "Be short."} | CACHED]
    return [{"role": "system", "content": instructions}, {"role": "user", "content": parts}]


def ask(stack, model, messages):
    options = {"model": model, "messages": messages, "tools": [WEATHER], "reasoning_effort": "low"}
    with client(stack).chat.completions.stream(**options) as stream:
        stream.until_done()
        return stream.get_final_completion().choices[0]


def conversation(stack, wire, contents):
    """Returns the assistant's message and the tool results. Asks once per wire for the former."""
    if wire not in first_turns:
        tag = f"begun-with-{wire}x"
        choice = ask(stack, wire, opening(tag))
        assert choice.finish_reason == "tool_calls"
        first_turns[wire] = received_message(choice.message)
    message = first_turns[wire]
    calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message["tool_calls"]]
    assert calls == TOOL_CALLS
    results = [{"role": "tool", "tool_call_id": call["id"], "content": content} for call, content in zip(message["tool_calls"], contents)]
    return message, results


def received_message(message):
    """Returns the message as the proxy sent it, without the members that the SDK adds."""
    members = message.to_dict()
    kept = {name: members[name] for name in ("role", "content", "reasoning_content", "reasoning_details") if members.get(name)}
    calls = [{name: value for name, value in call.items() if name != "index"} for call in members["tool_calls"]]
    for call in calls:
        call["function"].pop("parsed_arguments", None)
    return kept | {"tool_calls": calls}


def known(member, second):
    """Returns True if the provider accepts the member although its SDK does not know it."""
    # The schema type of Ollama's SDK has few members, but its server accepts all.
    return second == "openai-chat" and member.endswith(PASSED_THROUGH) or second == "ollama" and ".parameters." in member


def sent_body(stack, tag):
    """Returns the body of the only request with this tag."""
    [call] = stack.calls(tag)
    return call["body"]


def test_the_other_provider_accepts_the_second_turn(stack, tag, first, second):
    message, results = conversation(stack, first, ["sun 0", [{"type": "text", "text": "sun 1"}]])
    reply = ask(stack, second, [*opening(tag), message, *results]).message.content
    assert [part in reply for part in ("Zürich", "sun 0", "Paris", "sun 1")] == [True] * 4, reply
    body = sent_body(stack, tag)
    wire, text = BY_NAME[second], json.dumps(body, ensure_ascii=False)
    # The upstream rejects calls and results with wrong ids, names, arguments or signatures.
    assert [call[1:] for call in wire.tool_calls(body)] == TOOL_CALLS
    unknown = [it for it in schema(second)(body) if not known(it, second)]
    assert unknown == [], f"{second} does not know {unknown} in {text}"
    # Gemini's reasoning has no signature, so openai-chat cannot tell it from a compatible server's.
    foreign = [it for name, it in BY_NAME.items() if name != second and (name, second) != ("gemini", "openai-chat")]
    leaked = [mark for it in foreign for mark in (it.REASONING, it.SIGNATURE) if mark and mark in text]
    assert leaked == [], f"foreign reasoning: {leaked} in {text}"
    assert first != second or (wire.SIGNATURE or wire.REASONING) in text, "the provider receives its own reasoning"
    assert IMAGE.partition(",")[2] in text, "the provider receives the image"


@pytest.fixture(scope="module")
def strict(stack):
    """A proxy in front of a provider whose preset says that it rejects unknown members."""
    server = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\ndrain = "1s"\n'
    provider = f'[providers.mistral]\nbase_url = "{stack.upstream}/mistral/v1"\napi_key = "sk-mistral"\n'
    with harness.running_proxy(f'{server}{provider}[models.mistral]\nroute = ["mistral/magistral-medium-latest"]\nretries = 0\n') as url:
        yield url


# Only reasoning with a signature or a provider's mark can be recognized as foreign.
@pytest.mark.xdist_group("mistral")
@pytest.mark.parametrize("first_wire", [wire for wire in ("openai-responses", "anthropic", "bedrock", "ollama", "cohere") if wire in harness.WIRES])
def test_a_strict_server_receives_no_unknown_members(stack, strict, tag, first_wire):
    message, results = conversation(stack, first_wire, ["sun 0", "sun 1"])
    tool = {name: value for name, value in WEATHER.items() if name != "cache_control"}
    api = client(stack, url=strict).chat.completions
    api.create(model="mistral", messages=[*opening(tag)[1:], message, *results], tools=[tool], stream=True).close()
    assert schema("mistral")(sent_body(stack, tag)) == []


def test_cache_marks_are_translated(stack, tag, first):
    message, results = conversation(stack, first, ["sun 0", "sun 1"])
    for at, second in enumerate(wire for wire in ("anthropic", "bedrock") if wire in harness.WIRES):
        ask(stack, second, [*opening(f"{tag}{at}x"), message, *results])
        body = sent_body(stack, f"{tag}{at}x")
        mark, tools = ("cache_control", body.get("tools")) if second == "anthropic" else ("cachePoint", body.get("toolConfig"))
        assert mark in json.dumps(body["system"]) and mark in json.dumps(tools), body


@pytest.mark.parametrize("second", each(("openai-responses", "anthropic", "gemini", "bedrock", "ollama"), "to"))
def test_an_image_in_a_tool_result(stack, tag, second):
    content = [{"type": "text", "text": "sun 0"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    message, results = conversation(stack, harness.WIRES[0], [content, "sun 1"])
    messages = [*opening(tag), message, *results]
    messages[1]["content"].pop()
    ask(stack, second, messages)
    body = sent_body(stack, tag)
    assert [it for it in schema(second)(body) if not known(it, second)] == []
    assert IMAGE.partition(",")[2] in json.dumps(body), "the provider receives the image"
