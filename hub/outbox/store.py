"""The frequent SQL statements on the outbox's tables."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.crypto import salted_hmac

from hub.outbox.claims import Claimed
from hub.outbox.messages import IfPending, Outgoing
from hub.sql_execution import execute
from hub.sweeps.store import not_skipped

OVERDUE = "undeliverable"  # the batch in which the hub gives up requests that it could not deliver in time

_INSERT = """
    INSERT INTO outbox_message (destination_id, method, path, headers, body, subject, kind, signed_by_hub, reply_to_id,
                                error_path, source_id)
    SELECT destination, method, path, headers::jsonb, body, subject, kind, signed_by_hub, reply_to, error_path, source
"""
_MESSAGES = """
    unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::boolean[],
           %s::bigint[], %s::text[], %s::bigint[], %s::text[])
"""
_COLUMNS = """
    (destination, method, path, headers, body, subject, kind, signed_by_hub, reply_to, error_path, source, if_pending)
"""
_APPEND = f"{_INSERT} FROM {_MESSAGES} AS m {_COLUMNS}"

# The statements in this module must be fast even if PostgreSQL's statistics are from a time when the queue was nearly
# empty. If PostgreSQL expects two rows but the table has forty thousand rows, a join can read all rows again for each
# row. So the statements find known ids by `id = ANY(...)`, never only by a join. They find the next message of a
# subject by conditions on all columns of the index.

# The statement does not replace a message that a courier has claimed, because the courier is already sending the
# message.
_APPEND_OR_RENEW = f"""
    WITH new AS MATERIALIZED (
        SELECT * FROM {_MESSAGES} WITH ORDINALITY AS m {_COLUMNS.strip()[:-1]}, number)
    ), pending AS MATERIALIZED (
        SELECT new.number, waiting.id
        FROM new CROSS JOIN LATERAL (
            SELECT w.id FROM outbox_message w
            WHERE w.destination_id = new.destination AND w.subject = new.subject AND w.state <> 'DEAD'
              AND w.kind = new.kind AND w.path = new.path
              AND (w.leased_until IS NULL OR w.leased_until < statement_timestamp())
            LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
        ) waiting
        WHERE new.if_pending <> 'add'
    ), renewed AS (
        UPDATE outbox_message w
        SET headers = new.headers::jsonb, body = new.body, signed_by_hub = new.signed_by_hub, attempts = 0,
            reply_to_id = new.reply_to, error_path = new.error_path, source_id = new.source,
            created_at = statement_timestamp(), due_at = statement_timestamp()
        FROM new JOIN pending USING (number)
        WHERE w.id = ANY(ARRAY(SELECT pending.id FROM pending)) AND w.id = pending.id AND new.if_pending = 'renew'
    )
    {_INSERT} FROM new AS m WHERE NOT EXISTS (SELECT FROM pending WHERE pending.number = m.number)
    ORDER BY m.number
"""  # noqa: S608 (put together from constants)


def append(messages: Sequence[Outgoing]) -> None:
    """Adds these messages in the caller's database transaction, by one SQL statement. If a similar message already
    waits, `IfPending` decides: both messages are delivered, the new message replaces the waiting message, or the new
    message is dropped.
    """
    if not messages:
        return
    is_plain = all(message.if_pending is IfPending.ADD for message in messages)
    execute(_APPEND if is_plain else _APPEND_OR_RENEW, _columns(messages))


def append_about(changed: str, parameters: Sequence[Any], messages: Sequence[Outgoing]) -> set[str]:
    """Changes rows and adds the messages about the changed rows, in one SQL statement. The statement is atomic even if
    no database transaction is open. The argument `changed` contains the tables of a WITH clause. The last table must be
    named `changed` and must have a column `subject`. The function adds only messages whose subjects are in this column,
    and returns all subjects in the column. The function adds the messages in the same way as `IfPending.ADD`.
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
        [m.source_id for m in messages],
        [m.if_pending.value for m in messages],
    ]


# Makes the next message of the same subject to the same destination due, because it was perhaps postponed (see
# `claims._LEASE`). The new due time is one second before the message's creation. So this message comes before later
# messages of the subject, even if thousands of them have the same time of creation.
_NEXT = """
    next AS MATERIALIZED (
        SELECT successor.id, successor.destination_id
        FROM gone CROSS JOIN LATERAL (
            SELECT n.id, n.destination_id, n.subject FROM outbox_message n
            WHERE (n.destination_id, n.subject, n.id) > (gone.destination_id, gone.subject, gone.id)
              AND n.state <> 'DEAD'
            ORDER BY n.destination_id, n.subject, n.id LIMIT 1
        ) successor
        WHERE successor.destination_id = gone.destination_id AND successor.subject = gone.subject
    ), let_go AS (
        UPDATE outbox_message m SET due_at = least(m.due_at, m.created_at - interval '1 second')
        WHERE m.id = ANY(ARRAY(SELECT next.id FROM next))
    )
"""
# If the subject is a digest, the path contains a customer's identifier (`hub.api.forwarding.subject_of`).
_HAS_ALIAS = "subject ~ '^[0-9a-f]+$' AND length(subject) = 64"
_DELIVERED = f"""
    WITH gone AS (
        DELETE FROM outbox_message m USING unnest(%s::bigint[], %s::int[]) AS d (id, status)
        WHERE m.id = ANY(%s::bigint[]) AND m.id = d.id
        RETURNING m.id, m.destination_id, m.method, m.path, m.subject, m.kind, m.created_at, m.attempts, d.status
    ), {_NEXT}, no_wait AS MATERIALIZED (
        SELECT set_config('synchronous_commit', 'off', true)
    ), kept AS (
        SELECT gone.id, CASE WHEN {_HAS_ALIAS} THEN encode(sha256(%s::bytea || convert_to(subject, 'UTF8')), 'hex')
                             END AS digest
        FROM gone CROSS JOIN no_wait
    ), recorded AS (
        INSERT INTO outbox_delivery (message_id, destination_id, method, path, subject, kind, created_at, attempts,
                                     status, delivered_at)
        SELECT gone.id, gone.destination_id, gone.method,
               CASE WHEN kept.digest IS NULL THEN gone.path
                    ELSE coalesce(substring(gone.path FROM '^/[a-z]+/[A-Z_]+/'), '/') || kept.digest
                         || coalesce(substring(gone.path FROM '/error$'), '') END,
               coalesce(kept.digest, gone.subject), gone.kind, gone.created_at, gone.attempts, gone.status,
               clock_timestamp()
        FROM gone JOIN kept USING (id)
        ON CONFLICT (message_id) DO NOTHING
    )
    SELECT destination_id FROM next
"""  # noqa: S608 (put together from constants)


def delivered(outcomes: Collection[tuple[int, int]]) -> set[int]:
    """Removes delivered messages from the queue and records the deliveries. `outcomes` contains a pair for each
    message: the message's id, and the HTTP status of the response. Returns the destinations at which another message
    waited for one of these deliveries.
    """
    if not outcomes:
        return set()
    ids, statuses = [message_id for message_id, _ in outcomes], [status for _, status in outcomes]
    return {row[0] for row in execute(_DELIVERED, [ids, statuses, ids, _digest_key()])}


def _digest_key() -> bytes:
    """Returns the secret key with which digests of subjects are computed. Without a secret key, anybody with a copy of
    the table could find telephone numbers by computing the digests of all numbers.
    """
    return salted_hmac("outbox.delivery", "alias", algorithm="sha256").digest()


def kept_subject(subject: str) -> str:
    """Returns the text that replaces the subject in the record of a delivery, if the subject stands for a party's
    identifier."""
    return hashlib.sha256(_digest_key() + subject.encode()).hexdigest()


# Only the worker whose lease is stored can store a failure. If another worker has claimed the message meanwhile, the
# first worker must not overwrite the other worker's result.
_POSTPONE = f"""
    WITH postponed AS (
        UPDATE outbox_message m
        SET leased_until = NULL, due_at = clock_timestamp() + make_interval(secs => f.delay_s),
            last_error = CASE WHEN f.is_attempt THEN f.error ELSE m.last_error END,
            attempts = m.attempts - CASE WHEN f.is_attempt THEN 0 ELSE 1 END,
            state = CASE WHEN f.is_dead THEN 'DEAD' ELSE m.state END
        FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::text[], %s::boolean[], %s::boolean[])
             AS f (id, lease, delay_s, error, is_dead, is_attempt)
        WHERE m.id = ANY(%s::bigint[]) AND m.id = f.id AND m.leased_until = f.lease
        RETURNING m.id, m.destination_id, m.subject, f.is_dead
    ), gone AS (
        SELECT id, destination_id, subject FROM postponed WHERE is_dead
    ), {_NEXT}
    SELECT id FROM postponed
"""  # noqa: S608 (put together from constants)


@dataclass(slots=True)
class Failure:
    """A message that was not delivered, with the time until the next attempt, or with the decision to give up.

    If `is_attempt` is false, the courier has not sent the message and only postpones it.
    """

    message: Claimed
    delay_s: float
    error: str
    is_dead: bool
    is_attempt: bool = True


def postpone(failures: Sequence[Failure]) -> set[int]:
    """Postpones failed messages or marks them as dead. Skips messages on which this worker no longer has a claim, and
    returns the ids of all other messages."""
    if not failures:
        return set()
    ids = [failure.message.id for failure in failures]
    rows = execute(
        _POSTPONE,
        [
            ids,
            [failure.message.lease for failure in failures],
            [failure.delay_s for failure in failures],
            [failure.error[:512] for failure in failures],
            [failure.is_dead for failure in failures],
            [failure.is_attempt for failure in failures],
            ids,
        ],
    ).fetchall()
    return {row[0] for row in rows}


# A message that a courier has claimed is not overdue, because the courier's attempt can still succeed.
_IS_OVERDUE = """
    m.state = 'PENDING' AND m.created_at < statement_timestamp() - make_interval(secs => %s)
    AND (m.leased_until IS NULL OR m.leased_until < statement_timestamp())
"""
# Each call takes only a limited number of requests from each requester: first one request of each requester, then a
# second request of each requester, and so on (as `hub.fair_overdue_rows` does). So thousands of requests of some
# requesters do not delay the error callbacks to other requesters.
_OVERDUE = f"""
    SELECT late.id
    FROM participants_participant requester
    CROSS JOIN LATERAL (
        SELECT m.id, m.created_at, row_number() OVER (ORDER BY m.created_at) AS turn FROM outbox_message m
        WHERE m.reply_to_id = requester.id AND {_IS_OVERDUE} AND {not_skipped(OVERDUE, "m.id")}
        ORDER BY m.created_at LIMIT %s
    ) late
    ORDER BY late.turn, late.created_at
    LIMIT %s
"""  # noqa: S608 (put together from constants)
_GIVE_UP = f"""
    WITH overdue AS MATERIALIZED (
        SELECT late.id FROM unnest(%s::bigint[]) AS wanted (id) CROSS JOIN LATERAL (
            SELECT m.id FROM outbox_message m WHERE m.id = wanted.id AND {_IS_OVERDUE}
            LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
        ) late
    ), gone AS (
        UPDATE outbox_message m
        SET state = 'DEAD', leased_until = NULL,
            last_error = CASE WHEN m.attempts = 0 THEN 'not delivered in time' ELSE m.last_error END
        WHERE m.id = ANY(ARRAY(SELECT overdue.id FROM overdue))
        RETURNING m.id, m.destination_id, m.method, m.path, m.headers ->> 'accept' AS accept,
                  m.headers ->> 'content-type' AS content_type, m.subject, m.reply_to_id, m.error_path
    ), {_NEXT}
    SELECT method, path, accept, content_type, subject, reply_to_id, error_path FROM gone
"""  # noqa: S608 (put together from constants)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The parts of a given-up request that the error callback to the requester needs. The record does not contain the
    body, and `headers` contains only the headers with the API version.
    """

    method: str
    path: str
    headers: dict[str, str]
    subject: str
    reply_to_id: int
    error_path: str


def overdue(*, older_than_s: float, most_of_one: int, most: int) -> list[str]:
    """Returns the ids of requests that have waited longer than `older_than_s`, one request of each requester in turn.
    Leaves out requests that the batch skips now."""
    return [str(row[0]) for row in execute(_OVERDUE, [older_than_s, most_of_one, most])]


def give_up(message_ids: Sequence[str], *, older_than_s: float) -> list[GivenUp]:
    """Marks these requests as dead, unless they were delivered or claimed meanwhile. Returns the marked requests."""
    ids = [int(message_id) for message_id in message_ids]
    rows = execute(_GIVE_UP, [ids, older_than_s]).fetchall()
    return [
        GivenUp(method, path, _named(accept=accept, content_type=content_type), *others)
        for method, path, accept, content_type, *others in rows
    ]


def _named(**headers: str | None) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
