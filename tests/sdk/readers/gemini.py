"""google-genai: chunks of its own types; it has no accumulator."""

import json
import re

from google import genai
from google.genai import types

from heard import Heard, REASONS


class Reader:
    def __init__(self, url):
        self.client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url, timeout=20_000))

    def read(self, model):
        heard = Heard()
        for chunk in self.client.models.generate_content_stream(model=model, contents="x"):
            of_chunk(heard, chunk)
        return heard


def of_chunk(heard, chunk):
    if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
        heard.choice().finish = "content_filter"
    for candidate in chunk.candidates or []:
        to = heard.choice(candidate.index)
        for part in (candidate.content and candidate.content.parts) or []:
            of_part(to, part)
        if candidate.finish_reason:
            reason = candidate.finish_reason.name
            to.finish = "tool_calls" if reason == "STOP" and to.calls else REASONS.get(reason, reason)
    told = chunk.usage_metadata
    if told and told.prompt_token_count is not None:
        thoughts = told.thoughts_token_count or 0
        heard.usage = {"input": told.prompt_token_count + (told.tool_use_prompt_token_count or 0),
                       "output": (told.candidates_token_count or 0) + thoughts, "cached": told.cached_content_token_count or 0, "reasoning": thoughts}


def of_part(to, part):
    if part.text:
        if part.thought:
            to.reasoning += part.text
        else:
            to.text += part.text
    if part.function_call:
        of_call(to, part.function_call)


def of_call(to, call):
    """A call; or, on Vertex, a piece of the newest one: a name first, then values by their path."""
    if call.name:
        to.call(len(to.calls), call.id, call.name, json.dumps(call.args or {}))
    for piece in call.partial_args or []:
        newest = to.calls[len(to.calls) - 1]
        newest[2] = json.dumps(put(json.loads(newest[2]), piece))


def put(value, piece):
    """The arguments with one more piece, at a path like `$.items[0].name`. Strings grow."""
    path = [int(index) if index else name for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", piece.json_path)]
    *way, last = path
    at = value
    for step, next_step in zip(way, [*way[1:], last]):
        at = grown(at, step, [] if isinstance(next_step, int) else {})
    if piece.string_value is not None:
        new = (grown(at, last, "") or "") + piece.string_value
    else:
        new = next((it for it in (piece.number_value, piece.bool_value) if it is not None), None)
    grown(at, last, None)
    at[last] = new
    return value


def grown(at, step, default):
    """What stands at a step, made where nothing is."""
    if isinstance(at, list):
        at.extend([None] * (step + 1 - len(at)))
        if at[step] is None:
            at[step] = default
        return at[step]
    return at.setdefault(step, default)
