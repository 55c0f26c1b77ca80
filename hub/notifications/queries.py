"""Queries of the notifications, for operators and monitoring."""

from collections.abc import Iterable

from django.db.models import QuerySet
from prometheus_client import Metric

from hub.metrics import gauge
from hub.notifications.models import Notification
from hub.sql_execution import execute

_COUNTS = """
    SELECT count(*) FILTER (WHERE state = 'PENDING'), count(*) FILTER (WHERE state = 'GIVEN_UP'),
           coalesce(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE state = 'PENDING')), 0)::float8
    FROM notifications_notification WHERE state IN ('PENDING', 'GIVEN_UP')
"""


def counts() -> tuple[int, int, float]:
    """Returns the number of waiting notifications, the number of given-up notifications, and the age in seconds of the
    oldest waiting notification."""
    row = execute(_COUNTS).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def found(*, is_given_up: bool) -> "QuerySet[Notification]":
    """Returns either the given-up notifications or all notifications, without their texts."""
    rows = Notification.objects.defer("text", "sealed")
    return rows.filter(state=Notification.State.GIVEN_UP) if is_given_up else rows


def one(notification_id: int | None) -> Notification | None:
    """Returns the notification with this id, without the text. Returns None if there is no such notification. The hub
    deletes notifications some months after they were sent, given up or withdrawn.
    """
    if notification_id is None:
        return None
    return Notification.objects.defer("text", "sealed").filter(pk=notification_id).first()


def show() -> Iterable[Metric]:
    """Returns the counts of notifications as metrics for Prometheus."""
    pending, given_up, age_s = counts()
    return [
        gauge("kitovu_notifications_pending", "E-mails and webhooks not sent yet", pending),
        gauge("kitovu_notifications_given_up", "E-mails and webhooks given up, for an operator to check", given_up),
        gauge("kitovu_notifications_oldest_seconds", "Age of the oldest e-mail or webhook not sent yet", age_s),
    ]
