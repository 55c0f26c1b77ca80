"""Compares each bank's success in the last minutes with its own success in the last week."""

import math
from dataclasses import dataclass

from hub.sql_execution import execute

RECENT_MINUTES = 15
LEAST_NOW, LEAST_NORMAL = 20, 100  # with fewer payments, a rate says nothing
_LEAST_DROP = 0.05
_DEVIATIONS = 4.0

# The index transfer_by_arrival limits the read to the payments that arrived in these minutes.
_ENDED = """
    SELECT bank, side, count(*), count(*) FILTER (WHERE state = 'COMMITTED')
    FROM ledger_transfer t CROSS JOIN LATERAL (VALUES (t.payer_id, 'PAYER'), (t.payee_id, 'PAYEE')) AS of (bank, side)
    WHERE t.received_at >= {since} AND t.received_at < {until} AND t.state IN ('COMMITTED', 'ABORTED')
      AND bank IS NOT NULL
    GROUP BY bank, side
"""
_NOW = _ENDED.format(since="clock_timestamp() - make_interval(mins => %s)", until="clock_timestamp()")
_NORMAL = """
    SELECT participant_id, side, sum(ended)::bigint, sum(committed)::bigint FROM portal_bankhour
    WHERE hour >= clock_timestamp() - interval '7 days' GROUP BY participant_id, side
"""
_NAMES = "SELECT id, name FROM participants_participant WHERE id = ANY(%s::bigint[]) AND NOT is_hub"
# The newest of the last day's whole hours that has no rows yet. The last ten minutes of an hour may have open payments.
_MISSING = """
    SELECT h.at FROM generate_series(
        date_trunc('hour', clock_timestamp() - interval '24 hours'),
        date_trunc('hour', clock_timestamp() - interval '70 minutes'), interval '1 hour') AS h (at)
    WHERE NOT EXISTS (SELECT FROM portal_bankhour b WHERE b.hour = h.at)
      AND EXISTS (SELECT FROM ledger_transfer t WHERE t.received_at >= h.at AND t.received_at < h.at + interval '1 hour'
                  AND t.state IN ('COMMITTED', 'ABORTED'))
    ORDER BY h.at DESC LIMIT 1
"""
_COUNT = f"""
    INSERT INTO portal_bankhour (participant_id, side, ended, committed, hour)
    SELECT e.*, %s FROM ({_ENDED.format(since="%s", until="%s::timestamptz + interval '1 hour'")}) e
    ON CONFLICT DO NOTHING
"""  # noqa: S608 (our own words)
_FORGET = "DELETE FROM portal_bankhour WHERE hour < clock_timestamp() - interval '8 days'"


@dataclass(frozen=True, slots=True)
class Drop:
    """A bank whose success is below its own normal level. The rates are percentages."""

    participant: str
    side: str
    now: float
    normal: float
    count: int


def is_below_normal(*, ended: int, committed: int, normally_ended: int, normally_committed: int) -> bool:
    """Returns whether a success rate is lower than chance can explain, and lower by at least five points."""
    if ended < LEAST_NOW or normally_ended < LEAST_NORMAL:
        return False
    now, normal = committed / ended, normally_committed / normally_ended
    by_chance = _DEVIATIONS * math.sqrt(max(normal * (1 - normal), 0.02) / ended)
    return normal - now > max(_LEAST_DROP, by_chance)


def drops() -> list[Drop]:
    """Returns the banks whose success is below their normal level. Runs at most three SQL statements."""
    normal = {(bank, side): (ended, committed) for bank, side, ended, committed in execute(_NORMAL, [])}
    if not normal:
        return []
    low = [
        (bank, side, ended, committed)
        for bank, side, ended, committed in execute(_NOW, [RECENT_MINUTES]).fetchall()
        if (bank, side) in normal
        and is_below_normal(
            ended=ended,
            committed=committed,
            normally_ended=normal[bank, side][0],
            normally_committed=normal[bank, side][1],
        )
    ]
    names: dict[int, str] = dict(execute(_NAMES, [[bank for bank, *_rest in low]]).fetchall()) if low else {}
    return [
        Drop(
            names[bank],
            side,
            round(100 * committed / ended, 1),
            round(100 * normal[bank, side][1] / normal[bank, side][0], 1),
            ended,
        )
        for bank, side, ended, committed in low
        if bank in names
    ]


def count_hour() -> bool:
    """Counts one whole hour that has not been counted yet. Returns whether the function has counted an hour."""
    row = execute(_MISSING, []).fetchone()
    if row is None:
        return False
    execute(_COUNT, [row[0], row[0], row[0]])
    execute(_FORGET, [])
    return True
