"""One hub and one set of connectors for all tests of this folder."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.live_hubs import own_hub
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


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Lasts until all tests of a process have run: with several processes, other files come between those of here."""
    folder: Path = tmp_path_factory.mktemp("reference")
    with own_hub(folder / "hub") as stack:
        world = World(stack.base_url, folder)
        try:
            world.start()
            yield world
        finally:
            world.stop()


@pytest.fixture
def world(shared_world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world, as it was at the beginning: settings of the SDK's defaults, cores that have noted nothing.

    After the test, what the tables of operations say that it proves must have happened.
    """
    dfsps = shared_world.dfsps.values()
    for dfsp in dfsps:
        dfsp.core.fails.clear()
    # A core may still be told how an earlier test's transfer ended.
    assert until(lambda: not any(dfsp.has_open_transfers() for dfsp in dfsps), 25)
    for dfsp in dfsps:
        dfsp.core.calls.clear()
        dfsp.core.answered.clear()
        dfsp.answered.clear()
    yield shared_world
    if request.node.stash.get(_PASSED, False):
        name, calls = request.node.name, [call for dfsp in dfsps for call in dfsp.answered]

        def lacking() -> set[tuple[str, str, bool]]:
            return unseen(name, calls, [call for dfsp in dfsps for call in dfsp.core.answered])

        # A core may still be answering.
        assert until(lambda: not lacking(), 5), lacking()
