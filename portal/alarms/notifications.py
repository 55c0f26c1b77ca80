"""Sends new alarms once, by e-mail and signed webhook. One notification contains all new alarms of the last minute."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import translation

from hub.notifications import notify
from hub.sql_execution import execute
from portal.alarms import queries
from portal.alarms.kinds import KINDS
from portal.models import Alarm

KIND = "alarms"
EVERY_S = 60
_MOST_AT_ONCE = 500
_MOST_SHOWN = 20

# Because of the lock, only one of several simultaneous ticks sends the notification.
_NEW = """
    SELECT id FROM portal_alarm WHERE notified_at IS NULL AND ended_at IS NULL AND NOT EXISTS (
        SELECT FROM portal_alarm WHERE notified_at > clock_timestamp() - make_interval(secs => %s))
    ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""


def recipients() -> list[str]:
    return list(dict.fromkeys([*settings.ALARM_RECIPIENTS, *settings.NOTIFICATION_WEBHOOKS]))


@transaction.atomic
def notify_new() -> int:
    """If no notification was written in the last minute, sends the new alarms. Returns the number of alarms in the
    notification."""
    new = [alarm_id for (alarm_id,) in execute(_NEW, [EVERY_S, _MOST_AT_ONCE])]
    if not new:
        return 0
    Alarm.objects.filter(pk__in=new).update(notified_at=Now())
    with translation.override("en"):
        shown = [_shown(alarm) for alarm in Alarm.objects.filter(pk__in=new[:_MOST_SHOWN]).order_by("id")]
    count = len(new)
    noun = "new alarm" if count == 1 else "new alarms"
    lines = [f"{count} {noun} at {settings.HUB_NAME}:", ""]
    for each in shown:
        lines += [each["sentence"], f"  what to do: {each['runbook']}", f"  page: {each['page']}", ""]
    if count > len(shown):
        lines += [f"and {count - len(shown)} more", ""]
    notify(
        kind=KIND,
        recipients=recipients(),
        subject=f"{count} {noun}: {shown[0]['title']}",
        text="\n".join([*lines, f"{settings.PORTAL_URL}/portal/alarms/"]),
        webhook={"count": count, "alarms": shown},
    )
    return count


def _shown(alarm: Alarm) -> dict[str, Any]:
    kind = KINDS[alarm.kind]
    return {
        "alarmId": alarm.pk,
        "kind": alarm.kind,
        "subject": alarm.subject,
        "isUrgent": kind.is_urgent,
        "title": str(kind.title),
        "sentence": queries.sentence_of(alarm),
        "page": f"{settings.PORTAL_URL}{queries.page_of(alarm)}",
        "runbook": f"{settings.PORTAL_URL}{queries.runbook_of(alarm)}",
    }
