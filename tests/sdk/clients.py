"""Clients of the proxy, and the messages that script the upstream's answers to them."""

import openai

import stack as harness
from upstream import token

# Seconds.
TIMEOUT = 20


def client(stack, kind=openai.OpenAI, **options):
    """Returns an SDK client with its default settings, but no retries unless a test sets them."""
    url = options.pop("url", None) or stack.url
    return kind(**({"base_url": f"{url}/v1", "api_key": harness.KEY, "timeout": TIMEOUT, "max_retries": 0} | options))


def scripted(tag, **words):
    """Returns messages whose script the upstream plays. `upstream.py` lists the words."""
    script = " ".join(f"{word}={value}" for word, value in words.items())
    return [{"role": "user", "content": f"script tag={tag} {script}"}]


def text(count):
    """Returns the upstream's answer with this number of tokens."""
    return "".join(token(index) for index in range(count))


def content(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
