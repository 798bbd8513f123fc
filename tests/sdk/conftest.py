"""One proxy and one upstream for all tests; a tag for each."""

import itertools
import os
import random

import pytest

import recordings as recorded
import stack as house

tags = itertools.count()


@pytest.fixture(scope="session")
def stack():
    with house.stack() as running:
        yield running


@pytest.fixture(scope="session")
def all_recordings():
    return recorded.all_recordings()


@pytest.fixture(scope="session")
def player(all_recordings):
    """The URL of a server that plays them."""
    with recorded.playing(all_recordings) as url:
        yield url


@pytest.fixture(scope="session")
def recordings_proxy(player):
    """The URL of a proxy in front of that server, with a model a wire."""
    with house.serving(recorded.config(player)) as url:
        yield url


@pytest.fixture
def tag():
    """A name that no other test has, and that begins no other one."""
    return f"t{next(tags)}x"


@pytest.fixture
def dice():
    """Chance that can be had again: the seed is in the output of a test that fails."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    return random.Random(seed)


@pytest.fixture(params=house.WIRES)
def wire(request, stack):
    tag = request.getfixturevalue("tag") if "tag" in request.fixturenames else None
    yield request.param
    if tag:
        stack.calm(request.param, tag)


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.write_line(f"{len(stats.get('passed', []))} passed, {failed} failed")
