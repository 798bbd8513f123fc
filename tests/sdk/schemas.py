"""Each provider's own idea of a request, as its SDK has it: what does not fit, and what it does not know.

SDKs are imported where they are needed, as they take their time.
"""

import base64
from collections.abc import Mapping
from functools import cache

import pydantic


def typed(kind):
    """A check against one type."""
    adapter = pydantic.TypeAdapter(kind)
    return lambda body: lost(body, plain(adapter.validate_python(body)))


def plain(value):
    """What was validated, as JSON has it. Lists that are validated when they are read are read now."""
    if isinstance(value, pydantic.BaseModel):
        return plain(dict(value)) | plain({field.alias: getattr(value, name) for name, field in type(value).model_fields.items() if field.alias})
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (str, bytes, int, float, bool)) or value is None or not hasattr(value, "__iter__"):
        return value
    return [plain(item) for item in value]


def lost(said, kept, path="body"):
    """The members of a request that its type does not know."""
    if isinstance(said, dict) and isinstance(kept, dict):
        unknown = [f"{path}.{key}" for key in said if key not in kept]
        return unknown + [it for key in said if key in kept for it in lost(said[key], kept[key], f"{path}.{key}")]
    if isinstance(said, list) and isinstance(kept, list):
        return [it for at, (one, other) in enumerate(zip(said, kept)) for it in lost(one, other, f"{path}[{at}]")]
    return []


class Google:
    """A request to `streamGenerateContent`: no type has all of it, but each part of it has one, and none takes more."""

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
    """A request to `ConverseStream`, against the model of the service."""

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
        """With bytes where base64 stands for them."""
        if shape.type_name == "blob" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
        if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
            return {name: self.decoded(item, shape.members[name]) if name in shape.members else item for name, item in value.items()}
        if shape.type_name == "list" and isinstance(value, list):
            return [self.decoded(item, shape.member) for item in value]
        return value


class Cohere:
    """A request to Cohere's chat: its members have types, and its names are the arguments of the SDK's call."""

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
        """Its types take members that they do not know: they are these."""
        if isinstance(value, list):
            return [it for at, item in enumerate(value) for it in self.extra(item, f"{path}[{at}]")]
        if not isinstance(value, pydantic.BaseModel):
            return []
        known = [it for name in type(value).model_fields for it in self.extra(getattr(value, name), f"{path}.{name}")]
        return known + [f"{path}.{name}" for name in value.model_extra or {}]


@cache
def schema(wire):
    """The check for requests on this wire: it raises what does not fit, and gives what nobody knows."""
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
