"""The checks that find the causes of alarms. A check returns all causes that exist now, and changes nothing.

The number of SQL statements of a check does not depend on the number of rows.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from django.conf import settings
from django.db import connection

from directory import queries as directory
from directory import remote_oracle
from directory.models import Oracle
from hub.notifications import queries as notifications
from hub.outbox import queries as outbox
from hub.sql_execution import execute
from hub.sweeps import queries as sweeps
from portal.alarms import success_rates
from portal.changes.credentials import EXPIRES_SOON
from portal.queries import positions

LATE_CALLBACK_S = 60
_MOST = 500  # a check returns at most this many causes
_ORACLES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Cause:
    """The subject of an alarm. `details` has the values for the text of the alarm."""

    subject: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def _given_up_callbacks() -> list[Cause]:
    return [
        Cause(queue.destination, {"participant": queue.destination, "count": queue.dead})
        for queue in outbox.queues()
        if queue.dead
    ]


def _late_callbacks() -> list[Cause]:
    now = datetime.now(UTC)
    found = [(queue, (now - queue.oldest).total_seconds()) for queue in outbox.queues() if queue.oldest]
    return [
        Cause(queue.destination, {"participant": queue.destination, "count": queue.pending, "seconds": int(waited)})
        for queue, waited in found
        if waited > LATE_CALLBACK_S
    ]


def _near_limit() -> list[Cause]:
    return [
        Cause(
            f"{each.participant.name} {each.currency}",
            {"participant": each.participant.name, "currency": each.currency, "percent": each.used_percent},
        )
        for each in positions.standings()
        if each.is_near_limit
    ]


# A credential with a valid successor causes no alarm.
_ENDING = """
    SELECT c.id, p.name, c.kind, c.label, c.valid_until FROM participants_credential c
    JOIN participants_participant p ON p.id = c.participant_id AND p.closed_at IS NULL
    WHERE c.revoked_at IS NULL AND c.valid_until > clock_timestamp() - %s AND c.valid_until <= clock_timestamp() + %s
      AND NOT EXISTS (
          SELECT FROM participants_credential n WHERE n.participant_id = c.participant_id AND n.kind = c.kind
              AND n.revoked_at IS NULL AND n.valid_until > greatest(c.valid_until, clock_timestamp() + %s))
    ORDER BY c.valid_until, c.id LIMIT %s
"""


def _ending_certificates() -> list[Cause]:
    rows = execute(_ENDING, [EXPIRES_SOON, EXPIRES_SOON, EXPIRES_SOON, _MOST])
    found = [
        Cause(
            f"credential {number}",
            {"participant": name, "kind": kind, "label": label, "until": valid_until.isoformat()},
        )
        for number, name, kind, label, valid_until in rows
    ]
    return [*found, *_own_certificates()]


def _own_certificates() -> list[Cause]:
    """Returns the hub's own certificates that expire soon. The check reads only the files that this process can
    open."""
    found = []
    for name in ("HUB_CA_CERTIFICATE_FILE", "CALLBACK_CLIENT_CERT_FILE", "CALLBACK_CA_FILE"):
        path = Path(getattr(settings, name) or "/nowhere")
        if not path.is_file():
            continue
        ends = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(path.read_bytes()))
        if ends - datetime.now(UTC) <= EXPIRES_SOON:
            found.append(Cause(name, {"participant": "", "label": name, "until": ends.isoformat()}))
    return found


def _silent_oracles() -> list[Cause]:
    """Calls each oracle. An oracle is silent if two successive calls to the oracle get no answer."""
    oracles = list(directory.oracles())
    if not oracles:
        return []
    with ThreadPoolExecutor(_ORACLES_AT_ONCE) as pool:
        silent = list(pool.map(_is_silent, oracles))
    return [
        Cause(f"oracle {oracle.pk}", {"endpoint": oracle.endpoint})
        for oracle, is_silent in zip(oracles, silent, strict=True)
        if is_silent
    ]


def _is_silent(oracle: Oracle) -> bool:
    try:
        return remote_oracle.probe(oracle) < 0 and remote_oracle.probe(oracle) < 0
    finally:
        connection.close()  # of this thread


def _low_success() -> list[Cause]:
    return [
        Cause(
            f"{drop.participant} {drop.side}",
            {
                "participant": drop.participant,
                "side": drop.side,
                "now": drop.now,
                "normal": drop.normal,
                "count": drop.count,
            },
        )
        for drop in success_rates.drops()
    ]


_OVERDUE = """
    SELECT (SELECT count(*) FROM ledger_transfer
            WHERE state = 'RESERVED' AND expires_at < clock_timestamp() - interval '5 seconds')
         + (SELECT count(*) FROM ledger_fxtransfer
            WHERE state = 'RESERVED' AND held_until < clock_timestamp() - interval '5 seconds')
"""


def _overdue_reservations() -> list[Cause]:
    (count,) = execute(_OVERDUE, []).fetchone() or (0,)
    return [Cause(details={"count": count})] if count else []


_LAST_CHECK = """
    SELECT breaks, extract(epoch FROM clock_timestamp() - at)::bigint FROM portal_ledgercheck ORDER BY id DESC LIMIT 1
"""


def _ledger() -> list[Cause]:
    row = execute("SELECT breaks::text FROM portal_ledgercheck ORDER BY id DESC LIMIT 1", []).fetchone()
    breaks = _as_list(row[0]) if row else []
    return [Cause(details={"breaks": [text[:200] for text in breaks[:20]]})] if breaks else []


def _as_list(text: str) -> list[str]:
    return [str(each) for each in json.loads(text)]


def _ledger_check_late() -> list[Cause]:
    row = execute(_LAST_CHECK, []).fetchone()
    every_s = settings.CELERY_BEAT_SCHEDULE["check-ledger"]["schedule"]
    is_late = row is not None and row[1] > max(3 * every_s, 1800)
    return [Cause(details={"seconds": int(row[1])})] if row is not None and is_late else []


_WAITING = """
    SELECT id, kind, subject, extract(epoch FROM clock_timestamp() - asked_at)::bigint FROM audit_approval
    WHERE state = 'PENDING' AND expires_at > clock_timestamp()
      AND asked_at < clock_timestamp() - make_interval(secs => %s)
    ORDER BY id LIMIT %s
"""


def _waiting_approvals() -> list[Cause]:
    return [
        Cause(f"request {number}", {"number": number, "kind": kind, "subject": subject, "seconds": seconds})
        for number, kind, subject, seconds in execute(_WAITING, [settings.ALARM_APPROVAL_S, _MOST])
    ]


_WINDOWS = """
    SELECT id, state = 'OPEN', extract(epoch FROM clock_timestamp() - coalesce(closed_at, created_at))::bigint
    FROM ledger_settlementwindow
    WHERE state IN ('OPEN', 'CLOSED', 'PENDING_SETTLEMENT', 'ABORTED')
      AND coalesce(closed_at, created_at) < clock_timestamp() - make_interval(secs => %s)
    ORDER BY id LIMIT %s
"""


def _late_windows() -> list[Cause]:
    if not settings.ALARM_WINDOW_S:
        return []
    return [
        Cause(f"window {number}", {"number": number, "is_open": is_open, "seconds": seconds})
        for number, is_open, seconds in execute(_WINDOWS, [settings.ALARM_WINDOW_S, _MOST])
    ]


def _skipped_rows() -> list[Cause]:
    return [Cause(batch, {"batch": batch, "count": count}) for batch, count in sweeps.counts()]


def _unsent_notifications() -> list[Cause]:
    _waiting, unsent, _oldest_s = notifications.counts()
    return [Cause(details={"count": unsent})] if unsent else []


@dataclass(frozen=True, slots=True)
class Check:
    """A check, and the shortest time between two runs of the check."""

    kind: str
    find: Callable[[], Sequence[Cause]]
    every_s: int = 0  # 0 means that the check runs at each tick
    # True if the check calls other systems; such a check must not run in a database transaction
    calls_others: bool = False


# The check that calls other systems comes last, so that this check does not delay the other checks.
CHECKS: list[Check] = [
    Check("ledger", _ledger),
    Check("ledger_check_late", _ledger_check_late, 60),
    Check("overdue_reservations", _overdue_reservations),
    Check("near_limit", _near_limit),
    Check("given_up_callbacks", _given_up_callbacks),
    Check("late_callbacks", _late_callbacks),
    Check("waiting_approval", _waiting_approvals, 60),
    Check("late_window", _late_windows, 60),
    Check("skipped_rows", _skipped_rows),
    Check("unsent_notifications", _unsent_notifications),
    Check("ending_certificate", _ending_certificates, 300),
    Check("low_success", _low_success, 60),
    Check("silent_oracle", _silent_oracles, 60, calls_others=True),
]
