"""All statements on the outbox's tables that run often."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from hub.database import execute
from hub.outbox.messages import Outgoing

_APPEND = """
    INSERT INTO outbox_message (destination_id, method, path, headers, body, subject, kind, signed_by_hub, reply_to_id,
                                error_path)
    SELECT destination, method, path, headers::jsonb, body, subject, kind, signed_by_hub, reply_to, error_path
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::boolean[],
                %s::bigint[], %s::text[])
         AS m (destination, method, path, headers, body, subject, kind, signed_by_hub, reply_to, error_path)
"""


def append(messages: Sequence[Outgoing]) -> None:
    """Adds these messages in the caller's transaction, by one statement."""
    if not messages:
        return
    execute(_APPEND, _columns(messages))


def append_about(changed: str, parameters: Sequence[Any], messages: Sequence[Outgoing]) -> set[str]:
    """Changes something and adds the messages about it by one statement, so outside a transaction it is one itself.

    `changed` is the text of a WITH whose last table has that name and a column `subject`. A message about what is not
    among these subjects is not added; returns them.
    """
    statement = f"""
        WITH {changed}, told AS ({_APPEND} WHERE m.subject IN (SELECT subject FROM changed))
        SELECT subject FROM changed
    """  # noqa: S608 (both are constants)
    return {row[0] for row in execute(statement, [*parameters, *_columns(messages)])}


def _columns(messages: Sequence[Outgoing]) -> list[list[Any]]:
    return [
        [m.destination_id for m in messages],
        [m.method for m in messages],
        [m.path for m in messages],
        [orjson.dumps(m.headers).decode() for m in messages],
        [m.body for m in messages],
        [m.subject for m in messages],
        [m.kind for m in messages],
        [m.signed_by_hub for m in messages],
        [m.reply_to_id for m in messages],
        [m.error_path for m in messages],
    ]


@dataclass(slots=True)
class Claimed:
    """A message that this worker holds for the time of its lease."""

    id: int
    destination_id: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    subject: str
    kind: str
    signed_by_hub: bool
    reply_to_id: int | None
    error_path: str | None
    attempts: int
    age_s: float
    lease: datetime
    endpoints_version: int = 0  # of the destination, when the message was claimed


# A message whose predecessor (same subject, same destination) is still to be delivered waits for it. That one is asked
# for by "not dead" and "+ 0", which leave PostgreSQL only the index by subject. By the index of what is pending, or by
# the primary key, it would read all of a destination's messages, or all before this one, for each of them; and what it
# knows of a table that is empty at night does not warn it.
_CLAIM = """
    WITH claim AS MATERIALIZED (
        SELECT due.id
        FROM unnest(%s::bigint[], %s::int[]) AS wanted (destination_id, room)
        CROSS JOIN LATERAL (
            SELECT m.id FROM outbox_message m
            WHERE m.destination_id = wanted.destination_id AND m.state = 'PENDING' AND m.due_at <= clock_timestamp()
              AND (m.leased_until IS NULL OR m.leased_until < clock_timestamp())
              AND NOT EXISTS (SELECT FROM outbox_message earlier
                              WHERE earlier.destination_id = m.destination_id AND earlier.subject = m.subject
                                AND earlier.id + 0 < m.id AND earlier.state <> 'DEAD')
            ORDER BY m.due_at LIMIT wanted.room FOR NO KEY UPDATE SKIP LOCKED
        ) due
    )
    UPDATE outbox_message m
    SET leased_until = clock_timestamp() + make_interval(secs => %s), attempts = m.attempts + 1
    FROM claim WHERE m.id = claim.id
    RETURNING m.id, m.destination_id, m.method, m.path, m.headers, m.body, m.subject, m.kind, m.signed_by_hub,
              m.reply_to_id, m.error_path, m.attempts,
              extract(epoch FROM clock_timestamp() - m.created_at)::float8, m.leased_until,
              (SELECT p.endpoints_version FROM participants_participant p WHERE p.id = m.destination_id)
"""


def claim(room: Mapping[int, int], *, lease_s: int) -> list[Claimed]:
    """Takes due messages for `lease_s` seconds, oldest first, of each destination as many as it has room for.

    Other workers pass over what is taken.
    """
    rows = execute(_CLAIM, [list(room), list(room.values()), lease_s]).fetchall()
    # Django's connections leave JSON as text.
    claimed = [Claimed(*(*row[:4], orjson.loads(row[4]), *row[5:])) for row in rows]
    return sorted(claimed, key=lambda message: message.id)


_DELIVERED = """
    WITH gone AS (
        DELETE FROM outbox_message m USING unnest(%s::bigint[], %s::int[]) AS d (id, status)
        WHERE m.id = d.id
        RETURNING m.id, m.destination_id, m.method, m.path, m.subject, m.kind, m.created_at, m.attempts, d.status
    )
    INSERT INTO outbox_delivery (message_id, destination_id, method, path, subject, kind, created_at, attempts, status,
                                 delivered_at)
    SELECT gone.*, clock_timestamp() FROM gone
    ON CONFLICT (message_id) DO NOTHING
"""


def delivered(outcomes: Collection[tuple[int, int]]) -> None:
    """Moves delivered messages, given as (message id, HTTP status), out of the queue."""
    if outcomes:
        execute(_DELIVERED, [[message_id for message_id, _ in outcomes], [status for _, status in outcomes]])


# Only the holder of the lease settles: a worker that slept past it must not undo what its successor did.
_POSTPONE = """
    UPDATE outbox_message m
    SET leased_until = NULL, due_at = clock_timestamp() + make_interval(secs => f.delay_s), last_error = f.error,
        state = CASE WHEN f.is_dead THEN 'DEAD' ELSE m.state END
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::text[], %s::boolean[])
         AS f (id, lease, delay_s, error, is_dead)
    WHERE m.id = f.id AND m.leased_until = f.lease
    RETURNING m.id
"""


@dataclass(slots=True)
class Failure:
    """An attempt that came to nothing: when to try again, or that there will be no other."""

    message: Claimed
    delay_s: float
    error: str
    is_dead: bool


def postpone(failures: Sequence[Failure]) -> set[int]:
    """Puts failed messages back, or among the dead; returns the ids of those that were still this worker's."""
    if not failures:
        return set()
    rows = execute(
        _POSTPONE,
        [
            [failure.message.id for failure in failures],
            [failure.message.lease for failure in failures],
            [failure.delay_s for failure in failures],
            [failure.error[:512] for failure in failures],
            [failure.is_dead for failure in failures],
        ],
    ).fetchall()
    return {row[0] for row in rows}


_DUE = """
    SELECT DISTINCT destination_id FROM outbox_message
    WHERE state = 'PENDING' AND due_at <= clock_timestamp()
      AND (leased_until IS NULL OR leased_until < clock_timestamp())
"""


def destinations_with_work() -> list[int]:
    """The destinations that have a message due now."""
    return [row[0] for row in execute(_DUE, [])]
