"""The handbook's recipes for Python, as they are printed; only the address is this server's."""

import json
import subprocess
import sys
import urllib.request

import pytest

from pages import recipes
from stack import stack

RECIPES = recipes()


@pytest.fixture(scope="module")
def shipped():
    with stack(shipped=True) as running:
        yield running


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_recipe(shipped, name):
    code = RECIPES[name].replace("http://127.0.0.1:8484", shipped.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    with urllib.request.urlopen(f"{shipped.url}/v1/streams?limit=1", timeout=10) as answer:
        newest = json.load(answer)["data"][0]
    with urllib.request.urlopen(f"{shipped.url}/v1/streams/{newest['id']}", timeout=10) as answer:
        told = json.load(answer)
    assert told["status"] == "completed"
    assert done.stdout == told["text"] and len(done.stdout) > 1000
