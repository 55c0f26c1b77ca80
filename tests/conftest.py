"""What every test stands on: a real PostgreSQL (DATABASE_URL), a real Valkey (REDIS_URL), and one small world."""

import pytest

from hub.participants import queries
from tests.world import World


@pytest.fixture(autouse=True)
def _forget_participants() -> None:
    """Databases come and go between tests; what a process remembers of one must not reach the next."""
    queries.forget()


@pytest.fixture
def world(db: None) -> World:
    """green, blue and red with accounts in TZS, and grey, an outsider to every payment. Rolled back after the test."""
    return World.begin()


@pytest.fixture
def committed_world(transactional_db: None) -> World:
    """The same world, really committed, for tests with several connections."""
    return World.begin()
