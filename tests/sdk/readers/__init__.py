"""How the provider's own SDK reads each wire: asks `url` for a model, which names a recording, gives what it heard.

One file an SDK; each is imported where it is needed, as they take their time.
"""

from importlib import import_module


def name_of(recording):
    """The SDK for a recording: Mistral's own for Mistral."""
    return "mistral" if recording.wire == "openai-chat" and recording.provider == "mistral" else recording.wire


def reader(name, url):
    return import_module(f"readers.{name.replace('-', '_')}").Reader(url)
