"""Checks three conditions of a payment: the hub accepts this DFSP, the core answers, and the clocks agree."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kitovu_connector.backend import Backend, HttpBackend
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.group_commit import Database
from kitovu_connector.hub_api import HubApi, HubRefused, HubUnreachable
from kitovu_connector.party_identifiers import NOBODY
from kitovu_connector.reference_api.backend import ReferenceBackend

_NO_SUCH_API = "3002"
_KEPT_S = 10.0  # the time for which the hub's latest response is reused, so that frequent probes cannot flood the hub


@dataclass(frozen=True, slots=True)
class Report:
    """The result for GET /health."""

    is_well: bool
    shown: dict[str, Any]


class Health:
    """Checks the connector. Reuses the hub's latest response for some seconds, so that frequent probes do not flood the
    hub with requests.

    Derives the core's state from the core's earlier answers. Calls the core only if the core's latest answer was a
    fault.
    """

    def __init__(self, config: Config, hub: HubClient, backend: Backend, database: Database | None = None) -> None:
        self._config, self._hub, self._backend, self._database = config, hub, backend, database
        self._asked_at, self._fault = -_KEPT_S, ""
        self._core_asked_at = -_KEPT_S

    async def report(self) -> Report:
        """Returns the present state. `status` is OK or the name of the first fault."""
        hub_fault = await self._hub_fault()
        core_fault = await self._core_fault()
        state_fault = await self._state_fault()
        if state_fault:
            status = "STATE_NOT_AVAILABLE"
        elif hub_fault:
            status = "HUB_NOT_AVAILABLE"
        elif core_fault:
            status = "CORE_NOT_AVAILABLE"
        else:
            status = "OK" if self._hub.clock.is_within_margin else "CLOCK_DIFFERS"
        shown = {
            "status": status,
            "time": time.time(),
            "hub": hub_fault or "OK",
            "core": core_fault or "OK",
            "state": state_fault or "OK",
            "clock": self._clock(),
        }
        return Report(status == "OK", shown)

    async def _state_fault(self) -> str:
        try:
            if self._database is not None:
                await self._database.read(lambda conn: conn.execute("SELECT 1").fetchone())
        except Exception as error:
            return type(error).__name__
        return ""

    async def _hub_fault(self) -> str:
        if time.monotonic() - self._asked_at < _KEPT_S:
            return self._fault
        try:
            await HubApi(self._hub).time()
            self._fault = ""
        except HubRefused as error:
            # A hub other than Kitovu may not have this API, but any answer shows that the connector can reach the hub.
            is_of_hub = bool(error.code) or error.status in (401, 403) or error.status >= 500
            self._fault = str(error) if is_of_hub and error.status != 501 and error.code != _NO_SUCH_API else ""
        except HubUnreachable as error:
            self._fault = str(error)
        self._asked_at = time.monotonic()
        return self._fault

    async def _core_fault(self) -> str:
        core = self._backend
        if not isinstance(core, HttpBackend | ReferenceBackend):
            return ""
        if core.fault and time.monotonic() - self._core_asked_at >= _KEPT_S:
            self._core_asked_at = time.monotonic()
            with suppress(Unavailable, NotUnderstood, Refused):
                await core.find_party(*NOBODY, None)
        return core.fault

    def _clock(self) -> dict[str, float | None]:
        measured = self._hub.clock.measured
        return {
            "hubAheadS": None if measured is None else round(measured.ahead_s, 3),
            "uncertainS": None if measured is None else round(measured.uncertain_s, 3),
            "marginS": self._config.clock_margin_s,
        }
