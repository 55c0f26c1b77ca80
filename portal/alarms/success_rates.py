"""Compares each bank's success rate in the last minutes with the same bank's rate in the last week (from
`portal.history`)."""

import math
from dataclasses import dataclass

from hub.sql_execution import execute
from portal.history import PAYEE, PAYER

RECENT_MINUTES = 15
LEAST_NOW, LEAST_NORMAL = 20, 100  # with fewer payments, a rate is not meaningful
_LEAST_DROP = 0.05
_DEVIATIONS = 4.0

# The index transfer_by_arrival limits the read to the payments that arrived in these minutes.
_NOW = """
    SELECT bank, side, count(*), count(*) FILTER (WHERE state = 'COMMITTED')
    FROM ledger_transfer t CROSS JOIN LATERAL (VALUES (t.payer_id, 'PAYER'), (t.payee_id, 'PAYEE')) AS of (bank, side)
    WHERE t.received_at >= clock_timestamp() - make_interval(mins => %s) AND t.state IN ('COMMITTED', 'ABORTED')
      AND bank IS NOT NULL
    GROUP BY bank, side
"""
# The SQL statement reads rows of the history: whole days of the last week, and today's hours. Payments of the last ten
# minutes can still be open.
_NORMAL = f"""
    WITH today AS (SELECT date_trunc('day', clock_timestamp(), time_zone) AS begins
                   FROM portal_historymark WHERE source = 'transfer'),
    counted AS (
        SELECT h.* FROM today JOIN portal_historyrow h ON h.source = 'transfer' AND h.grain = 'day'
            AND h.scope IN ({PAYER}, {PAYEE}) AND h.at >= today.begins - interval '7 days' AND h.at < today.begins
        UNION ALL
        SELECT h.* FROM today JOIN portal_historyrow h ON h.source = 'transfer' AND h.grain = 'hour'
            AND h.scope IN ({PAYER}, {PAYEE}) AND h.at >= today.begins
            AND h.at < clock_timestamp() - interval '70 minutes')
    SELECT CASE scope WHEN {PAYER} THEN payer_id ELSE payee_id END AS bank,
           CASE scope WHEN {PAYER} THEN 'PAYER' ELSE 'PAYEE' END AS side, sum(ended)::bigint, sum(succeeded)::bigint
    FROM counted GROUP BY bank, side
"""  # noqa: S608 (our own words)
_NAMES = "SELECT id, name FROM participants_participant WHERE id = ANY(%s::bigint[]) AND NOT is_hub"


@dataclass(frozen=True, slots=True)
class Drop:
    """A bank whose success rate is below this bank's normal rate. The rates are percentages."""

    participant: str
    side: str
    now: float
    normal: float
    count: int


def is_below_normal(*, ended: int, committed: int, normally_ended: int, normally_committed: int) -> bool:
    """Returns whether the success rate is too low. Two things must be true: the rate is more than five points below the
    normal rate, and chance cannot explain the difference."""
    if ended < LEAST_NOW or normally_ended < LEAST_NORMAL:
        return False
    now, normal = committed / ended, normally_committed / normally_ended
    by_chance = _DEVIATIONS * math.sqrt(max(normal * (1 - normal), 0.02) / ended)
    return normal - now > max(_LEAST_DROP, by_chance)


def drops() -> list[Drop]:
    """Returns the banks whose success rate is below the bank's normal rate. Runs at most three SQL statements."""
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
