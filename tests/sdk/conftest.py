"""Fixtures: one proxy and one scripted upstream for the session, one unique tag per test."""

import itertools
import os
import random

import pytest

import recordings
import stack as harness

tags = itertools.count()


@pytest.fixture(scope="session")
def stack():
    with harness.stack() as running:
        yield running


@pytest.fixture(scope="session")
def all_recordings():
    return recordings.all_recordings()


@pytest.fixture(scope="session")
def player(all_recordings):
    """The URL of a server that plays the recordings."""
    with recordings.playing(all_recordings) as url:
        yield url


@pytest.fixture(scope="session")
def recordings_proxy(player):
    """The URL of a proxy in front of the player, with one model per wire."""
    with harness.running_proxy(recordings.config(player)) as url:
        yield url


@pytest.fixture
def tag():
    """A tag that no other test uses and that is not a prefix of another one."""
    return f"t{next(tags)}x"


@pytest.fixture
def rng():
    """A random source. Its seed is in the output of a failed test; SEED=… repeats the run."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    return random.Random(seed)


@pytest.fixture(params=harness.WIRES)
def wire(request, stack):
    tag = request.getfixturevalue("tag") if "tag" in request.fixturenames else None
    yield request.param
    if tag:
        stack.keep_breaker_closed(request.param, tag)


def pytest_terminal_summary(terminalreporter):
    # common.sh reads the counts from this line.
    stats = terminalreporter.stats
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.write_line(f"{len(stats.get('passed', []))} passed, {failed} failed")
