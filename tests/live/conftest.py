"""A whole hub with the demo's two banks."""

from collections.abc import Iterator

import pytest

from hub.local.demo import bring_up
from hub.local.demo.banks import Bank
from hub.local.stack import Stack
from tests.live_hubs import own_hub


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with own_hub(tmp_path_factory.mktemp("hub") / "state", WEB_WORKERS="2") as stack:
        yield stack


@pytest.fixture(scope="module")
def banks(stack: Stack) -> list[Bank]:
    return bring_up(stack, tell=lambda text: None)
