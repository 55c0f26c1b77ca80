"""The SQL statements by which couriers find and claim waiting messages.

The number of messages in progress to one destination is limited. If messages of several sources wait for this
destination, the sources share this number fairly.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import orjson
from django.db import Error as DatabaseError
from django.db import transaction
from psycopg.rows import TupleRow

from hub.outbox.messages import END_KINDS, HUB
from hub.sql_execution import execute, is_away, is_of_some_rows


@dataclass(slots=True)
class Claimed:
    """A message that this worker has claimed. The claim is valid until its lease ends."""

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
    endpoints_version: int = 0  # the version of the destination's endpoints at the time of the claim
    source_id: int = HUB

    @property
    def is_end(self) -> bool:
        """Whether the message reports the outcome of a payment."""
        return self.kind in END_KINDS


def _sources_at(destination: str) -> str:
    """Returns an SQL query that finds the sources of a destination's pending messages. For each source, this query
    reads only one entry of the index.
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


# Chooses due messages. The hub can send only a limited number of messages to a destination, and the sources of the
# pending messages share this number. For each source, the oldest messages come first. So no source waits behind
# thousands of messages of another source. PostgreSQL can use `statement_timestamp()` as a limit for the index scan.
# With `clock_timestamp()`, PostgreSQL would read and discard the rows that are not due.
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

# Messages of one subject to one destination are sent one after the other. So the statement claims only the first
# undelivered message of a subject, which is the first row in the index by subject. This statement must run after the
# statement that locked the rows. Another transaction stores the delivery of the earlier message. This other transaction
# takes the same lock, and then looks for the next message of the subject. So either this statement sees that the
# earlier message was delivered, or the other transaction finds the postponed message.
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

# Postpones messages that wait for an earlier message of the same subject, so that claims read only messages that can be
# sent. The older a message is, the longer it is postponed. Usually the delivery of the earlier message ends the
# postponement. If the earlier message is not delivered, the message becomes due again at the new `due_at`.
_PUT_OFF = """
    UPDATE outbox_message m
    SET due_at = clock_timestamp()
                 + greatest(make_interval(secs => %s), least(clock_timestamp() - m.created_at, interval '1 day'))
    WHERE m.id = ANY(%s::bigint[])
"""
_BEHIND_S = 2.0

# Postpones the oldest due messages of paused streams, without claiming them. `oldest` locks no rows, so that couriers
# can claim messages of other kinds meanwhile. The LIMIT applies to messages of all kinds, because the kind is not in
# the index. `free` has no condition on the messages' state. With such a condition, PostgreSQL could choose a partial
# index that does not begin with the id.
_PUT_OFF_PAUSED = """
    WITH paused AS MATERIALIZED (
        SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::int[])
                      AS p (destination_id, source_id, kind, seconds, most)
    ), oldest AS MATERIALIZED (
        SELECT due.id
        FROM paused CROSS JOIN LATERAL (
            SELECT d.id, d.kind FROM outbox_message d
            WHERE d.destination_id = paused.destination_id AND d.source_id = paused.source_id AND d.state = 'PENDING'
              AND d.due_at <= statement_timestamp()
              AND (d.leased_until IS NULL OR d.leased_until < statement_timestamp())
            ORDER BY d.due_at LIMIT paused.most
        ) due
        WHERE due.kind = paused.kind
    ), free AS MATERIALIZED (
        SELECT f.id FROM outbox_message f
        WHERE f.id = ANY(ARRAY(SELECT oldest.id FROM oldest)) AND f.due_at <= statement_timestamp()
          AND (f.leased_until IS NULL OR f.leased_until < statement_timestamp())
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE outbox_message m
    SET due_at = clock_timestamp()
                 + make_interval(secs => (SELECT paused.seconds FROM paused
                                          WHERE paused.destination_id = m.destination_id
                                            AND paused.source_id = m.source_id AND paused.kind = m.kind))
    WHERE m.id = ANY(ARRAY(SELECT free.id FROM free))
"""

# A transaction that stores a claim or deliveries does not wait for the disk or a standby server. If a crash loses such
# a transaction, couriers only send some messages again. All other database transactions of the hub wait for the disk.
_NO_WAIT = "SET LOCAL synchronous_commit TO off"


@dataclass(frozen=True, slots=True)
class Room:
    """The number of further messages that the hub can send to a destination now, and the largest total size of their
    bodies in bytes."""

    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The claimed messages, and the destinations for which perhaps more messages wait.

    `spoilt` are the ids of messages that the database could not return, not even one at a time. For each destination
    and source, `postponed` is the number of messages that wait for an earlier message of the same subject.
    """

    messages: Sequence[Claimed]
    has_more: set[int]
    spoilt: Sequence[int] = ()
    postponed: Mapping[tuple[int, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Paused:
    """A paused stream. A stream consists of the messages of one source and kind to one destination. For some seconds,
    the courier sends no message of a paused stream."""

    destination_id: int
    source_id: int
    kind: str
    seconds: float


def put_off_paused(paused: Sequence[Paused], *, most: int) -> int:
    """Postpones due messages of paused streams, so that claims find the other messages of the same sources. `most` is
    the largest number of messages in total. This number is divided equally among the destinations. Each destination's
    part is divided equally among the destination's paused streams. Returns the number of postponed messages.
    """
    if not paused:
        return 0
    streams = Counter(each.destination_id for each in paused)
    with transaction.atomic():
        execute(_NO_WAIT)
        return execute(
            _PUT_OFF_PAUSED,
            [
                [each.destination_id for each in paused],
                [each.source_id for each in paused],
                [each.kind for each in paused],
                [each.seconds for each in paused],
                [most // len(streams) // streams[each.destination_id] for each in paused],
            ],
        ).rowcount


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

    `room` limits the number of messages for each destination, and the sources share this number fairly. `open_requests`
    is the number of open requests for each destination and source. For each destination and source, the open requests
    and the claimed messages together are at most `most_of_one_source`. Leaves out the messages with the ids in
    `except_for`. Until the lease ends, no other worker claims the same messages. The function makes all claims in one
    database transaction. With `each_alone`, a separate statement claims each message, because one message makes the
    usual statement fail.
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
        postponed = Counter((destination_id, source_id) for id, destination_id, source_id, *_ in due if id in behind)
        has_more |= {destination_id for destination_id, _ in postponed}
    # Django's database connections return JSON values as text.
    claimed = [Claimed(*(*row[:4], orjson.loads(row[4]), *row[5:])) for row in rows]
    return Claim(sorted(claimed, key=lambda message: message.id), has_more, spoilt, postponed)


def _lease_each(ids: Sequence[int], lease_s: int) -> tuple[list[TupleRow], list[int]]:
    rows: list[TupleRow] = []
    spoilt: list[int] = []
    for message_id in ids:
        try:
            with transaction.atomic():
                rows += execute(_LEASE, [lease_s, [message_id]]).fetchall()
        except DatabaseError as error:
            if is_away(error) and not is_of_some_rows(error):
                raise
            spoilt.append(message_id)
    return rows, spoilt


def _within(room: Mapping[int, Room], due: Sequence[tuple[int, int, int, int, int]]) -> tuple[list[int], set[int]]:
    """Returns the ids of as many messages as the limits of each destination allow. Also returns the destinations for
    which perhaps more messages wait."""
    ranked: list[tuple[int, int, int, int]] = []
    has_more: set[int] = set()
    counts: Counter[tuple[int, int]] = Counter()
    for message_id, destination_id, source_id, size, most in due:
        counts[destination_id, source_id] += 1
        ranked.append((counts[destination_id, source_id], message_id, destination_id, size))
        if counts[destination_id, source_id] >= most:
            has_more.add(destination_id)
    taken: list[int] = []
    messages: Counter[int] = Counter()
    octets: Counter[int] = Counter()
    # first the first message of each source, then the second message of each source, and so on
    for _, message_id, destination_id, size in sorted(ranked):
        limits = room[destination_id]
        if messages[destination_id] >= limits.messages or octets[destination_id] >= limits.octets:
            has_more.add(destination_id)
            continue
        messages[destination_id] += 1
        octets[destination_id] += size
        taken.append(message_id)
    return taken, has_more


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
    """Returns the destinations for which at least one message is due."""
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
    """Returns pairs of names (source, destination). For each pair, at least `most` messages of the source wait for the
    destination."""
    return frozenset(tuple(row) for row in execute(_CROWDED, [most - 1]))
