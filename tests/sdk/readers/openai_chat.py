"""openai-python: its own accumulator of chat completion chunks."""

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from heard import Heard


class Reader:
    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model, prompt="x", **more):
        messages, state, begun, heard = [{"role": "user", "content": prompt}], ChatCompletionStreamState(), False, Heard()
        with self.client.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True}, **more) as stream:
            try:
                for chunk in stream:
                    state.handle_chunk(chunk)
                    begun = True
            except openai.APIError as error:
                heard.failure = error
        if begun:
            of_answer(heard, state.current_completion_snapshot)
        return heard

    def close(self):
        self.client.close()


def of_answer(heard, answer):
    for choice in answer.choices:
        of_choice(heard.choice(choice.index), choice)
    heard.usage = usage(answer.usage)


def of_choice(to, choice):
    message = choice.message
    extra = message.model_extra or {}
    to.text, to.refusal = message.content or "", message.refusal or ""
    to.ended(choice.finish_reason)
    details = "".join(it.get("text") or it.get("summary") or "" for it in extra.get("reasoning_details") or [])
    to.reasoning = extra.get("reasoning_content") or extra.get("reasoning") or details
    if message.function_call:
        to.call("legacy", None, message.function_call.name, message.function_call.arguments)
    for at, call in enumerate(message.tool_calls or []):
        to.call(at, call.id, call.function.name, call.function.arguments)


def usage(told):
    if told is None:
        return {}
    inside = told.prompt_tokens_details and told.prompt_tokens_details.cached_tokens
    reasoning = told.completion_tokens_details and told.completion_tokens_details.reasoning_tokens
    reasoning = reasoning or (told.model_extra or {}).get("reasoning_tokens") or 0
    output = told.completion_tokens
    # xAI and Perplexity count it on top.
    if told.total_tokens == told.prompt_tokens + output + reasoning:
        output += reasoning
    counts = {"input": told.prompt_tokens, "output": output, "reasoning": reasoning}
    return counts | ({"cached": inside} if inside is not None else {})
