"""How the tests ask: clients of the proxy, messages with scripts, what the scripted upstream says to them."""

import openai

import stack as house
from upstream import token

TIMEOUT = 20


def client(stack, kind=openai.OpenAI, **options):
    """The SDK as its users make it; retries only where a test wants them."""
    url = options.pop("url", None) or stack.url
    return kind(**({"base_url": f"{url}/v1", "api_key": house.KEY, "timeout": TIMEOUT, "max_retries": 0} | options))


def says(tag, **words):
    script = " ".join(f"{word}={value}" for word, value in words.items())
    return [{"role": "user", "content": f"script tag={tag} {script}"}]


def text(count):
    """What the upstream says with so many tokens."""
    return "".join(token(index) for index in range(count))


def content(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
