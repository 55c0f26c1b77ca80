"""The frequent SQL statements on the outbox's tables."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import orjson
from django.db import Error as DatabaseError
from django.db import transaction
from django.utils.crypto import salted_hmac
from psycopg.rows import TupleRow

from hub.outbox.messages import END_KINDS, HUB, IfPending, Outgoing
from hub.sql_execution import execute, is_away
from hub.sweeps.store import not_skipped

OVERDUE = "undeliverable"  # the batch that gives up requests that could not be delivered in time

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

# Each statement here finds rows with known ids by `id = ANY(...)`, never only by a join. It finds the next message of a
# subject by all columns of the index that PostgreSQL must use. The table is a queue, so PostgreSQL's statistics may be
# from a time when it was nearly empty. If PostgreSQL expects two rows but there are forty thousand, a join may read all
# of them for each row.

# A waiting message that a courier holds is not replaced, because it is being sent already.
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
    """Adds these messages in the caller's transaction, in one statement.

    A message may replace a waiting message, or be dropped because an equal message waits; see `IfPending`.
    """
    if not messages:
        return
    is_plain = all(message.if_pending is IfPending.ADD for message in messages)
    execute(_APPEND if is_plain else _APPEND_OR_RENEW, _columns(messages))


def append_about(changed: str, parameters: Sequence[Any], messages: Sequence[Outgoing]) -> set[str]:
    """Makes a change and adds the messages about it in one statement, which is atomic even without a transaction.

    `changed` is the text of a WITH. The last table of this WITH has the name `changed` and a column `subject`. A
    message is added only if its subject is in this column. Returns the subjects in the column. Messages are added as
    for `IfPending.ADD`.
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


@dataclass(slots=True)
class Claimed:
    """A message that this worker holds until its lease ends."""

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
    endpoints_version: int = 0  # the destination's version when the message was claimed
    source_id: int = HUB

    @property
    def is_end(self) -> bool:
        """Whether the message reports the outcome of a payment."""
        return self.kind in END_KINDS


def _sources_at(destination: str) -> str:
    """Returns SQL for the sources with pending messages at a destination.

    The SQL steps from source to source in the index.
    """
    return f"""
        WITH RECURSIVE source (id) AS (
            (SELECT s.source_id FROM outbox_message s
             WHERE s.destination_id = {destination} AND s.state = 'PENDING' ORDER BY s.source_id LIMIT 1)
            UNION ALL
            SELECT (SELECT s.source_id FROM outbox_message s
                    WHERE s.destination_id = {destination} AND s.state = 'PENDING' AND s.source_id > source.id
                    ORDER BY s.source_id LIMIT 1)
            FROM source WHERE source.id IS NOT NULL
        )"""  # noqa: S608 (a column's name)


# Chooses due messages. All sources with messages at a destination share its room, and each source's oldest messages
# come first. So no source waits behind thousands of messages of another source. `statement_timestamp()` limits the
# range of the index scan. `clock_timestamp()` would only filter the rows that were read.
_DUE = f"""
    SELECT due.id, due.destination_id, due.source_id, due.octets, sender.most
    FROM unnest(%s::bigint[], %s::int[]) AS wanted (destination_id, room)
    CROSS JOIN LATERAL (
        {_sources_at("wanted.destination_id")}
        SELECT source.id,
               least(ceil(wanted.room::float8 / count(*) OVER ()), %s - coalesce(busy.open_requests, 0))::int AS most
        FROM source LEFT JOIN unnest(%s::bigint[], %s::bigint[], %s::int[])
                              AS busy (destination_id, source_id, open_requests)
             ON busy.destination_id = wanted.destination_id AND busy.source_id = source.id
        WHERE source.id IS NOT NULL
    ) sender
    CROSS JOIN LATERAL (
        SELECT m.id, m.destination_id, m.source_id, octet_length(m.body) AS octets FROM outbox_message m
        WHERE m.destination_id = wanted.destination_id AND m.source_id = sender.id AND m.state = 'PENDING'
          AND m.due_at <= statement_timestamp()
          AND (m.leased_until IS NULL OR m.leased_until < statement_timestamp()) AND m.id <> ALL (%s::bigint[])
        ORDER BY m.due_at LIMIT greatest(sender.most, 0) FOR NO KEY UPDATE SKIP LOCKED
    ) due
"""  # noqa: S608 (put together from constants)

# A message with an undelivered predecessor (same subject, same destination) waits for the predecessor. So only the
# first message of a subject is leased, which is the first row in the index by subject.
#
# This must be a separate statement after the statement that took the locks. The delivery of a predecessor looks for the
# next message under the same lock. So either this statement no longer finds the predecessor, or the delivery finds the
# postponed message.
_LEASE = """
    UPDATE outbox_message m
    SET leased_until = clock_timestamp() + make_interval(secs => %s), attempts = m.attempts + 1
    WHERE m.id = ANY(%s::bigint[])
      AND m.id = (SELECT head.id FROM outbox_message head
                  WHERE (head.destination_id, head.subject, head.id) >= (m.destination_id, m.subject, 0)
                    AND head.state <> 'DEAD'
                  ORDER BY head.destination_id, head.subject, head.id LIMIT 1)
    RETURNING m.id, m.destination_id, m.method, m.path, m.headers, m.body, m.subject, m.kind, m.signed_by_hub,
              m.reply_to_id, m.error_path, m.attempts,
              extract(epoch FROM clock_timestamp() - m.created_at)::float8, m.leased_until,
              (SELECT p.endpoints_version FROM participants_participant p WHERE p.id = m.destination_id), m.source_id
"""

# Postpones messages that have a predecessor, so that a claim reads only messages that can be sent. The more a message
# has waited already, the longer it is postponed. The delivery of the predecessor ends the postponement. The time limit
# is only for the case that the delivery does not find the message.
_PUT_OFF = """
    UPDATE outbox_message m
    SET due_at = clock_timestamp()
                 + greatest(make_interval(secs => %s), least(clock_timestamp() - m.created_at, interval '1 day'))
    WHERE m.id = ANY(%s::bigint[])
"""
_BEHIND_S = 2.0

# The commit of a claim, or of deliveries, does not wait for the disk or a standby. If PostgreSQL loses it in a crash,
# the messages are sent once more, as after a crash between the sending and the commit. No report to a DFSP depends on
# such a commit. Every other commit of the hub waits for the disk.
_NO_WAIT = "SET LOCAL synchronous_commit TO off"


@dataclass(frozen=True, slots=True)
class Room:
    """The number of messages that a destination may be sent now, and the limit for the total bytes of their bodies."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Messages to be sent, and the destinations that may have more.

    `spoilt` are the ids of messages that the database could not return, even in a statement for one message.
    """

    messages: Sequence[Claimed]
    has_more: set[int]
    spoilt: Sequence[int] = ()


def claim(
    room: Mapping[int, Room],
    *,
    lease_s: int,
    most_of_one_source: int = 1_000_000,
    open_requests: Mapping[tuple[int, int], int] = MappingProxyType({}),
    except_for: Collection[int] = (),
    each_alone: bool = False,
) -> Claim:
    """Claims due messages for `lease_s` seconds.

    For each destination, claims as many messages as there is room for, and gives each source its share. `open_requests`
    has the number of open requests by (destination, source), and `most_of_one_source` is its limit. Messages whose ids
    are to be skipped are left out. Other workers leave out the claimed messages. Uses one transaction. `each_alone`
    claims each message in a separate statement, for a destination where one message makes the statement fail.
    """
    with transaction.atomic():
        execute(_NO_WAIT)
        due = execute(
            _DUE,
            [
                list(room),
                [each.messages for each in room.values()],
                most_of_one_source,
                [destination_id for destination_id, _ in open_requests],
                [source_id for _, source_id in open_requests],
                list(open_requests.values()),
                list(except_for),
            ],
        ).fetchall()
        if not due:
            return Claim((), set())
        taken, has_more = _within(room, due)
        if each_alone:
            rows, spoilt = _lease_each(taken, lease_s)
        else:
            rows, spoilt = execute(_LEASE, [lease_s, taken]).fetchall(), []
        behind = set(taken).difference((row[0] for row in rows), spoilt)
        if behind:
            execute(_PUT_OFF, [_BEHIND_S, sorted(behind)])
            has_more |= {destination_id for id, destination_id, *_ in due if id in behind}
    # Django's connections return JSON as text.
    claimed = [Claimed(*(*row[:4], orjson.loads(row[4]), *row[5:])) for row in rows]
    return Claim(sorted(claimed, key=lambda message: message.id), has_more, spoilt)


def _lease_each(ids: Sequence[int], lease_s: int) -> tuple[list[TupleRow], list[int]]:
    rows: list[TupleRow] = []
    spoilt: list[int] = []
    for message_id in ids:
        try:
            with transaction.atomic():
                rows += execute(_LEASE, [lease_s, [message_id]]).fetchall()
        except DatabaseError as error:
            if is_away(error):
                raise
            spoilt.append(message_id)
    return rows, spoilt


def _within(room: Mapping[int, Room], due: Sequence[tuple[int, int, int, int, int]]) -> tuple[list[int], set[int]]:
    """Returns the ids of messages within each destination's byte limit, and the destinations that may have more."""
    ranked: list[tuple[int, int, int, int]] = []
    has_more: set[int] = set()
    counts: Counter[tuple[int, int]] = Counter()
    for message_id, destination_id, source_id, size, most in due:
        counts[destination_id, source_id] += 1
        ranked.append((counts[destination_id, source_id], message_id, destination_id, size))
        if counts[destination_id, source_id] >= most:
            has_more.add(destination_id)
    taken: list[int] = []
    octets: Counter[int] = Counter()
    for _, message_id, destination_id, size in sorted(ranked):  # first one of each source, then a second of each
        if octets[destination_id] >= room[destination_id].octets:
            has_more.add(destination_id)
            continue
        octets[destination_id] += size
        taken.append(message_id)
    return taken, has_more


# The next message of the same subject to the same destination may have been postponed; see `_LEASE`.
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
        UPDATE outbox_message m SET due_at = least(m.due_at, statement_timestamp())
        WHERE m.id = ANY(ARRAY(SELECT next.id FROM next))
    )
"""
# A message whose subject is a digest has a customer's identifier in its path (`hub.api.forwarding.subject_of`).
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
    """Removes delivered messages, given as (message id, HTTP status), from the queue, and records the deliveries.

    Returns the destinations with messages that waited for these.
    """
    if not outcomes:
        return set()
    ids, statuses = [message_id for message_id, _ in outcomes], [status for _, status in outcomes]
    return {row[0] for row in execute(_DELIVERED, [ids, statuses, ids, _digest_key()])}


def _digest_key() -> bytes:
    """Returns the key of the digests.

    Without this key, nobody with a copy of the table can find telephone numbers by trying.
    """
    return salted_hmac("outbox.delivery", "alias", algorithm="sha256").digest()


def kept_subject(subject: str) -> str:
    """Returns the text that replaces a subject with an identifier after the delivery of its message."""
    return hashlib.sha256(_digest_key() + subject.encode()).hexdigest()


# Only the holder of the lease may store a failure. A worker that continues after the end of its lease must not
# overwrite the result of the next worker.
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
    """A message that was not accepted, with the time of its next attempt or the decision that there is none.

    Without `is_attempt` nothing was sent: the courier only postpones the message.
    """

    message: Claimed
    delay_s: float
    error: str
    is_dead: bool
    is_attempt: bool = True


def postpone(failures: Sequence[Failure]) -> set[int]:
    """Postpones failed messages or marks them as dead. Returns the ids of the messages that this worker still held."""
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


# A message that a courier holds is left to the courier, because its attempt may still succeed.
_IS_OVERDUE = """
    m.state = 'PENDING' AND m.created_at < statement_timestamp() - make_interval(secs => %s)
    AND (m.leased_until IS NULL OR m.leased_until < statement_timestamp())
"""
# Each requester has a share, so that one requester's thousands of requests do not delay the reports to others.
_OVERDUE = f"""
    SELECT late.id
    FROM participants_participant requester
    CROSS JOIN LATERAL (
        SELECT m.id FROM outbox_message m
        WHERE m.reply_to_id = requester.id AND {_IS_OVERDUE} AND {not_skipped(OVERDUE, "m.id")}
        ORDER BY m.created_at LIMIT %s
    ) late
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
    """A request that will not be delivered any more, without its body.

    The report to the requester is made from this record.

    The record has only those headers that contain the version.
    """

    method: str
    path: str
    headers: dict[str, str]
    subject: str
    reply_to_id: int
    error_path: str


def overdue(*, older_than_s: float, most_of_one: int, most: int) -> list[str]:
    """Returns requests that have waited too long, even if never attempted. Leaves out requests that the batch skips."""
    return [str(row[0]) for row in execute(_OVERDUE, [older_than_s, most_of_one, most])]


def give_up(message_ids: Sequence[str], *, older_than_s: float) -> list[GivenUp]:
    """Marks these requests as dead, if they have waited too long. Returns the marked requests."""
    ids = [int(message_id) for message_id in message_ids]
    rows = execute(_GIVE_UP, [ids, older_than_s]).fetchall()
    return [
        GivenUp(method, path, _named(accept=accept, content_type=content_type), *others)
        for method, path, accept, content_type, *others in rows
    ]


def _named(**headers: str | None) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items() if value is not None}


_WITH_WORK = f"""
    SELECT p.id FROM participants_participant p
    WHERE EXISTS (
        {_sources_at("p.id")}
        SELECT FROM source CROSS JOIN LATERAL (
            SELECT FROM outbox_message m
            WHERE m.destination_id = p.id AND m.source_id = source.id AND m.state = 'PENDING'
              AND m.due_at <= statement_timestamp()
              AND (m.leased_until IS NULL OR m.leased_until < statement_timestamp())
            LIMIT 1
        ) due
    )
"""  # noqa: S608 (put together from constants)


def destinations_with_work() -> list[int]:
    """Returns the destinations that have a message due now."""
    return [row[0] for row in execute(_WITH_WORK, [])]


_CROWDED = f"""
    SELECT sender.name, destination.name
    FROM participants_participant destination
    CROSS JOIN LATERAL (
        {_sources_at("destination.id")}
        SELECT source.id FROM source
        WHERE source.id > {HUB}
          AND EXISTS (SELECT FROM outbox_message m
                      WHERE m.destination_id = destination.id AND m.source_id = source.id AND m.state = 'PENDING'
                      OFFSET %s LIMIT 1)
    ) source
    JOIN participants_participant sender ON sender.id = source.id
"""  # noqa: S608 (put together from constants)


def crowded(most: int) -> frozenset[tuple[str, str]]:
    """Returns the pairs (source's name, destination's name) with at least `most` waiting messages."""
    return frozenset(tuple(row) for row in execute(_CROWDED, [most - 1]))
