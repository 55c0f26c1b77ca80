"""The counts of a party's payments, for the signals that DFSPs can request: see `rules.signals.payee_counters`."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rules.profiles import features, store
from rules.profiles.counted_payments import microseconds
from rules.profiles.events_and_buckets import Direction
from rules.signals.payee_counters import Count

_NAMES = {Direction.SENT: "SENT", Direction.RECEIVED: "RECEIVED"}


def of_party(key: int, hours: Sequence[int]) -> Iterable[Count]:
    """For each of these periods in hours, returns how many payments the party sent and received in the period that ends
    now. Counts all currencies, but no refunds.

    If the period is long, the numbers can include all payments of the day or month in which the period begins.
    """
    profile, now = store.read([key])[key], datetime.now(UTC)
    for direction, name in _NAMES.items():
        for each in hours:
            since = microseconds(now - timedelta(hours=each))
            yield Count(name, each, features.count_in_all_currencies(profile, direction, since))
