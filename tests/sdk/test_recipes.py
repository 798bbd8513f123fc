"""Runs the handbook's Python recipes unchanged, except for the server's address."""

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
    with urllib.request.urlopen(f"{shipped.url}/v1/streams?limit=1", timeout=10) as response:
        newest = json.load(response)["data"][0]
    with urllib.request.urlopen(f"{shipped.url}/v1/streams/{newest['id']}", timeout=10) as response:
        status = json.load(response)
    assert status["status"] == "completed"
    assert done.stdout == status["text"] and len(done.stdout) > 1000
