"""Queries about the outbox. Apps that wait for deliveries, operators' pages and monitoring use these queries."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Max, QuerySet

from hub.outbox import claims
from hub.outbox.models import Delivery, Message
from hub.sql_execution import found_by_keys


def not_taken(*, to: Collection[int], about: Collection[str]) -> dict[tuple[int, int, str, str], datetime]:
    """Finds requests that are about these subjects, and that wait in the outbox or were given up. For each key
    (requester, destination, subject, state), returns the time of the newest request. The key contains the requester,
    because two requesters can use the same id.
    """
    rows = Message.objects.filter(destination_id__in=to, subject__in=about, reply_to__isnull=False).order_by()
    found = rows.values_list("reply_to_id", "destination_id", "subject", "state").annotate(since=Max("created_at"))
    return {(requester_id, to_id, subject, state): since for requester_id, to_id, subject, state, since in found}


_FEW = 20_000
_ABOUT = "SELECT message_id FROM outbox_delivery WHERE subject = ANY(%s::text[]) LIMIT %s"


def delivered_about(subjects: Collection[str]) -> QuerySet[Delivery]:
    """Returns the delivered messages about these subjects, for callers that read only the latest.

    There is no index for subject and time together. PostgreSQL would read the messages backwards from the newest one
    until it has found enough, so all messages of the hub if only a few are about these subjects. So this function first
    reads the keys of a limited number of messages by the index of subjects. Only if there are more messages, it leaves
    the choice to PostgreSQL, which then finds enough among the newest.
    """
    keys = [row[0] for row in found_by_keys(_ABOUT, [list(subjects), _FEW + 1])]
    if len(keys) <= _FEW:
        return Delivery.objects.filter(pk__in=keys)
    return Delivery.objects.filter(subject__in=subjects)


COUNTED = 10_000
"""The hub counts the messages for one destination only up to this number. A page must not read a million rows only to
show a number."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of one participant: the messages that the participant has not received yet. `pending` and `dead` are at
    most `COUNTED`."""

    destination_id: int
    destination: str
    pending: int
    dead: int
    oldest: datetime | None  # when the oldest of the counted pending messages was created
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
        FROM (SELECT FROM outbox_message WHERE destination_id = p.id AND state = 'DEAD' AND put_aside_at IS NULL
              LIMIT %s) counted
    ) given_up
    WHERE (%s::bigint IS NULL OR p.id = %s::bigint) AND (waiting.pending > 0 OR given_up.dead > 0)
    ORDER BY p.name
"""


def queues(destination_id: int | None = None) -> list[Queue]:
    """Returns the queues that contain pending or given-up messages, in the order of the participants' names. With
    `destination_id`, returns only this participant's queue."""
    # If most rows are messages to one participant, PostgreSQL would otherwise read the whole table for each other one.
    rows = found_by_keys(_QUEUES, [COUNTED, COUNTED, destination_id, destination_id])
    return [Queue(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Crowd:
    """A participant that has caused too many waiting messages for one destination. The hub refuses the participant's
    requests to this destination with 429.
    """

    source: str
    destination: str


def crowds() -> list[Crowd]:
    """Returns all participants that have caused too many waiting messages for one destination."""
    return [Crowd(*names) for names in sorted(claims.crowded(settings.OUTBOX_PENDING_PER_SOURCE))]
