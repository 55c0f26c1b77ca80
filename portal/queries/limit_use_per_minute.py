"""Stores and reads how much of each limit was in use, for each of the last minutes. Each minute, a tick stores the used
part of each limit."""

from hub.sql_execution import execute
from portal.queries import positions

MINUTES = 30

_STORE = """
    INSERT INTO portal_limituse (account_id, minute, percent)
    SELECT u.account, date_trunc('minute', clock_timestamp()), u.percent
    FROM unnest(%s::bigint[], %s::int[]) AS u (account, percent)
    ON CONFLICT (minute, account_id) DO UPDATE SET percent = EXCLUDED.percent
"""
_FORGET = "DELETE FROM portal_limituse WHERE minute < clock_timestamp() - interval '2 hours'"
_READ = """
    SELECT account_id, extract(epoch FROM minute)::bigint, percent FROM portal_limituse
    WHERE minute >= clock_timestamp() - make_interval(mins => %s) AND account_id = ANY(%s::bigint[])
"""


def store() -> int:
    """Stores the present use of each limit for the present minute. Returns the number of positions."""
    found = positions.standings()
    execute(_STORE, [[s.position_account.pk for s in found], [s.used_percent for s in found]])
    execute(_FORGET, [])
    return len(found)


def latest(account_ids: list[int]) -> dict[int, dict[int, int]]:
    """Returns the percentages for these accounts, by account and by the start of the minute in seconds."""
    found: dict[int, dict[int, int]] = {account_id: {} for account_id in account_ids}
    for account_id, minute, percent in execute(_READ, [MINUTES, account_ids]):
        found[account_id][minute] = percent
    return found
