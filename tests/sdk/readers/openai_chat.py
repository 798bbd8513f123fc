"""Reads with openai-python and its accumulator of chat completion chunks."""

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from transcript import Transcript


class Reader:
    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url, api_key="sk", max_retries=0, timeout=20)

    def read(self, model, prompt="x", **more):
        messages, state, begun, transcript = [{"role": "user", "content": prompt}], ChatCompletionStreamState(), False, Transcript()
        with self.client.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True}, **more) as stream:
            try:
                for chunk in stream:
                    state.handle_chunk(chunk)
                    begun = True
            except openai.APIError as error:
                transcript.failure = error
        if begun:
            read_completion(transcript, state.current_completion_snapshot)
        return transcript

    def close(self):
        self.client.close()


def read_completion(transcript, completion):
    for choice in completion.choices:
        read_choice(transcript.choice(choice.index), choice)
    transcript.usage = counts(completion.usage)


def read_choice(to, choice):
    message = choice.message
    extra = message.model_extra or {}
    to.text, to.refusal = message.content or "", message.refusal or ""
    to.set_finish(choice.finish_reason)
    details = "".join(it.get("text") or it.get("summary") or "" for it in extra.get("reasoning_details") or [])
    to.reasoning = extra.get("reasoning_content") or extra.get("reasoning") or details
    if message.function_call:
        to.add_call("legacy", None, message.function_call.name, message.function_call.arguments)
    for at, call in enumerate(message.tool_calls or []):
        to.add_call(at, call.id, call.function.name, call.function.arguments)


def counts(usage):
    if usage is None:
        return {}
    cached = usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    reasoning = reasoning or (usage.model_extra or {}).get("reasoning_tokens") or 0
    output = usage.completion_tokens
    # xAI and Perplexity do not include reasoning in the completion tokens.
    if usage.total_tokens == usage.prompt_tokens + output + reasoning:
        output += reasoning
    found = {"input": usage.prompt_tokens, "output": output, "reasoning": reasoning}
    return found | ({"cached": cached} if cached is not None else {})
