"""Notifies the fraud desk of new alerts. For each minute, one e-mail and one signed webhook contain all new alerts."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from hub.notifications import notify
from hub.sql_execution import execute
from rules.alerts.models import Alert

KIND = "fraud_alerts"
EVERY_S = 60
_MOST_OF_A_DFSP = 500
_MOST_SHOWN = 20

# Because of the lock, only one of several simultaneous runs sends a notification. A DFSP can cause any number of
# alerts, but only one notification per minute. A notification has room for the alerts of each DFSP. Therefore one
# DFSP's many alerts do not delay another DFSP's alerts. The rows are sorted so that each DFSP's oldest alerts come
# first.
_NEW = """
    SELECT a.id FROM (SELECT name FROM participants_participant UNION SELECT '') AS d (name)
    CROSS JOIN LATERAL (
        SELECT id, row_number() OVER (ORDER BY id) AS place FROM rules_alerts_alert
        WHERE notified_at IS NULL AND caused_by = d.name ORDER BY id LIMIT %s) AS n
    JOIN rules_alerts_alert a ON a.id = n.id
    WHERE a.notified_at IS NULL AND NOT EXISTS (
        SELECT FROM rules_alerts_alert WHERE notified_at > clock_timestamp() - make_interval(secs => %s))
    ORDER BY n.place, a.id FOR NO KEY UPDATE OF a SKIP LOCKED
"""


def recipients() -> list[str]:
    """Returns the e-mail addresses of the fraud desk, and the URLs of the operators' webhooks."""
    return list(dict.fromkeys([*settings.ALERT_RECIPIENTS, *settings.NOTIFICATION_WEBHOOKS]))


@transaction.atomic
def notify_new() -> int:
    """If no notification was written in the last minute, notifies the fraud desk of new alerts.

    Returns the number of alerts in the notification.
    """
    new = [alert_id for (alert_id,) in execute(_NEW, [_MOST_OF_A_DFSP, EVERY_S])]
    if not new:
        return 0
    Alert.objects.filter(pk__in=new).update(notified_at=Now())
    chosen = Alert.objects.filter(pk__in=new[:_MOST_SHOWN]).prefetch_related("sightings")
    shown = [_shown(alert) for alert in chosen.order_by("pk")]
    count = len(new)
    noun = "new alert" if count == 1 else "new alerts"
    text = "\n".join(
        [f"{count} {noun} at {settings.HUB_NAME}:", ""]
        + [f"alert {each['alertId']}: {', '.join(each['kinds'])}, {each['sightings']} sightings" for each in shown]
        + ([f"and {count - len(shown)} more"] if count > len(shown) else [])
        + ["", f"{settings.PORTAL_URL}/portal/"]
    )
    notify(
        kind=KIND,
        recipients=recipients(),
        subject=f"{count} {noun}",
        text=text,
        webhook={"count": count, "alerts": shown},
    )
    return count


def _shown(alert: Alert) -> dict[str, Any]:
    kinds = sorted({sighting.kind for sighting in alert.sightings.all()})
    return {"alertId": alert.pk, "kinds": kinds, "sightings": alert.count}
