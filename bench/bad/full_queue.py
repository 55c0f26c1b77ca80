"""Fills the queue with messages to one participant.

Inserts the rows with SQL. A hub has such a queue if the participant polls often, or does not respond for a long time.
"""

import time

import psycopg

_BATCH = 50_000
# The messages are like answers to polls. If all messages have one subject, each message waits for the previous message.
# If each message has a different subject, the hub could send all messages at the same time.
_FILL = """
    INSERT INTO outbox_message (destination_id, method, path, headers, body, subject, kind, signed_by_hub)
    SELECT p.id, 'PUT', '/transfers/' || s.subject || '/error',
           jsonb_build_object('content-type', 'application/vnd.interoperability.transfers+json;version=1.1',
                              'date', 'Tue, 24 Nov 2026 08:00:00 GMT', 'fspiop-source', 'Hub',
                              'fspiop-destination', p.name),
           '{"errorInformation":{"errorCode":"3208","errorDescription":"Provided Transfer ID was not found"}}',
           s.subject, 'state', true
    FROM participants_participant p,
         (SELECT CASE WHEN %(one_subject)s THEN '00000000-0000-4000-8000-000000000000'
                      ELSE gen_random_uuid()::text END AS subject
          FROM generate_series(1, %(count)s)) s
    WHERE p.name = %(name)s
"""
_EMPTY = """
    DELETE FROM outbox_message WHERE id IN (
        SELECT m.id FROM outbox_message m JOIN participants_participant p ON p.id = m.destination_id
        WHERE p.name = %(name)s LIMIT %(most)s FOR UPDATE OF m SKIP LOCKED)
"""
_ONE = """
    SELECT m.id FROM outbox_message m JOIN participants_participant p ON p.id = m.destination_id
    WHERE p.name = %s LIMIT 1
"""


def fill(url: str, name: str, rows: int, *, one_subject: bool) -> None:
    """Adds this number of messages to the participant's queue.

    Before the measurement, vacuums the table and flushes it to disk. If a queue grows slowly, PostgreSQL does the same
    by itself.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        for first in range(0, rows, _BATCH):
            count = min(_BATCH, rows - first)
            connection.execute(_FILL, {"one_subject": one_subject, "count": count, "name": name})
        connection.execute("VACUUM (ANALYZE) outbox_message")
        connection.execute("CHECKPOINT")


def empty(url: str, name: str) -> None:
    """Removes all messages to this participant, and vacuums the table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        while connection.execute(_ONE, [name]).fetchone() is not None:
            # If a courier locks some of these rows in a different order, PostgreSQL reports a deadlock.
            if not connection.execute(_EMPTY, {"name": name, "most": _BATCH}).rowcount:
                time.sleep(0.2)
        connection.execute("VACUUM (ANALYZE) outbox_message")
        connection.execute("CHECKPOINT")
