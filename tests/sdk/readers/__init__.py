"""How the provider's own SDK reads each wire: asks `url` for a model, which names a recording, gives what it heard; and how
each dialect's own SDK reads the proxy, where a recording is named by the prompt.

One file an SDK; each is imported where it is needed, as they take their time.
"""

from importlib import import_module


def name_of(recording):
    """The SDK for a recording: Mistral's own for Mistral."""
    return "mistral" if recording.wire == "openai-chat" and recording.provider == "mistral" else recording.wire


def reader(name, url):
    return import_module(f"readers.{name.replace('-', '_')}").Reader(url)


def of_dialect(dialect, url):
    """The SDK for a dialect, with the accumulator that it has."""
    match dialect:
        case "openai-responses":
            return import_module("readers.openai_responses").Accumulator(f"{url}/v1")
        case "openai-chat":
            return reader(dialect, f"{url}/v1")
    return reader(dialect, url)
