"""One hub and one set of connectors for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.local import net
from hub.local.stack import Stack
from tests.reference.world import World


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
def world(shared_world: World) -> World:
    """The world, as it was at the beginning: settings of the SDK's defaults, cores that have noted nothing."""
    for dfsp in shared_world.dfsps.values():
        dfsp.core.calls.clear()
        dfsp.core.fails.clear()
    return shared_world
