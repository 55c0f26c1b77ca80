"""A hub at work for the tests that need its real processes: a folder and a Valkey of its own, and a migrated database.

`hub.local test` names a migrated database in TEST_TEMPLATE. A copy of it takes a moment. A new cluster and all
migrations take longer than many of these tests.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from hub.local import net
from hub.local.stack import Stack

_SERVERS = ("DATABASE_URL", "REDIS_URL")


@contextmanager
def own_hub(folder: Path, *, own_cluster: bool = False, **settings: str) -> Iterator[Stack]:
    """Starts a hub with these settings, and removes it afterwards.

    With `own_cluster`, it starts a durable PostgreSQL for itself, which a test may kill.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _SERVERS}
    environ |= {"WEB_WORKERS": "1", "WORKER_PROCESSES": "1"} | settings
    with _copied_database(wanted=not own_cluster) as database_url:
        environ |= {"DATABASE_URL": database_url} if database_url else {}
        stack = Stack(folder, net.free_port(), throwaway=not own_cluster, environ=environ)
        try:
            with stack:
                yield stack
        finally:
            stack.state.open()
            stack.state.remove()


@contextmanager
def _copied_database(*, wanted: bool) -> Iterator[str | None]:
    """The URL of a database of its own on the server of the tests, or None where that server has no template."""
    template, server = os.environ.get("TEST_TEMPLATE"), os.environ.get("DATABASE_URL")
    if not (wanted and template and server):
        yield None
        return
    name = f"live_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(urlsplit(server)._replace(path="/postgres").geturl(), autocommit=True) as channel:
        channel.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            channel.execute(f"DROP DATABASE {name} WITH (FORCE)")
