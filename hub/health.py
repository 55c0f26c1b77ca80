"""The views of /health, /health/live and /health/ready, which report whether this hub works."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from hub.tasks import HEARTBEAT

_STARTED = datetime.now(UTC)
_FRESH_S = 0.5


class _Database:
    """Checks the database in only one thread at a time and caches the result. So all health probes share one database
    connection."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._asked_at, self._answered = -_FRESH_S, False

    def ask(self) -> bool:
        with self._guard:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                try:
                    self._answered = self._ask()
                finally:
                    self._asked_at = time.monotonic()
            return self._answered

    def _ask(self) -> bool:
        self._answered = False
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))


_ask_database = _Database().ask


def health(request: HttpRequest) -> JsonResponse:
    """Responds with 200 if every part of the hub works, and otherwise with 503. The body has the form of the reference
    hub's /health.

    The hub can accept payments without the broker. Without the broker, the hub sends callbacks up to a second later.
    """
    return _report({"datastore": _ask_database, "broker": _ask_broker, "worker": _ask_for_heartbeat})


def health_of_ledger(request: HttpRequest) -> JsonResponse:
    """Returns the health of the database and the broker. The ledger service of the reference hub reports its health in
    the same form."""
    return _report({"datastore": _ask_database, "broker": _ask_broker})


def _report(parts: Mapping[str, Callable[[], bool]]) -> JsonResponse:
    services = [{"name": name, "status": _status(ask)} for name, ask in parts.items()]
    is_well = all(service["status"] == "OK" for service in services)
    uptime_s = (datetime.now(UTC) - _STARTED).total_seconds()
    return JsonResponse(
        {
            "status": "OK" if is_well else "DOWN",
            "uptime": round(uptime_s, 1),
            "startTime": _STARTED.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "services": services,
        },
        status=200 if is_well else 503,
    )


def live(request: HttpRequest) -> JsonResponse:
    """Returns 200 as long as this process can respond. /health/live is for programs that restart failed processes."""
    return JsonResponse({"status": "OK"})


def ready(request: HttpRequest) -> JsonResponse:
    """Returns 200 if this process can accept payments, and otherwise 503. /health/ready is for programs that route
    requests to processes.

    Checks only the database, because a hub without its broker still accepts and delivers payments.
    """
    status = _status(_ask_database)
    return JsonResponse({"status": status}, status=200 if status == "OK" else 503)


def _status(ask: Callable[[], bool]) -> str:
    try:
        return "OK" if ask() else "DOWN"
    except (DatabaseError, RedisError, OSError):
        return "DOWN"


def _ask_broker() -> bool:
    cache.set("health", "asked", timeout=5)
    return bool(cache.get("health") == "asked")


def _ask_for_heartbeat() -> bool:
    return cache.get(HEARTBEAT) is not None
