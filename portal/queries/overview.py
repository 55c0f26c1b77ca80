"""The scheme's figures now: a fixed number of statements over the last half hour and what is open."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.database import execute

MINUTES = 30

# The index is transfer_by_arrival: what is older is not touched.
_MINUTES = """
    SELECT extract(epoch FROM date_trunc('minute', received_at))::bigint AS minute, count(*),
           count(*) FILTER (WHERE state = 'COMMITTED'), count(*) FILTER (WHERE state = 'ABORTED')
    FROM ledger_transfer WHERE received_at >= date_trunc('minute', now()) - make_interval(mins => %s)
    GROUP BY 1 ORDER BY 1
"""
_VALUES = """
    SELECT currency, sum(amount)::bigint, count(*) FROM ledger_transfer
    WHERE state = 'COMMITTED' AND received_at >= now() - make_interval(mins => %s) GROUP BY 1 ORDER BY 1
"""
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
    """Times are seconds; amounts ten-thousandths."""

    minutes: Sequence[tuple[int, int, int, int]]  # minute, arrived, committed, aborted
    values: Sequence[tuple[str, int, int]]  # currency, committed amount, payments
    median_s: float | None
    slowest_s: float | None  # the 99th of 100
    reserved: int
    expiring: int
    overdue: int
    window_id: int | None
    window_since: datetime | None
    checked_at: datetime | None
    breaks: Sequence[str] | None

    @property
    def committed(self) -> int:
        return sum(minute[2] for minute in self.minutes)

    @property
    def aborted(self) -> int:
        return sum(minute[3] for minute in self.minutes)

    @property
    def success_percent(self) -> float | None:
        """Of those that ended."""
        ended = self.committed + self.aborted
        return round(100 * self.committed / ended, 1) if ended else None

    @property
    def per_minute(self) -> int:
        """Arrived in the last whole minute."""
        return self.minutes[-2][1] if len(self.minutes) > 1 else self.minutes[-1][1] if self.minutes else 0


def figures() -> Figures:
    median, slowest = _one(_SPEED, [MINUTES])
    reserved, expiring, overdue, _first = _one(_RESERVED, [])
    window = _one(_WINDOW, []) or (None, None)
    check = _one(_CHECK, []) or (None, None)
    return Figures(
        minutes=execute(_MINUTES, [MINUTES]).fetchall(),
        values=execute(_VALUES, [MINUTES]).fetchall(),
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


def _one(statement: str, parameters: list[Any]) -> Any:
    return execute(statement, parameters).fetchone()


def _loaded(breaks: Any) -> Any:
    # Django's connections leave JSON as text.
    return json.loads(breaks) if isinstance(breaks, str) else breaks
