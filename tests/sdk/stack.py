"""Runs the proxy's real binary in front of the scripted upstream while a test or a command runs.

    python3 stack.py [--open] [--tls] [--shipped] -- COMMAND…

runs COMMAND with SLUICEGATE_URL, SLUICEGATE_KEY and UPSTREAM_URL in its environment, and exits with
COMMAND's exit code. --open requires no key, --tls listens with a self-signed certificate, --shipped
uses the repository's config.toml.
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
# A second key with one request per minute: the OpenAI and the Anthropic SDK each use their own.
ONE_MESSAGE = "sk-one-message"
# Each wire with the model that has the strictest rules. `SLUICEGATE_WIRES` selects some of them,
# comma-separated.
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
# Seconds to wait for a start, for the streams to finish, and for the exit.
START, DRAIN, END = 20, 3, 10
# Script words that make a call fail.
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

# Three models per wire: without retries, with one retry, and with short timeouts.
WIRE = """
[providers.{wire}]
wire = "{wire}"
base_url = "{upstream}/{wire}"
api_key = "{key}"
[providers.{wire}-hasty]
wire = "{wire}"
base_url = "{upstream}/{wire}"
api_key = "{key}"
# On a busy machine a good answer takes hundreds of milliseconds: a shorter clock would fail good requests.
timeouts = {{ headers = "1500ms", first_token = "1500ms", total = "4s" }}
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

    def control(self, command, **query):
        with urllib.request.urlopen(f"{self.upstream}/control/{command}?{urlencode(query)}", timeout=60) as response:
            return json.load(response)

    def calls(self, tag):
        """Returns the calls with this tag that the upstream has received."""
        return self.control("calls", tag=tag)

    def wait_ended(self, tag, count=1):
        """Waits until `count` calls with this tag have ended, and returns all calls with it."""
        calls = self.control("wait", tag=tag, ended=count)
        assert sum(call["end"] is not None for call in calls) >= count, calls
        return calls

    def keep_breaker_closed(self, wire, tag):
        """Sends two good requests for each scripted failure of this tag.

        Without them the target's breaker would open and fail the tests that follow.
        """
        failing = [call["script"] for call in self.calls(tag) if FAILURES & set(call["script"])]
        for model in [wire] * 2 * len(failing) + [f"{wire}-hasty"] * 2 * sum("never" in script for script in failing):
            body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "script tag=breaker tokens=1"}]}
            headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}/v1/streams", json.dumps(body).encode(), headers), timeout=60) as response:
                answer = response.read()
                assert b"event: error" not in answer, f"a good request failed: {answer[-500:]}"


@contextmanager
def process(command, ready_pattern, **options):
    """Runs a process and yields the address that it prints.

    Stops it on exit, and fails if it has panicked or exited with an error.
    """
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    log, lines = [], queue.Queue()

    def read():
        for line in child.stdout:
            log.append(line)
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while not (found := ready_pattern.search(line := lines.get(timeout=START) or "")):
            assert line, f"{command[0]} did not start:\n{''.join(log)}"
        yield found[1]
    finally:
        child.stdin.close()
        code = stop(child)
        reader.join(END)
        text = "".join(log)
        assert "panicked" not in text and "Traceback" not in text, text
        # The proxy handles SIGTERM and exits with 0; Python scripts are terminated by it.
        assert code in (0, -signal.SIGTERM), f"{command[0]} ended with {code}:\n{text}"


def stop(child):
    """Stops a process and returns its exit code.

    The first SIGTERM lets running streams finish, the second ends the process at once.
    """
    for wait in (DRAIN, END):
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            return child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    child.wait()
    raise AssertionError(f"{child.args[0]} did not stop after two SIGTERM and was killed")


@contextmanager
def stack(open=False, tls=False, shipped=False):
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        port = running.enter_context(process([sys.executable, str(HERE / "upstream.py")], re.compile(r"^(\d+)$")))
        upstream = f"http://127.0.0.1:{port}"
        (folder / "config.toml").write_text(shipped_config(folder) if shipped else generated_config(folder, upstream, open, tls))
        command = [BINARY, "--config", str(folder / "config.toml")]
        host = running.enter_context(process(command, re.compile(r"serving on https?://([\d.:]+)/")))
        yield Stack(f"{'https' if tls else 'http'}://{host}", upstream, folder)


@contextmanager
def running_proxy(config):
    """Runs a proxy with this configuration and yields its URL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(config)
        with process([BINARY, "--config", str(path)], re.compile(r"serving on https?://([\d.:]+)/")) as host:
            yield f"http://{host}"


def shipped_config(folder):
    """Returns the repository's config.toml with free ports instead of the fixed ones."""
    (folder / "demo").symlink_to(ROOT / "demo")
    text, count = re.subn(r'^((?:admin_)?listen) = "127\.0\.0\.1:\d+"', r'\1 = "127.0.0.1:0"', (ROOT / "config.toml").read_text(), flags=re.M)
    assert count == 2, f"config.toml has {count} listeners on 127.0.0.1, expected 2"
    return text


def generated_config(folder, upstream, open, tls):
    if tls:
        write_certificate(folder)
    tls_line = 'tls = { cert = "cert.pem", key = "key.pem" }' if tls else ""
    mode = "none" if open else "required"
    server = SERVER.format(tls=tls_line, mode=mode, key=KEY, one_request=ONE_REQUEST, one_message=ONE_MESSAGE, demo=json.dumps(str(ROOT / "demo")))
    return server + "".join(WIRE.format(wire=wire, model=model, upstream=upstream, key=UPSTREAM_KEY) for wire, model in MODELS.items() if wire in WIRES)


def write_certificate(folder):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True, timeout=START)


def main(arguments):
    # Exit on SIGTERM through the context managers, so that the proxy and the upstream stop too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    at = arguments.index("--")
    options = {option.removeprefix("--"): True for option in arguments[:at]}
    with stack(**options) as running:
        names = {"SLUICEGATE_URL": running.url, "SLUICEGATE_KEY": KEY, "UPSTREAM_URL": running.upstream, "SLUICEGATE_BIN": BINARY, "SLUICEGATE_WIRES": ",".join(WIRES)}
        return subprocess.run(arguments[at + 1 :], env=os.environ | names).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
