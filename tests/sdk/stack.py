"""The proxy's real binary in front of the scripted upstream, for as long as somebody needs it.

    python3 stack.py [--open] [--tls] [--shipped] -- COMMAND…

runs COMMAND with SLUICEGATE_URL, SLUICEGATE_KEY and UPSTREAM_URL in its environment and ends with its exit code.
--open wants no key, --tls listens with a certificate of its own, --shipped takes the config.toml of the repository.
"""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BINARY = os.environ.get("SLUICEGATE_BIN") or str(ROOT / "target/debug/sluicegate")
KEY, ONE_REQUEST, UPSTREAM_KEY = "sk-web", "sk-one-request", "sk-upstream"
# One request a minute for each SDK that asks for it.
ONE_MESSAGE = "sk-one-message"
# Each wire, and a model that is at its strictest; `SLUICEGATE_WIRES` names some of them with commas.
MODELS = {
    "openai-chat": "gpt-5",
    "openai-responses": "gpt-5",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro-preview",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "ollama": "gpt-oss:20b",
    "cohere": "command-a-reasoning-08-2025",
}
WIRES = [wire for wire in MODELS if wire in os.environ.get("SLUICEGATE_WIRES", wire).split(",")]
START, DRAIN, END = 20, 3, 10
# What in a script makes a call fail.
FAILURES = {"status", "error", "never"}

SERVER = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
drain = "1s"
{tls}
[auth]
mode = "{mode}"
[keys.web]
secret = "{key}"
[keys.one-request]
secret = "{one_request}"
limits = {{ requests_per_minute = 1, burst = 1 }}
[keys.one-message]
secret = "{one_message}"
limits = {{ requests_per_minute = 1, burst = 1 }}
[streams]
commit_after = "2s"
heartbeat = "300ms"
[providers.recorded]
wire = "replay"
dir = {demo}
pace = "3ms"
[models.tour]
route = ["recorded/tour.rec"]
[telemetry]
log = "info"
"""

# Three models a wire: one that asks once, one that asks again, and one that waits for nothing.
WIRE = """
[providers.{wire}]
wire = "{wire}"
base_url = "{upstream}/{wire}"
api_key = "{key}"
[providers.{wire}-hasty]
wire = "{wire}"
base_url = "{upstream}/{wire}"
api_key = "{key}"
timeouts = {{ headers = "300ms", first_token = "300ms", total = "1500ms" }}
[models.{wire}]
route = ["{wire}/{model}"]
retries = 0
[models.{wire}-again]
route = ["{wire}/{model}"]
retries = 1
[models.{wire}-hasty]
route = ["{wire}-hasty/{model}"]
retries = 0
"""


@dataclass
class Stack:
    url: str
    upstream: str
    folder: Path

    def control(self, what, **query):
        with urllib.request.urlopen(f"{self.upstream}/control/{what}?{urlencode(query)}", timeout=60) as answer:
            return json.load(answer)

    def calls(self, tag):
        """What the upstream has seen of a tag."""
        return self.control("calls", tag=tag)

    def ended(self, tag, count=1):
        """The same, once so many of its calls have ended."""
        calls = self.control("wait", tag=tag, ended=count)
        assert sum(call["end"] is not None for call in calls) >= count, calls
        return calls

    def calm(self, wire, tag):
        """Each failure that was scripted is outweighed, or the target's breaker would open for the tests that follow."""
        bad = [call["script"] for call in self.calls(tag) if FAILURES & set(call["script"])]
        for model in [wire] * 2 * len(bad) + [f"{wire}-hasty"] * 2 * sum("never" in script for script in bad):
            body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "script tag=calm tokens=1"}]}
            headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}/v1/streams", json.dumps(body).encode(), headers), timeout=60) as answer:
                assert b"event: error" not in answer.read(), "the breaker is open already"


@contextmanager
def process(command, announced, **options):
    """A process that says where it is; ended, and asked how it was, on the way out."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    log, lines = [], queue.Queue()

    def read():
        for line in child.stdout:
            log.append(line)
            lines.put(line)
        lines.put(None)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    try:
        while not (found := announced.search(line := lines.get(timeout=START) or "")):
            assert line, f"{command[0]} did not start:\n{''.join(log)}"
        yield found[1]
    finally:
        child.stdin.close()
        code = end(child)
        reading.join(END)
        text = "".join(log)
        assert "panicked" not in text and "Traceback" not in text, text
        # The proxy ends on its own when asked to; Python is ended by the signal.
        assert code in (0, -signal.SIGTERM), f"{command[0]} ended with {code}:\n{text}"


def end(child):
    """Its exit code. Asked once it may let streams finish; asked again it ends now."""
    for wait in (DRAIN, END):
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            return child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    child.wait()
    raise AssertionError(f"{child.args[0]} had to be killed")


@contextmanager
def stack(open=False, tls=False, shipped=False):
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        port = running.enter_context(process([sys.executable, str(HERE / "upstream.py")], re.compile(r"^(\d+)$")))
        upstream = f"http://127.0.0.1:{port}"
        (folder / "config.toml").write_text(as_shipped(folder) if shipped else written(folder, upstream, open, tls))
        command = [BINARY, "--config", str(folder / "config.toml")]
        host = running.enter_context(process(command, re.compile(r"serving on https?://([\d.:]+)/")))
        yield Stack(f"{'https' if tls else 'http'}://{host}", upstream, folder)


@contextmanager
def serving(config):
    """The URL of a proxy with this configuration."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(config)
        with process([BINARY, "--config", str(path)], re.compile(r"serving on https?://([\d.:]+)/")) as host:
            yield f"http://{host}"


def as_shipped(folder):
    """The repository's own configuration, on ports of its own."""
    (folder / "demo").symlink_to(ROOT / "demo")
    text, count = re.subn(r'^((?:admin_)?listen) = "127\.0\.0\.1:\d+"', r'\1 = "127.0.0.1:0"', (ROOT / "config.toml").read_text(), flags=re.M)
    assert count == 2, "config.toml has two listeners"
    return text


def written(folder, upstream, open, tls):
    if tls:
        certificate(folder)
    secured = 'tls = { cert = "cert.pem", key = "key.pem" }' if tls else ""
    mode = "none" if open else "required"
    server = SERVER.format(tls=secured, mode=mode, key=KEY, one_request=ONE_REQUEST, one_message=ONE_MESSAGE, demo=json.dumps(str(ROOT / "demo")))
    return server + "".join(WIRE.format(wire=wire, model=model, upstream=upstream, key=UPSTREAM_KEY) for wire, model in MODELS.items() if wire in WIRES)


def certificate(folder):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True, timeout=START)


def main(arguments):
    # Whoever ends this one means all of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    at = arguments.index("--")
    options = {option.removeprefix("--"): True for option in arguments[:at]}
    with stack(**options) as running:
        names = {"SLUICEGATE_URL": running.url, "SLUICEGATE_KEY": KEY, "UPSTREAM_URL": running.upstream, "SLUICEGATE_BIN": BINARY, "SLUICEGATE_WIRES": ",".join(WIRES)}
        return subprocess.run(arguments[at + 1 :], env=os.environ | names).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
