"""Raises and ends alarms. Lets people acknowledge and assign alarms.

A tick runs all checks. For each check, a separate database transaction stores the causes that the check has found. If a
check fails, the other checks still run. The open alarms of the failed check stay open.
"""

from collections.abc import Sequence

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from fspiop import strictjson
from hub.audit import record
from hub.sql_execution import execute
from portal.alarms import checks
from portal.alarms.checks import Cause, Check
from portal.models import Alarm

log = structlog.get_logger("alarms")

_LOCK = 0x4B49_0021  # only one tick stores causes at a time, so that an older tick does not end newer alarms
_KEPT_DAYS = 400

# If an open alarm exists, the SQL statement changes only two things: the alarm's values, and the time at which the
# alarm's cause was last found.
_RAISE = """
    INSERT INTO portal_alarm AS a (kind, subject, details, acknowledged_by)
    SELECT %s, c.subject, c.details, '' FROM unnest(%s::text[], %s::jsonb[]) AS c (subject, details) ORDER BY c.subject
    ON CONFLICT (kind, subject) WHERE ended_at IS NULL
        DO UPDATE SET details = EXCLUDED.details, seen_at = clock_timestamp()
    RETURNING a.subject, a.xmax = 0
"""
# If a cause ends and returns within the calm time, the alarm stays open, and people get only one notification.
_END = """
    UPDATE portal_alarm SET ended_at = clock_timestamp()
    WHERE kind = %s AND ended_at IS NULL AND NOT subject = ANY(%s::text[])
      AND seen_at <= clock_timestamp() - make_interval(secs => %s)
    RETURNING subject
"""
_FORGET = "DELETE FROM portal_alarm WHERE ended_at < clock_timestamp() - make_interval(days => %s)"


class NotChanged(Exception):
    """Raised if an alarm cannot be changed. The text of the error is the reason."""


def look() -> int:
    """Runs all checks that are due, and stores their results. Returns the number of checks that failed."""
    failed = []
    for check in checks.CHECKS:
        if not _is_due(f"alarms:{check.kind}", check.every_s):
            continue
        try:
            store(check.kind, _causes_of(check))
        except Exception as error:  # the other checks must run even if this check fails
            log.exception("alarm_check_failed", kind=check.kind)
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
            failed.append(Cause(check.kind, {"kind": check.kind, "error": type(error).__name__}))
    # If a check is not due, nobody knows whether the check would still fail. So an alarm about a failed check has a
    # longer calm time than other alarms.
    longest_s = max(check.every_s for check in checks.CHECKS)
    store("failed_check", failed, calm_s=max(settings.ALARM_CALM_S, 2 * longest_s))
    return len(failed)


def _causes_of(check: Check) -> Sequence[Cause]:
    if check.calls_others:
        return check.find()
    with transaction.atomic():
        return check.find()


def _is_due(key: str, every_s: int) -> bool:
    """Returns whether this check is due. A check is due if no other tick has run the check within the check's interval.
    If the cache is not available, every check is due."""
    if not every_s:
        return True
    try:
        return bool(cache.add(f"{key}:{connection.settings_dict['NAME']}", 1, timeout=every_s))
    except (RedisError, OSError):
        return True


@transaction.atomic
def store(kind: str, causes: Sequence[Cause], *, calm_s: float | None = None) -> None:
    """Raises an alarm for each new cause. Ends an alarm of this kind if the check has not found the alarm's cause for
    at least `calm_s` seconds."""
    calm_s = settings.ALARM_CALM_S if calm_s is None else calm_s
    execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    by_subject = {cause.subject[:128]: cause for cause in causes}
    if by_subject:
        details = [_json(cause) for cause in by_subject.values()]
        for subject, is_new in execute(_RAISE, [kind, list(by_subject), details]).fetchall():
            if is_new:
                log.warning("alarm_raised", kind=kind, subject=subject)
    for (subject,) in execute(_END, [kind, list(by_subject), calm_s]).fetchall():
        log.info("alarm_ended", kind=kind, subject=subject)


def _json(cause: Cause) -> str:
    return strictjson.canonical(cause.details).decode().replace("\\u0000", "\ufffd")


@transaction.atomic
def forget_old() -> int:
    """Removes alarms that ended long ago. Returns their number."""
    return execute(_FORGET, [_KEPT_DAYS]).rowcount if _is_due("alarms:forget", 60) else 0


# --- people -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def acknowledge(alarm_id: int, *, actor: str) -> Alarm:
    """Records that a person has seen the alarm and is working on the alarm."""
    alarm = _lock_open(alarm_id)
    if alarm.acknowledged_at is not None:
        raise NotChanged(_("%(name)s has already acknowledged this alarm.") % {"name": alarm.acknowledged_by})
    alarm.acknowledged_at, alarm.acknowledged_by = Now(), actor
    return _save(alarm, ["acknowledged_at", "acknowledged_by"], "alarm_acknowledged", actor)


@transaction.atomic
def assign(alarm_id: int, *, to: User | None, actor: str) -> Alarm:
    """Assigns an open alarm to a person, or to nobody."""
    alarm = _lock_open(alarm_id)
    before = alarm.assigned_to.get_username() if alarm.assigned_to else None
    alarm.assigned_to = to
    after = to.get_username() if to else None
    return _save(alarm, ["assigned_to"], "alarm_assigned", actor, before=before, after=after)


def _save(alarm: Alarm, fields: list[str], action: str, actor: str, **values: str | None) -> Alarm:
    alarm.save(update_fields=fields)
    after = {"kind": alarm.kind, "about": alarm.subject} | ({"to": values["after"]} if "after" in values else {})
    record(action, subject=str(alarm), actor=actor, before=values.get("before"), after=after)
    return alarm


def _lock_open(alarm_id: int) -> Alarm:
    rows = Alarm.objects.select_for_update(no_key=True, of=("self",)).select_related("assigned_to")
    alarm = rows.filter(pk=alarm_id).first()
    if alarm is None:
        raise NotChanged(_("This alarm does not exist."))
    if alarm.ended_at is not None:
        raise NotChanged(_("This alarm has ended."))
    return alarm
