"""One module per SDK, each with a reader: it requests an answer and returns its transcript.

A provider's SDK reads the player directly; the model's name selects the recording. A dialect's SDK
reads the proxy; the prompt selects the recording. The modules are imported where they are used because
some SDKs take seconds to import.
"""

from importlib import import_module


def sdk_name(recording):
    """Returns the SDK for a recording: its wire's, but Mistral's own for Mistral."""
    return "mistral" if recording.wire == "openai-chat" and recording.provider == "mistral" else recording.wire


def reader(name, url):
    return import_module(f"readers.{name.replace('-', '_')}").Reader(url)


def for_dialect(dialect, url):
    """Returns the reader for a dialect. It uses the SDK's own accumulator."""
    match dialect:
        case "openai-responses":
            return import_module("readers.openai_responses").Accumulator(f"{url}/v1")
        case "openai-chat":
            return reader(dialect, f"{url}/v1")
    return reader(dialect, url)
