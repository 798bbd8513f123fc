"""The AI SDK's `readUIMessageStream`, in Node: its own accumulator of UI message chunks."""

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

from heard import Heard

HERE = Path(__file__).resolve().parent.parent
OWN_NODE = HERE / "node_modules/.bin/node"
TIMEOUT, END = 30, 10


class Failed(Exception):
    """What the SDK told its `onError`."""


class Reader:
    def __init__(self, url):
        self.url, self.numbers, self.waiting = url, itertools.count(), {}
        self.writing = threading.Lock()
        command = [str(OWN_NODE) if OWN_NODE.exists() else "node", str(HERE / "ui.mjs")]
        self.node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hearing = threading.Thread(target=self.hear, daemon=True)
        self.hearing.start()

    def hear(self):
        for line in self.node.stdout:
            told = json.loads(line)
            self.waiting.pop(told["id"]).set_result(told)

    def read(self, model, prompt="x", choices=1):
        number, answer = next(self.numbers), Future()
        self.waiting[number] = answer
        with self.writing:
            self.node.stdin.write(json.dumps({"id": number, "url": self.url, "model": model, "prompt": prompt}) + "\n")
            self.node.stdin.flush()
        return of_told(answer.result(TIMEOUT))

    def close(self):
        self.node.stdin.close()
        assert self.node.wait(END) == 0
        self.hearing.join(END)


def of_told(told):
    heard = Heard()
    to = heard.choice()
    message = told["message"] or {"parts": []}
    for part in message["parts"]:
        of_part(to, part)
    if told["finish"]:
        to.ended(told["finish"])
    usage = (message.get("metadata") or {}).get("usage") or {}
    names = {"input": "inputTokens", "output": "outputTokens", "cached": "cachedInputTokens", "reasoning": "reasoningTokens"}
    heard.usage = {short: usage[long] for short, long in names.items() if usage.get(long) is not None}
    if told["failures"]:
        heard.failure = Failed(told["failures"][0])
    return heard


def of_part(to, part):
    own = (part.get("providerMetadata") or {}).get("sluicegate") or {}
    match part["type"]:
        case "text" if own.get("kind") == "refusal":
            to.refusal += part["text"]
        case "text":
            to.text += part["text"]
        case "reasoning":
            to.reasoning += part["text"]
        case kind if kind.startswith("tool-"):
            given = part.get("input")
            to.call(part["toolCallId"], part["toolCallId"], kind.removeprefix("tool-"), given if isinstance(given, str) else json.dumps(given))
