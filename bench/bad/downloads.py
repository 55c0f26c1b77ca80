"""Requests files from the portal as a participant's user, and does not read the responses.

`python -m bench.bad.downloads` fills a hub's tables, creates the user, and prints the cookie of the user's session.
"""

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress

from bench.bad.scene_and_client import World
from bench.hubs import PROJECT

COUNT = 60
_BEGUN = 8
_TRANSFERS = 200_000  # of all thirty DFSPs together: one DFSP's file has a few megabytes
_WHOSE = "busy-03"
_PATH = "/portal/transfers.csv"
_WINDOW = 4096  # the socket's receive buffer in bytes


def sign_in(database_url: str) -> str:
    """Fills the hub with transfers of many participants. Returns the Cookie header of the participant's user."""
    env = os.environ | {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "hub.settings",
        "LOG_LEVEL": "ERROR",
        "DATABASE_STATEMENT_TIMEOUT_MS": "0",
    }
    command = [sys.executable, "-m", "bench.bad.downloads"]
    done = subprocess.run(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


async def begin_some(world: World, cookie: str) -> None:
    """Requests one file after another, and ends each download after the first bytes. So every process has begun a
    download."""
    for _ in range(_BEGUN):
        reader, writer = await asyncio.open_connection(world.scene.hub_host, world.scene.hub_port)
        writer.write(_request(world, cookie))
        with suppress(OSError):
            await reader.read(64)
        writer.close()


def _request(world: World, cookie: str) -> bytes:
    return f"GET {_PATH} HTTP/1.1\r\nHost: {world.host.decode()}\r\nCookie: {cookie}\r\n\r\n".encode()


async def hold(world: World, cookie: str) -> None:
    """Requests all files at the same time, reads only the first bytes of each file, and never reads the rest."""
    await asyncio.gather(*(_hold_one(world, cookie) for _ in range(COUNT)))


async def _hold_one(world: World, cookie: str) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, (world.scene.hub_host, world.scene.hub_port))
            await loop.sock_sendall(connection, _request(world, cookie))
            world.answers[int((await loop.sock_recv(connection, 64))[9:12] or 0)] += 1
        except OSError:
            world.answers[0] += 1
        await asyncio.Event().wait()


def main() -> None:
    """Fills the tables and prints the cookie, in a separate process with Django."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.db import connection

    from bench.pages import signed_in
    from bench.seed_busy_day import Crowd, fill
    from hub.participants.models import Participant
    from portal.permissions import Role
    from portal.queries import balance_checkpoints

    fill(Crowd(_TRANSFERS, 24))
    while balance_checkpoints.mark():  # a running hub writes checkpoints every ten seconds
        pass
    with connection.cursor() as cursor:  # PostgreSQL vacuums and writes checkpoints by itself while tables grow slowly
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")
    participant = Participant.objects.get(name=_WHOSE)
    client = signed_in(User, "bench-bad", frozenset({Role.PARTICIPANT_VIEWER}), participant)
    name = settings.SESSION_COOKIE_NAME
    print(f"{name}={client.cookies[name].value}")


if __name__ == "__main__":
    main()
