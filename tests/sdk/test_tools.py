"""openai-python calls tools over two turns, and the provider receives its signatures again."""

import json

import pytest

from clients import client, scripted
from wires import BY_NAME, TOOL_CALLS

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}}


@pytest.mark.parametrize("streamed", [True, False], ids=["streaming", "non-streaming"])
def test_two_parallel_calls_and_the_turn_that_answers_them(stack, wire, tag, streamed):
    messages = scripted(tag, tools=1)
    options = {"model": wire, "messages": messages, "tools": [WEATHER], "reasoning_effort": "low"}
    first = turn(client(stack), options, streamed)
    assert first.finish_reason == "tool_calls"
    calls = first.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == TOOL_CALLS
    assert len({call.id for call in calls}) == 2 and all(call.type == "function" for call in calls)
    messages.append(first.message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"sun {at}"} for at, call in enumerate(calls)]
    reply = turn(client(stack), options, streamed).message.content
    assert [part in reply for part in ("Zürich", "sun 0", "Paris", "sun 1")] == [True] * 4, reply
    assert reply.index("sun 0") < reply.index("Paris") < reply.index("sun 1")
    _, second = stack.calls(tag)
    assert (BY_NAME[wire].SIGNATURE or BY_NAME[wire].REASONING) in json.dumps(second["body"]), "the upstream receives its signed reasoning"


def turn(api, options, streamed):
    if not streamed:
        return api.chat.completions.create(**options).choices[0]
    # The SDK's own accumulator checks the chunks most strictly.
    with api.chat.completions.stream(**options) as stream:
        stream.until_done()
        return stream.get_final_completion().choices[0]
