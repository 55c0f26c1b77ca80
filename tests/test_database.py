"""The one way by which set-based statements reach PostgreSQL."""

import threading

import pytest
from django.db import connection

from hub.database import execute
from tests.directory.ways import counted_statements


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_ended_between_two_requests_is_replaced_before_the_first_statement() -> None:
    (pid,) = execute("SELECT pg_backend_pid()").fetchone() or (0,)
    ending = threading.Thread(target=_end, args=(pid,))
    ending.start()
    ending.join()
    connection.close_if_unusable_or_obsolete()  # as each request begins
    assert execute("SELECT pg_backend_pid()").fetchone() != (pid,)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_lives_is_kept_without_a_statement() -> None:
    before = execute("SELECT pg_backend_pid()").fetchone()
    connection.close_if_unusable_or_obsolete()
    with counted_statements() as sent:
        assert execute("SELECT pg_backend_pid()").fetchone() == before
    assert len(sent) == 1


def _end(pid: int) -> None:
    execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    connection.close()
