"""One web server for all tests of a module that do not need settings of their own."""

from collections.abc import Iterator

import pytest

from tests.attacks.web import served
from tests.world import World


@pytest.fixture(scope="module")
def web_server(django_db_setup: None) -> Iterator[int]:
    """The port of a web server on the tests' database. Its start takes longer than most tests that ask it."""
    with served() as found:
        yield found


@pytest.fixture
def port(committed_world: World, web_server: int) -> int:
    """The same, with the small world in the database. A participant has the same id in each test."""
    return web_server
