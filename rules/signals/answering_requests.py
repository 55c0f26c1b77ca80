"""Answers a DFSP's request for signals about a payee, and logs the access."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub.sql_execution import execute
from rules.markers.matches import CONFIRMED, markers
from rules.signals import payee_counters, token_buckets
from rules.signals.payee_counters import Count

BUCKET = "signals"
UNKNOWN_COSTS = 5
"""A request about an unknown party costs this many tokens, because a requester that guesses numbers sends many requests
about unknown parties."""
_MOST_MARKERS = 50


@dataclass(frozen=True, slots=True)
class Known:
    """The hub's data about a payee."""

    markers: list[tuple[int, str, datetime]]  # each marker's number, kind and time of filing
    is_confirmed: bool
    counts: list[Count]

    @property
    def is_known(self) -> bool:
        return bool(self.markers) or any(count.number for count in self.counts)


_MARKERS = """
    SELECT id, kind, filed_at FROM rules_markers_marker WHERE key = %s AND lifted_at IS NULL ORDER BY id DESC LIMIT %s
"""
_LOG = """
    INSERT INTO rules_signals_signalaccess (at, participant_id, key, is_known, markers)
    VALUES (clock_timestamp(), %s, %s, %s, %s)
"""


@transaction.atomic
def ask(key: int, *, participant_id: int) -> Known:
    """Returns the hub's data about a party, and logs the access in the same database transaction.

    Raises FspiopError 2005, with HTTP status 429, if the DFSP has no token left.
    """
    _take(participant_id, 1)
    known = Known(
        markers=[(number, kind, at) for number, kind, at in execute(_MARKERS, [key, _MOST_MARKERS])],
        is_confirmed=CONFIRMED in markers([key]).get(key, ()),
        counts=payee_counters.of_party(key),
    )
    if not known.is_known:
        _take(participant_id, UNKNOWN_COSTS - 1, is_owed=True)
    execute(_LOG, [participant_id, key, known.is_known, len(known.markers)])
    return known


def _take(participant_id: int, cost: int, *, is_owed: bool = False) -> None:
    if not token_buckets.take(
        participant_id,
        BUCKET,
        cost=cost,
        most=settings.SIGNALS_AT_ONCE,
        per_s=settings.SIGNALS_PER_MINUTE / 60,
        least=float("-inf") if is_owed else None,
    ):
        raise FspiopError(ErrorCode.SERVER_BUSY, "too many requests for signals", http_status=429)
