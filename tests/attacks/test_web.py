"""The web server of these tests is the one that a test wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.attacks import web
from tests.attacks.web import Web


def test_a_server_has_the_threads_and_settings_that_a_test_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[dict[str, Any]] = []

    @contextmanager
    def running(**given: Any) -> Iterator[Web]:
        wanted.append(given)
        yield Web(8000, 1)

    monkeypatch.setattr(web, "running", running)
    with web.served(threads=3, WEB_QUEUE="9") as port:
        assert port == 8000
    assert wanted == [{"threads": 3, "WEB_QUEUE": "9"}]
