"""Each model API's encoding of an answer, and its rules for the next turn. One file per wire."""

from .anthropic import Anthropic
from .bedrock import Bedrock
from .cohere import Cohere
from .common import COUNTED, TOOL_CALLS, ScriptError, texts
from .gemini import Gemini
from .ollama import Ollama
from .openai_chat import OpenaiChat
from .openai_responses import OpenaiResponses

WIRES = [OpenaiChat, OpenaiResponses, Anthropic, Gemini, Bedrock, Ollama, Cohere]
BY_NAME = {wire.NAME: wire for wire in WIRES}
