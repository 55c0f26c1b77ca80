"""Counts payments by the minute of arrival. Each process keeps the counts of minutes whose payments have all ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.core.cache import caches

from hub.sql_execution import execute

_KEY = "portal:minutes"
_MINUTE_S = 60
# each call counts this number of the latest minutes again, because payments can still appear and end in these minutes
_YOUNG = 3
_OLDER = 2  # if older minutes have open payments, each call counts at most this many of these minutes again

_NOW = "SELECT extract(epoch FROM date_trunc('minute', clock_timestamp()))::bigint"
# The index transfer_by_arrival limits the read to these minutes.
_ROWS = """
    SELECT m.at, t.currency, count(*), count(*) FILTER (WHERE t.state = 'COMMITTED'),
           count(*) FILTER (WHERE t.state = 'ABORTED'),
           coalesce(sum(t.amount) FILTER (WHERE t.state = 'COMMITTED'), 0)
    FROM unnest(%s::bigint[]) AS m (at)
    JOIN ledger_transfer t ON t.received_at >= to_timestamp(m.at) AND t.received_at < to_timestamp(m.at + 60)
    GROUP BY 1, 2
"""


class Row(NamedTuple):
    """The payments in one currency that arrived in one minute. `amount` is the committed amount in ten-thousandths."""

    currency: str
    arrived: int
    committed: int
    aborted: int
    amount: int


@dataclass(frozen=True, slots=True)
class Minute:
    at: int  # the start of the minute, in seconds
    read_at: int
    rows: Sequence[Row]

    @property
    def arrived(self) -> int:
        return sum(row.arrived for row in self.rows)

    @property
    def committed(self) -> int:
        return sum(row.committed for row in self.rows)

    @property
    def aborted(self) -> int:
        return sum(row.aborted for row in self.rows)

    @property
    def has_ended(self) -> bool:
        """Whether all payments of this minute have ended, so that the figures of the minute cannot change any more."""
        return self.arrived == self.committed + self.aborted


def latest(count: int) -> list[Minute]:
    """Returns the current minute of the database's clock and the `count` previous minutes, with the oldest first."""
    row = execute(_NOW).fetchone()
    assert row is not None
    now: int = row[0]
    wanted = range(now - count * _MINUTE_S, now + 1, _MINUTE_S)
    kept: dict[int, Minute] = caches["process"].get(_KEY) or {}
    known = {at: kept[at] for at in wanted if at in kept}
    known |= _read(_due(wanted, known, now), now)
    caches["process"].set(_KEY, known, timeout=count * _MINUTE_S)
    return [known[at] for at in wanted]


def _due(wanted: Sequence[int], known: dict[int, Minute], now: int) -> list[int]:
    due = [at for at in wanted if at not in known or known[at].read_at < at + _YOUNG * _MINUTE_S]
    open_ones = [known[at] for at in wanted if at not in due and not known[at].has_ended]
    # Payments can stay open for a long time. Each call reads only a few minutes with open payments, so that every call
    # is fast.
    return due + [minute.at for minute in sorted(open_ones, key=lambda minute: minute.read_at)[:_OLDER]]


def _read(due: Sequence[int], now: int) -> dict[int, Minute]:
    rows: dict[int, list[Row]] = {at: [] for at in due}
    for at, currency, arrived, committed, aborted, amount in execute(_ROWS, [list(due)]):
        rows[at].append(Row(currency, arrived, committed, aborted, int(amount)))
    return {at: Minute(at, now, found) for at, found in rows.items()}
