"""The SQL statements with which a worker claims notifications and stores the results."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hub.sql_execution import execute


@dataclass(slots=True)
class Claimed:
    """A notification that this worker has claimed. The claim is valid until its lease ends."""

    id: int
    kind: str
    channel: str
    recipient: str
    subject: str
    text: str
    sealed: bytes | None
    is_secret: bool
    attempts: int
    left_s: float  # seconds until the notification expires
    created_at: datetime
    lease: datetime


# For each recipient, the statement claims only the message that has been due longest. So a recipient with many messages
# occupies only one place of the sender.
_CLAIM = """
    WITH room (channel, places) AS (SELECT * FROM unnest(%s::text[], %s::int[])),
    first AS MATERIALIZED (
        SELECT DISTINCT ON (n.channel, n.recipient) n.id, n.channel, n.due_at
        FROM notifications_notification n JOIN room ON room.channel = n.channel AND room.places > 0
        WHERE n.state = 'PENDING' AND n.due_at <= clock_timestamp() AND n.expires_at > clock_timestamp()
          AND NOT EXISTS (SELECT FROM notifications_notification busy
                          WHERE busy.channel = n.channel AND busy.recipient = n.recipient AND busy.state = 'PENDING'
                            AND busy.leased_until >= clock_timestamp())
        ORDER BY n.channel, n.recipient, n.due_at, n.id
    ),
    chosen AS MATERIALIZED (
        SELECT id FROM (SELECT first.id, room.places, row_number() OVER (PARTITION BY channel ORDER BY due_at) AS place
                        FROM first JOIN room USING (channel)) numbered
        WHERE place <= places
    ),
    claim AS MATERIALIZED (
        SELECT n.id FROM notifications_notification n
        WHERE n.id IN (SELECT id FROM chosen) AND n.state = 'PENDING'
          AND (n.leased_until IS NULL OR n.leased_until < clock_timestamp())
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE notifications_notification n
    SET leased_until = clock_timestamp() + make_interval(secs => %s), attempts = n.attempts + 1
    FROM claim WHERE n.id = claim.id
    RETURNING n.id, n.kind, n.channel, n.recipient, n.subject, n.text, n.sealed, n.is_secret, n.attempts,
              extract(epoch FROM n.expires_at - clock_timestamp())::float8, n.created_at, n.leased_until
"""


def claim(room: Mapping[str, int], *, lease_s: int) -> list[Claimed]:
    """Claims due notifications for this worker, for `lease_s` seconds. `room` contains the largest number of
    notifications for each channel."""
    rows = execute(_CLAIM, [list(room), list(room.values()), lease_s]).fetchall()
    return sorted((Claimed(*row) for row in rows), key=lambda claimed: claimed.id)


_SENT = """
    UPDATE notifications_notification
    SET state = 'SENT', ended_at = clock_timestamp(), leased_until = NULL, text = '', sealed = NULL, last_error = ''
    WHERE id = %s AND state = 'PENDING'
"""


def sent(notification_id: int) -> None:
    """Marks a notification as sent and deletes its text, even if another worker has claimed the notification
    meanwhile."""
    execute(_SENT, [notification_id])


# Only the worker whose lease is stored can store a failure. If another worker has claimed the message meanwhile, the
# first worker must not overwrite the other worker's result.
_FAILED = """
    UPDATE notifications_notification
    SET leased_until = NULL, due_at = clock_timestamp() + make_interval(secs => %s), last_error = %s
    WHERE id = %s AND leased_until = %s AND state = 'PENDING'
"""
_GIVEN_UP = """
    UPDATE notifications_notification
    SET state = 'GIVEN_UP', ended_at = clock_timestamp(), leased_until = NULL, sealed = NULL, last_error = %s
    WHERE id = %s AND leased_until = %s AND state = 'PENDING'
"""


def failed(message: Claimed, *, error: str, delay_s: float) -> None:
    """Makes the notification due again in `delay_s` seconds."""
    execute(_FAILED, [delay_s, error[:300], message.id, message.lease])


def given_up(message: Claimed, *, error: str) -> None:
    """Marks the notification as given up. If its text is secret, deletes the text."""
    execute(_GIVEN_UP, [error[:300], message.id, message.lease])


_EXPIRE = """
    UPDATE notifications_notification
    SET state = 'GIVEN_UP', ended_at = clock_timestamp(), leased_until = NULL, sealed = NULL,
        last_error = CASE last_error WHEN '' THEN 'it expired before a worker could send it' ELSE last_error END
    WHERE state = 'PENDING' AND expires_at <= clock_timestamp()
      AND (leased_until IS NULL OR leased_until < clock_timestamp())
"""


def expire() -> int:
    """Marks expired notifications as given up. Returns the number of these notifications."""
    return execute(_EXPIRE).rowcount


_DELETE = """
    DELETE FROM notifications_notification WHERE id IN (
        SELECT id FROM notifications_notification
        WHERE state <> 'PENDING' AND ended_at < clock_timestamp() - make_interval(days => %s)
        ORDER BY ended_at LIMIT %s)
"""


def delete_old(*, days: int, most: int) -> int:
    """Deletes up to `most` notifications that were sent, given up or withdrawn at least `days` days ago. Returns the
    number of deleted rows."""
    return execute(_DELETE, [days, most]).rowcount
