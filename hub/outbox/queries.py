"""Reads of the outbox for who waits for what it delivers."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Max

from hub.outbox.models import Message


def not_taken(*, to: Collection[int], about: Collection[str]) -> dict[tuple[int, str, str], datetime]:
    """Since when messages about these subjects wait or are given up: by destination, subject and state."""
    rows = Message.objects.filter(destination_id__in=to, subject__in=about).order_by()
    found = rows.values_list("destination_id", "subject", "state").annotate(since=Max("created_at"))
    return {(destination_id, subject, state): since for destination_id, subject, state, since in found}
