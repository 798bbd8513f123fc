"""Reads with google-genai, which has typed chunks but no accumulator."""

import json
import re

from google import genai
from google.genai import types

from transcript import REASONS, Transcript


class Reader:
    def __init__(self, url):
        self.client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url, timeout=20_000))

    def read(self, model):
        transcript = Transcript()
        for chunk in self.client.models.generate_content_stream(model=model, contents="x"):
            read_chunk(transcript, chunk)
        return transcript


def read_chunk(transcript, chunk):
    if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
        transcript.choice().finish = "content_filter"
    for candidate in chunk.candidates or []:
        to = transcript.choice(candidate.index)
        for part in (candidate.content and candidate.content.parts) or []:
            read_part(to, part)
        if candidate.finish_reason:
            reason = candidate.finish_reason.name
            to.finish = "tool_calls" if reason == "STOP" and to.calls else REASONS.get(reason, reason)
    usage = chunk.usage_metadata
    if usage and usage.prompt_token_count is not None:
        thoughts = usage.thoughts_token_count or 0
        transcript.usage = {"input": usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
                       "output": (usage.candidates_token_count or 0) + thoughts, "cached": usage.cached_content_token_count or 0, "reasoning": thoughts}


def read_part(to, part):
    if part.text:
        if part.thought:
            to.reasoning += part.text
        else:
            to.text += part.text
    if part.function_call:
        read_call(to, part.function_call)


def read_call(to, call):
    """Reads a call or, from Vertex, a piece of the newest one: its name, then values by path."""
    if call.name:
        to.add_call(len(to.calls), call.id, call.name, json.dumps(call.args or {}))
    for piece in call.partial_args or []:
        newest = to.calls[len(to.calls) - 1]
        newest[2] = json.dumps(apply_piece(json.loads(newest[2]), piece))


def apply_piece(value, piece):
    """Returns the arguments with a piece applied at its path, which looks like `$.items[0].name`.

    A string piece is appended to the string at its path; other values replace the old one.
    """
    path = [int(index) if index else name for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", piece.json_path)]
    *parents, last = path
    at = value
    for step, next_step in zip(parents, [*parents[1:], last]):
        at = get_or_create(at, step, [] if isinstance(next_step, int) else {})
    if piece.string_value is not None:
        new = (get_or_create(at, last, "") or "") + piece.string_value
    else:
        new = next((it for it in (piece.number_value, piece.bool_value) if it is not None), None)
    get_or_create(at, last, None)
    at[last] = new
    return value


def get_or_create(at, step, default):
    """Returns the value at a step of the path, or creates it."""
    if isinstance(at, list):
        at.extend([None] * (step + 1 - len(at)))
        if at[step] is None:
            at[step] = default
        return at[step]
    return at.setdefault(step, default)
