"""Runs the shell blocks of README.md and docs, with the address and the binary of a test server."""

import os
import shutil
import subprocess

import pytest

from pages import blocks
from stack import BINARY, ROOT, stack

SHELL = [
    pytest.param(code, id=place)
    for place, marker, code in blocks("sh")
    if not marker.startswith(("recipe: ", "not run: "))
]


@pytest.fixture(scope="module")
def shipped():
    with stack(shipped=True) as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    """A folder with the shipped configuration, and `sluicegate` on the path."""
    shutil.copy(ROOT / "config.toml", tmp_path / "config.toml")
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sluicegate").symlink_to(BINARY)
    return tmp_path


def test_the_pages_have_shell_blocks():
    assert len(SHELL) >= 5


@pytest.mark.parametrize("code", SHELL)
def test_shell_block(shipped, folder, code):
    code = code.replace("http://127.0.0.1:8484", shipped.url).replace("127.0.0.1:8484", shipped.url.removeprefix("http://"))
    code = code.replace("cargo run --release --", "sluicegate")
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
