"""The first test process migrates a database for itself; other test processes, and later ones, copy it.

Only in a cluster that is thrown away after the tests: `hub.local test` then names the copy in TEST_TEMPLATE.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

_LOCK = 8_314_159


@contextmanager
def held() -> Iterator[None]:
    """Around Django's own making of the test database, whose settings it changes."""
    name = os.environ.get("TEST_TEMPLATE")
    if not name:
        yield
        return
    with _outside() as channel:
        channel.execute("SELECT pg_advisory_lock(%s)", [_LOCK])  # until another process has made the template
        if channel.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.settings_dict["TEST"]["TEMPLATE"] = name
            channel.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
            yield
            return
        yield
        connection.close()  # a database is copied while nobody uses it
        ours = connection.settings_dict["NAME"]
        channel.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(ours)))


def _outside() -> "psycopg.Connection[Any]":
    found = connection.settings_dict
    return psycopg.connect(
        host=found["HOST"],
        port=found["PORT"],
        user=found["USER"],
        password=found["PASSWORD"],
        dbname="postgres",
        autocommit=True,
    )
