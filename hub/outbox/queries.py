"""Reads of the outbox for who waits for what it delivers, and for who watches it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q

from hub.outbox.models import Message


def not_taken(*, to: Collection[int], about: Collection[str]) -> dict[tuple[int, str, str], datetime]:
    """Since when messages about these subjects wait or are given up: by destination, subject and state."""
    rows = Message.objects.filter(destination_id__in=to, subject__in=about).order_by()
    found = rows.values_list("destination_id", "subject", "state").annotate(since=Max("created_at"))
    return {(destination_id, subject, state): since for destination_id, subject, state, since in found}


@dataclass(frozen=True, slots=True)
class Queue:
    """What one participant has still to be told."""

    destination_id: int
    destination: str
    pending: int
    dead: int
    oldest: datetime | None  # of the pending
    most_attempts: int


def queues(destination_id: int | None = None) -> list[Queue]:
    """Of each participant that something waits for, or was given up, by name; or of one."""
    is_pending, is_dead = Q(state=Message.State.PENDING), Q(state=Message.State.DEAD)
    messages = Message.objects.order_by("destination__name")
    if destination_id is not None:
        messages = messages.filter(destination_id=destination_id)
    rows = messages.values_list("destination_id", "destination__name").annotate(
        pending=Count("id", filter=is_pending),
        dead=Count("id", filter=is_dead),
        oldest=Min("created_at", filter=is_pending),
        most_attempts=Max("attempts", filter=is_pending),
    )
    return [
        Queue(destination_id, name, pending, dead, oldest, most_attempts or 0)
        for destination_id, name, pending, dead, oldest, most_attempts in rows
    ]
