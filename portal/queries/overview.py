"""Reads figures of the last half hour and of the open payments. Runs a fixed number of SQL statements."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.sql_execution import execute
from portal.queries import payments_per_minute as by_minute
from portal.queries.payments_per_minute import Minute

MINUTES = 30

_SPEED = """
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY completed_at - received_at),
           percentile_disc(0.99) WITHIN GROUP (ORDER BY completed_at - received_at)
    FROM (SELECT received_at, completed_at FROM ledger_transfer
          WHERE state = 'COMMITTED' AND received_at >= now() - make_interval(mins => %s)
          ORDER BY received_at DESC LIMIT 10000) latest
"""
_RESERVED = """
    SELECT count(*), count(*) FILTER (WHERE expires_at < clock_timestamp() + interval '10 seconds'),
           count(*) FILTER (WHERE expires_at < clock_timestamp() - interval '2 seconds'), min(expires_at)
    FROM ledger_transfer WHERE state = 'RESERVED'
"""
_WINDOW = "SELECT id, created_at FROM ledger_settlementwindow WHERE state = 'OPEN'"
_CHECK = "SELECT at, breaks FROM portal_ledgercheck ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Figures:
    """The overview's figures. Times are in seconds, and amounts are in ten-thousandths."""

    minutes: Sequence[Minute]
    values: Sequence[tuple[str, int, int]]  # currency, committed amount, payments
    median_s: float | None
    slowest_s: float | None  # the 99th percentile
    reserved: int
    expiring: int
    overdue: int
    window_id: int | None
    window_since: datetime | None
    checked_at: datetime | None
    breaks: Sequence[str] | None

    @property
    def committed(self) -> int:
        return sum(minute.committed for minute in self.minutes)

    @property
    def aborted(self) -> int:
        return sum(minute.aborted for minute in self.minutes)

    @property
    def success_percent(self) -> float | None:
        """Returns the percentage of committed payments among all ended payments."""
        ended = self.committed + self.aborted
        return round(100 * self.committed / ended, 1) if ended else None

    @property
    def per_minute(self) -> int:
        """The number of payments that arrived in the last whole minute."""
        return self.minutes[-2].arrived


def figures() -> Figures:
    median, slowest = _one(_SPEED, [MINUTES])
    reserved, expiring, overdue, _first = _one(_RESERVED, [])
    window = _one(_WINDOW, []) or (None, None)
    check = _one(_CHECK, []) or (None, None)
    found = by_minute.latest(MINUTES)
    return Figures(
        minutes=found,
        values=_values(found),
        median_s=median.total_seconds() if median is not None else None,
        slowest_s=slowest.total_seconds() if slowest is not None else None,
        reserved=reserved,
        expiring=expiring,
        overdue=overdue,
        window_id=window[0],
        window_since=window[1],
        checked_at=check[0],
        breaks=_loaded(check[1]),
    )


def _values(found: Sequence[Minute]) -> list[tuple[str, int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for row in (row for minute in found for row in minute.rows if row.committed):
        amount, count = sums.get(row.currency, (0, 0))
        sums[row.currency] = (amount + row.amount, count + row.committed)
    return [(currency, *both) for currency, both in sorted(sums.items())]


def _one(statement: str, parameters: list[Any]) -> Any:
    return execute(statement, parameters).fetchone()


def _loaded(breaks: Any) -> Any:
    # Django's connections return JSON as text.
    return json.loads(breaks) if isinstance(breaks, str) else breaks
