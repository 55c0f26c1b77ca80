"""The counters for a payee: the payments that the payee sent or received, and the reports about the payee. The counters
are rounded, so that no DFSP can infer single payments.

This module counts the DFSPs that have filed a marker about the payee. The app `rules.profiles` calls
`payments_come_from` to add the counters of payments.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hub.sql_execution import execute

HOURS = (72, 720, 4320)
"""Three days, thirty days and six months."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many events of one kind happened in the last `hours` hours."""

    name: str
    hours: int
    number: int


Payments = Callable[[int, Sequence[int]], Iterable[Count]]
"""A function that counts a party's payments. The function returns one count for each of the given numbers of hours."""

_payments: list[Payments] = []

_REPORTS = """
    SELECT hours, count(DISTINCT coalesce(m.filed_by_id, 0)) FILTER (
        WHERE m.filed_at >= clock_timestamp() - make_interval(hours => hours))
    FROM unnest(%s::int[]) AS h (hours) LEFT JOIN rules_markers_marker m ON m.key = %s AND m.lifted_at IS NULL
    GROUP BY hours ORDER BY hours
"""


def payments_come_from(payments: Payments) -> None:
    """Adds a function that counts a party's payments. The hub uses the function for the signals about the party."""
    _payments.append(payments)


def of_party(key: int) -> list[Count]:
    """Returns the counters of a party: how many DFSPs have reported the party, and how many payments the party sent and
    received."""
    found = [Count("REPORTS", hours, number) for hours, number in execute(_REPORTS, [list(HOURS), key])]
    return found + [count for payments in _payments for count in payments(key, HOURS)]


def rounded(number: int) -> int:
    """Returns the number rounded down to 0, 1, 2, 5, 10, 20, 50, 100 and so on."""
    if number <= 0:
        return 0
    power: int = 10 ** (len(str(number)) - 1)
    return next(power * step for step in (5, 2, 1) if power * step <= number)
