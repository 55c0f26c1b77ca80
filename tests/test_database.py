"""The one way by which set-based statements reach PostgreSQL."""

import threading

import pytest
from django.db import connection

from hub.database import execute


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_ended_between_two_requests_is_replaced_before_the_first_statement() -> None:
    (pid,) = execute("SELECT pg_backend_pid()").fetchone() or (0,)
    ending = threading.Thread(target=_end, args=(pid,))
    ending.start()
    ending.join()
    connection.close_if_unusable_or_obsolete()  # as each request begins
    assert execute("SELECT pg_backend_pid()").fetchone() != (pid,)


def _end(pid: int) -> None:
    execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    connection.close()
