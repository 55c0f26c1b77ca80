"""A whole hub with the demo's two banks, on durable servers of its own, whatever servers the other tests use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.local import net
from hub.local.demo import bring_up
from hub.local.demo.banks import Bank
from hub.local.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    folder: Path = tmp_path_factory.mktemp("hub") / "state"
    stack = Stack(folder, net.free_port(), environ=environ | {"WEB_WORKERS": "2", "WORKER_PROCESSES": "1"})
    with stack:
        yield stack
    stack.state.open()
    stack.state.remove()


@pytest.fixture(scope="module")
def banks(stack: Stack) -> list[Bank]:
    return bring_up(stack, tell=lambda text: None)
