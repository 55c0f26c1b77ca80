"""Ports and health checks, with the standard library only."""

import http.client
import random
import socket
from urllib.parse import urlsplit

from hub.local.errors import LocalError

HOST = "127.0.0.1"
# For outgoing connections, the kernel uses only ports above this range. So no connection occupies a server's port while
# the server restarts.
SERVER_PORTS = range(15000, 30000)


def is_free(port: int, host: str = HOST) -> bool:
    """Returns whether this port is free, so that a server can listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except (OSError, OverflowError):
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Returns the preferred port if it is free, and otherwise another free port."""
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(200):
        port = random.choice(SERVER_PORTS)  # noqa: S311 - not a secret
        if is_free(port):
            return port
    raise LocalError(
        "No free port was found on this machine.",
        where=f"{HOST}, ports {SERVER_PORTS.start} to {SERVER_PORTS.stop - 1}",
        do="Stop programs that use these ports (ss -ltnp lists them), then try again.",
    )


def answers(url: str, timeout: float = 2.0) -> bool:
    """Returns whether a GET request for the URL gets the response 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
