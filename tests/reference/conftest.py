"""One hub and one set of connectors for all tests of this folder."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from hub.local import net
from hub.local.stack import Stack
from tests.reference.operations import unseen
from tests.reference.world import World, until

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lets a fixture see whether its test passed."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(scope="package")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    folder: Path = tmp_path_factory.mktemp("reference")
    settings = environ | {"WEB_WORKERS": "1", "WORKER_PROCESSES": "1"}
    stack = Stack(folder / "hub", net.free_port(), throwaway=True, environ=settings)
    with stack:
        world = World(stack.base_url, folder)
        try:
            world.start()
            yield world
        finally:
            world.stop()
    stack.state.open()
    stack.state.remove()


@pytest.fixture
def world(shared_world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world, as it was at the beginning: settings of the SDK's defaults, cores that have noted nothing.

    After the test, what the tables of operations say that it proves must have happened.
    """
    dfsps = shared_world.dfsps.values()
    # A core may still be told how an earlier test's transfer ended.
    until(lambda: not any(dfsp.has_open_transfers() for dfsp in dfsps), 25)
    for dfsp in dfsps:
        dfsp.core.calls.clear()
        dfsp.core.fails.clear()
        dfsp.core.answered.clear()
        dfsp.answered.clear()
    yield shared_world
    if request.node.stash.get(_PASSED, False):
        name, calls = request.node.name, [call for dfsp in dfsps for call in dfsp.answered]

        def lacking() -> set[tuple[str, str, bool]]:
            return unseen(name, calls, [call for dfsp in dfsps for call in dfsp.core.answered])

        # A core may still be answering.
        assert until(lambda: not lacking(), 5), lacking()
