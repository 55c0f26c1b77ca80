"""Reads of the outbox for who waits for what it delivers, and for who watches it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Max

from hub.database import execute
from hub.outbox import store
from hub.outbox.models import Message


def not_taken(*, to: Collection[int], about: Collection[str]) -> dict[tuple[int, int, str, str], datetime]:
    """Since when requests about these subjects wait or are given up: by requester, destination, subject and state.

    By requester, since anybody may send a request about an id that it knows.
    """
    rows = Message.objects.filter(destination_id__in=to, subject__in=about, reply_to__isnull=False).order_by()
    found = rows.values_list("reply_to_id", "destination_id", "subject", "state").annotate(since=Max("created_at"))
    return {(requester_id, to_id, subject, state): since for requester_id, to_id, subject, state, since in found}


COUNTED = 10_000
"""Messages of one destination that are counted at most: a page must not read a million rows to say that many wait."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What one participant has still to be sent; numbers up to `COUNTED`."""

    destination_id: int
    destination: str
    pending: int
    dead: int
    oldest: datetime | None  # of the pending that were counted
    most_attempts: int


_QUEUES = """
    SELECT p.id, p.name, waiting.pending, given_up.dead, waiting.oldest, coalesce(waiting.attempts, 0)
    FROM participants_participant p
    CROSS JOIN LATERAL (
        SELECT count(*) AS pending, min(created_at) AS oldest, max(attempts) AS attempts
        FROM (SELECT created_at, attempts FROM outbox_message
              WHERE destination_id = p.id AND state = 'PENDING' LIMIT %s) counted
    ) waiting
    CROSS JOIN LATERAL (
        SELECT count(*) AS dead
        FROM (SELECT FROM outbox_message WHERE destination_id = p.id AND state = 'DEAD' LIMIT %s) counted
    ) given_up
    WHERE (%s::bigint IS NULL OR p.id = %s::bigint) AND (waiting.pending > 0 OR given_up.dead > 0)
    ORDER BY p.name
"""


def queues(destination_id: int | None = None) -> list[Queue]:
    """Of each participant that something waits for, or was given up, by name; or of one."""
    rows = execute(_QUEUES, [COUNTED, COUNTED, destination_id, destination_id])
    return [Queue(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many messages caused by one participant wait at another that its requests are refused (429)."""

    source: str
    destination: str


def crowds() -> list[Crowd]:
    """By names."""
    return [Crowd(*names) for names in sorted(store.crowded(settings.OUTBOX_PENDING_PER_SOURCE))]
