"""Writes and checks the audit trail."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from fspiop import strictjson
from hub.audit import Change
from hub.audit.models import Entry

_CHAIN_LOCK = 0x4B49_0002  # only one writer at a time, so that two entries never have the same predecessor
_GENESIS = bytes(32)


def _hash(entry: Entry) -> bytes:
    content = {
        "at": entry.at.astimezone(UTC).isoformat(),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
    }
    if entry.address is not None:  # older entries have no address, and their stored hashes must stay valid
        content["address"] = entry.address
    return hashlib.sha256(bytes(entry.previous_hash) + strictjson.canonical(content)).digest()


def record(action: str, *, subject: str, actor: str, before: Any = None, after: Any = None, address: str = "") -> Entry:
    """Adds one entry in the caller's database transaction. So the entry is committed only together with its change."""
    return record_all([Change(action, subject, before, after)], actor=actor, address=address)[0]


@transaction.atomic
def record_all(changes: Sequence[Change], *, actor: str, address: str = "") -> list[Entry]:
    """Adds one entry for each change, in the order of the list. The number of SQL statements does not depend on the
    number of changes.

    Locks the audit trail until the caller's database transaction ends. So the caller must acquire all its other locks
    before it locks the audit trail.
    """
    if not changes:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
    last = Entry.objects.order_by("-id").values_list("hash", flat=True).first()
    previous = bytes(last) if last is not None else _GENESIS
    entries = []
    for change in changes:
        entry = Entry(
            at=datetime.now(UTC),
            actor=actor,
            address=address or None,
            action=change.action,
            subject=change.subject,
            before=change.before,
            after=change.after,
            previous_hash=previous,
        )
        entry.hash = previous = _hash(entry)
        entries.append(entry)
    Entry.objects.bulk_create(entries)
    ids = [entry.pk for entry in entries]
    assert ids == sorted(ids), "the ids of audit entries do not follow their chain"
    return entries


def broken_links() -> Iterator[Entry]:
    """Finds entries that somebody has changed, and entries whose hash does not match the previous entry."""
    previous = _GENESIS
    # Reads the values of the entries as text. If Python had to parse the values, one unreadable value would prevent the
    # check of all other entries.
    values = {"before_text": Cast("before", TextField()), "after_text": Cast("after", TextField())}
    entries = Entry.objects.defer("before", "after").annotate(**values).order_by("id")
    for entry in entries.iterator(chunk_size=1000):
        if bytes(entry.previous_hash) != previous or not _is_as_written(entry):
            yield entry
        previous = bytes(entry.hash)


def _is_as_written(entry: Any) -> bool:
    try:
        entry.before, entry.after = _loaded(entry.before_text), _loaded(entry.after_text)
        return _hash(entry) == bytes(entry.hash)
    except (ValueError, RecursionError):
        return False


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)
