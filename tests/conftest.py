"""What every test stands on: a real PostgreSQL (DATABASE_URL), a real Valkey (REDIS_URL), and one small world."""

from collections.abc import Iterator

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from hub import agreement_engine
from hub.outbox import backlog_limit
from hub.participants import credential_cache, queries
from rules.lists import loaded_names, screening
from rules.lists import matches as lists
from rules.markers import matches as markers
from rules.rulesets import active_rules
from tests import database_template, empty_tables
from tests.examples import examples
from tests.world import World


def pytest_configure(config: pytest.Config) -> None:
    """Hashes passwords quickly, for hundreds of people sign in here; lets tests ask for states as fast as they can."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True  # otherwise each client of a test looks for all files of the pages first
    # Of these, a process remembers more than the test that it runs.
    settings.DFSP_STATE_RATE = 0
    settings.DFSP_BULK_SHARE = 0
    settings.DFSP_FAULTY_BYTES = 0
    empty_tables.install()
    slow_machine = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    hypothesis.settings.register_profile("kitovu", max_examples=examples(), **slow_machine)
    hypothesis.settings.load_profile("kitovu")


@pytest.fixture(autouse=True)
def _forget_participants() -> None:
    """Databases come and go between tests; what a process remembers of one must not reach the next."""
    queries.forget()
    caches["process"].clear()
    credential_cache.forget()
    backlog_limit.forget()
    active_rules.forget()
    for remembered in (lists, markers, screening, loaded_names):
        remembered.forget()


@pytest.fixture(autouse=True)
def _lookups_and_quotes_see_what_the_test_wrote(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that is rolled back has rows that an engine's own connection never sees: groups of one, on the test's."""
    marker = request.node.get_closest_marker("django_db")
    commits = "transactional_db" in request.fixturenames or (marker is not None and marker.kwargs.get("transaction"))
    if not commits:
        monkeypatch.setattr(agreement_engine, "submit", lambda command: agreement_engine.run([command])[0])


@pytest.fixture
def world(db: None) -> World:
    """green, blue and red with accounts in TZS, and grey, an outsider to every payment. Rolled back after the test."""
    return World.begin()


@pytest.fixture
def committed_world(transactional_db: None) -> World:
    """The same world, really committed, for tests with several connections."""
    return World.begin()


@pytest.fixture(scope="session")
def django_db_setup(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> None:
    """The database as pytest-django makes it, but migrated by one process only."""
    with django_db_blocker.unblock(), database_template.held():
        request.getfixturevalue("django_db_setup")


@pytest.fixture(scope="session", autouse=True)
def _end_other_connections(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The ledger's engine keeps its connection as long as its process; a database can not be dropped under it."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
