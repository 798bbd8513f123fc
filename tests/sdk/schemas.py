"""Checks of a request against the types of each provider's own SDK.

A check raises an exception for an invalid member and returns the paths of unknown members.
SDKs are imported where they are used because some take seconds to import.
"""

import base64
from collections.abc import Mapping
from functools import cache

import pydantic


def typed(kind):
    """Returns a check against one type."""
    adapter = pydantic.TypeAdapter(kind)
    return lambda body: unknown_members(body, plain(adapter.validate_python(body)))


def plain(value):
    """Returns a validated value as plain JSON values.

    Reads iterables to their end, because pydantic validates these only when they are read.
    """
    if isinstance(value, pydantic.BaseModel):
        return plain(dict(value)) | plain({field.alias: getattr(value, name) for name, field in type(value).model_fields.items() if field.alias})
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (str, bytes, int, float, bool)) or value is None or not hasattr(value, "__iter__"):
        return value
    return [plain(item) for item in value]


def unknown_members(sent, kept, path="body"):
    """Returns the paths of the members of a request that are missing in its validated form."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        unknown = [f"{path}.{key}" for key in sent if key not in kept]
        return unknown + [it for key in sent if key in kept for it in unknown_members(sent[key], kept[key], f"{path}.{key}")]
    if isinstance(sent, list) and isinstance(kept, list):
        return [it for at, (one, other) in enumerate(zip(sent, kept)) for it in unknown_members(one, other, f"{path}[{at}]")]
    return []


class Google:
    """Checks a request to `streamGenerateContent`.

    The SDK has no type for the whole request, but one for each member. These reject unknown members.
    """

    def __init__(self):
        from google.genai import types

        parts = {"systemInstruction": types.Content, "contents": list[types.Content], "tools": list[types.Tool], "toolConfig": types.ToolConfig,
                 "generationConfig": types.GenerationConfig, "safetySettings": list[types.SafetySetting], "labels": dict[str, str],
                 "cachedContent": str}
        self.adapters = {name: pydantic.TypeAdapter(kind) for name, kind in parts.items()}

    def __call__(self, body):
        for name, value in body.items():
            if name in self.adapters:
                self.adapters[name].validate_python(value)
        return [f"body.{name}" for name in body if name not in self.adapters]


class Amazon:
    """Checks a request to `ConverseStream` against botocore's model of the service."""

    def __init__(self):
        import botocore.loaders
        import botocore.model
        import botocore.validate

        service = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))
        self.shape = service.operation_model("ConverseStream").input_shape
        self.validator = botocore.validate.ParamValidator()

    def __call__(self, body):
        report = self.validator.validate(self.decoded({"modelId": "m"} | body, self.shape), self.shape)
        return report.generate_report().splitlines() if report.has_errors() else []

    def decoded(self, value, shape):
        """Returns the value with its base64 strings decoded where the model has bytes."""
        if shape.type_name == "blob" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
        if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
            return {name: self.decoded(item, shape.members[name]) if name in shape.members else item for name, item in value.items()}
        if shape.type_name == "list" and isinstance(value, list):
            return [self.decoded(item, shape.member) for item in value]
        return value


class Cohere:
    """Checks a request to Cohere's chat.

    The SDK has types for some members. The names of the others are arguments of the SDK's call.
    """

    OTHERS = {"model", "stream", "strict_tools", "documents", "citation_options", "safety_mode", "max_tokens", "stop_sequences", "temperature",
              "seed", "frequency_penalty", "presence_penalty", "k", "p", "logprobs", "tool_choice", "priority"}

    def __init__(self):
        import cohere

        parts = {"messages": list[cohere.ChatMessageV2], "tools": list[cohere.ToolV2], "thinking": cohere.Thinking,
                 "response_format": cohere.ResponseFormatV2}
        self.adapters = {name: pydantic.TypeAdapter(kind) for name, kind in parts.items()}

    def __call__(self, body):
        found = [f"body.{name}" for name in body if name not in self.OTHERS | set(self.adapters)]
        for name, adapter in self.adapters.items():
            if name in body:
                found += self.extra(adapter.validate_python(body[name]), f"body.{name}")
        return found

    def extra(self, value, path):
        """Returns the paths of unknown members, which Cohere's types accept and keep apart."""
        if isinstance(value, list):
            return [it for at, item in enumerate(value) for it in self.extra(item, f"{path}[{at}]")]
        if not isinstance(value, pydantic.BaseModel):
            return []
        known = [it for name in type(value).model_fields for it in self.extra(getattr(value, name), f"{path}.{name}")]
        return known + [f"{path}.{name}" for name in value.model_extra or {}]


@cache
def schema(wire):
    """Returns the check for requests on this wire."""
    match wire:
        case "openai-chat":
            from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as kind
        case "openai-responses":
            from openai.types.responses.response_create_params import ResponseCreateParamsStreaming as kind
        case "anthropic":
            from anthropic.types.message_create_params import MessageCreateParamsStreaming as kind
        case "mistral":
            from mistralai.client.models import ChatCompletionStreamRequest as kind
        case "ollama":
            from ollama._types import ChatRequest as kind
        case _:
            return {"gemini": Google, "bedrock": Amazon, "cohere": Cohere}[wire]()
    return typed(kind)
