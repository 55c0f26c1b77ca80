"""The counts of a party's payments, for the signals that a DFSP may ask for (`rules.signals.counters`)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rules.profiles import features, store
from rules.profiles.counted_payments import microseconds
from rules.profiles.ring import Direction
from rules.signals.counters import Count

_NAMES = {Direction.SENT: "SENT", Direction.RECEIVED: "RECEIVED"}


def of_party(key: int, hours: Sequence[int]) -> Iterable[Count]:
    """Returns how many payments the party sent and received in the last hours, in all currencies, without refunds.

    Payments of the day or month in which a long time begins are counted too.
    """
    profile, now = store.read([key])[key], datetime.now(UTC)
    for direction, name in _NAMES.items():
        for each in hours:
            since = microseconds(now - timedelta(hours=each))
            yield Count(name, each, features.count_in_all_currencies(profile, direction, since))
