"""openai-python calls tools over two turns, and what it brings back is what the provider wants to see again."""

import json

import pytest

from asking import client, says
from wires import BY_NAME, TOOLS

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_two_parallel_calls_and_the_turn_that_answers_them(stack, wire, tag, streamed):
    messages = says(tag, tools=1)
    options = {"model": wire, "messages": messages, "tools": [WEATHER], "reasoning_effort": "low"}
    first = turn(client(stack), options, streamed)
    assert first.finish_reason == "tool_calls"
    calls = first.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == TOOLS
    assert len({call.id for call in calls}) == 2 and all(call.type == "function" for call in calls)
    messages.append(first.message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"sun {at}"} for at, call in enumerate(calls)]
    said = turn(client(stack), options, streamed).message.content
    assert [place in said for place in ("Zürich", "sun 0", "Paris", "sun 1")] == [True] * 4, said
    assert said.index("sun 0") < said.index("Paris") < said.index("sun 1")
    _, second = stack.calls(tag)
    assert (BY_NAME[wire].SIGNATURE or BY_NAME[wire].THOUGHT) in json.dumps(second["body"]), "what is signed comes back"


def turn(asking, options, streamed):
    if not streamed:
        return asking.chat.completions.create(**options).choices[0]
    # The SDK's own accumulator is the strictest reader of chunks there is.
    with asking.chat.completions.stream(**options) as stream:
        stream.until_done()
        return stream.get_final_completion().choices[0]
