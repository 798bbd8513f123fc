"""The real `sluicegate chat`: streams, loses and repeats no token after cuts, cancels on Ctrl-C."""

import json
import os
import signal
import subprocess
import urllib.request

import stack as harness
from clients import text
from relay import Relay

TIMEOUT = 60


def chat(url, *arguments):
    environment = os.environ | {"SLUICEGATE_URL": url, "SLUICEGATE_KEY": harness.KEY}
    command = [harness.BINARY, "chat", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_chat(url, *arguments):
    with chat(url, *arguments) as running:
        out, err = running.communicate(timeout=TIMEOUT)
    return running.returncode, out.decode(), err.decode()


def ask(stack, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {harness.KEY}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{stack.url}/v1/{path}", data, headers), timeout=TIMEOUT) as response:
        return json.load(response)


def tour(stack):
    """Returns the text of the recorded tour."""
    status = ask(stack, "streams", {"model": "tour", "stream": False, "messages": [{"role": "user", "content": "Show me round"}]})
    assert len(status["text"]) > 1000
    return status["text"]


def test_a_recording_is_streamed(stack):
    code, out, err = run_chat(stack.url, "--model", "tour", "Show me round")
    assert (code, out.rstrip("\n")) == (0, tour(stack).rstrip("\n")), err


def test_no_token_is_lost_or_repeated_after_cuts_at_any_byte(stack, wire, tag, rng):
    cuts = [0, *(rng.randrange(1, 6000) for _ in range(4))]
    with Relay(stack.url, cuts) as relay:
        code, out, err = run_chat(relay.url, "--model", wire, f"script tag={tag} tokens=300 every=2")
        assert relay.cuts_made == len(cuts), f"{cuts}: {err}"
    assert (code, out.rstrip("\n")) == (0, text(300).rstrip("\n")), f"{cuts}: {err}"
    assert err.count("connection lost") == len(cuts)
    assert [call["end"] for call in stack.wait_ended(tag)] == ["done"]


def test_a_recording_is_complete_after_cuts(stack, rng):
    # The tour has 46 KB, so three cuts of less than 15 KB each always fall inside it.
    cuts = [rng.randrange(1, 15000) for _ in range(3)]
    with Relay(stack.url, cuts) as relay:
        code, out, err = run_chat(relay.url, "--model", "tour", "Show me round")
        assert relay.cuts_made == len(cuts), f"{cuts}: {err}"
    assert (code, out.rstrip("\n")) == (0, tour(stack).rstrip("\n")), f"{cuts}: {err}"


def test_ctrl_c_cancels(stack, wire, tag):
    with chat(stack.url, "--json", "--model", wire, f"script tag={tag} tokens=5000 every=10") as running:
        started = json.loads(running.stdout.readline())
        while b"tok7" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 130, err
    last = json.loads(out.splitlines()[-1])
    assert "cancelled" in str(last), last
    status = ask(stack, f"streams/{stream_id(started)}")
    assert (status["status"], status["reason"], status["upstream"]) == ("cancelled", "cancelled", "closed")
    [call] = stack.wait_ended(tag)
    assert call["end"] == "closed" and call["sent"] < 2000
    assert text(call["sent"]).startswith(status["text"]), "the stored text is the streamed text"


def stream_id(event):
    return event.get("stream") or event["data"]["stream"]
