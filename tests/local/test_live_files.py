"""The live tests run by themselves, and only the files that have some are collected for it: none may be forgotten."""

from pathlib import Path

import pytest

from hub.local.__main__ import _files_of_live_tests
from hub.local.stack import PROJECT


def test_each_file_whose_tests_have_the_mark_is_found(request: pytest.FixtureRequest) -> None:
    collected = {str(Path(item.path).relative_to(PROJECT)) for item in request.session.items if _is_live(item)}
    assert collected | {"tests/live/test_killed.py", "tests/test_migrations.py"} <= set(_files_of_live_tests())


def _is_live(item: pytest.Item) -> bool:
    return item.get_closest_marker("live") is not None
