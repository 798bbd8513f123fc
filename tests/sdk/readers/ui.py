"""Reads with the AI SDK's `readUIMessageStream`, its accumulator of UI message chunks, in Node."""

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

from transcript import Transcript

HERE = Path(__file__).resolve().parent.parent
OWN_NODE = HERE / "node_modules/.bin/node"
# Seconds to wait for an answer and for the exit.
TIMEOUT, END = 30, 10


class Failed(Exception):
    """The error that the SDK passed to `onError`."""


class Reader:
    def __init__(self, url):
        self.url, self.numbers, self.waiting = url, itertools.count(), {}
        self.write_lock = threading.Lock()
        command = [str(OWN_NODE) if OWN_NODE.exists() else "node", str(HERE / "ui.mjs")]
        self.node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.receiver = threading.Thread(target=self.receive, daemon=True)
        self.receiver.start()

    def receive(self):
        for line in self.node.stdout:
            result = json.loads(line)
            self.waiting.pop(result["id"]).set_result(result)

    def read(self, model, prompt="x", choices=1):
        number, future = next(self.numbers), Future()
        self.waiting[number] = future
        with self.write_lock:
            self.node.stdin.write(json.dumps({"id": number, "url": self.url, "model": model, "prompt": prompt}) + "\n")
            self.node.stdin.flush()
        return read_result(future.result(TIMEOUT))

    def close(self):
        self.node.stdin.close()
        assert self.node.wait(END) == 0
        self.receiver.join(END)


def read_result(result):
    transcript = Transcript()
    to = transcript.choice()
    message = result["message"] or {"parts": []}
    for part in message["parts"]:
        read_part(to, part)
    if result["finish"]:
        to.set_finish(result["finish"])
    usage = (message.get("metadata") or {}).get("usage") or {}
    names = {"input": "inputTokens", "output": "outputTokens", "cached": "cachedInputTokens", "reasoning": "reasoningTokens"}
    transcript.usage = {short: usage[long] for short, long in names.items() if usage.get(long) is not None}
    if result["failures"]:
        transcript.failure = Failed(result["failures"][0])
    return transcript


def read_part(to, part):
    own = (part.get("providerMetadata") or {}).get("sluicegate") or {}
    match part["type"]:
        case "text" if own.get("kind") == "refusal":
            to.refusal += part["text"]
        case "text":
            to.text += part["text"]
        case "reasoning":
            to.reasoning += part["text"]
        case kind if kind.startswith("tool-"):
            arguments = part.get("input")
            to.add_call(part["toolCallId"], part["toolCallId"], kind.removeprefix("tool-"), arguments if isinstance(arguments, str) else json.dumps(arguments))
