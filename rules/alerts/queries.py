"""Reads alerts, for the portal."""

from django.db.models import QuerySet

from rules.alerts.models import Alert


def queue(*, state: str = Alert.State.OPEN, assigned_to: int | None = None) -> "QuerySet[Alert]":
    """Returns the alerts in this state, with the latest first.

    With a person, returns only the alerts that are assigned to this person.
    """
    found = Alert.objects.filter(state=state).select_related("assigned_to").order_by("-last_at", "-id")
    return found if assigned_to is None else found.filter(assigned_to=assigned_to)


def one(alert_id: int) -> Alert | None:
    """Returns an alert with its reports, notes and actions. Runs five SQL statements."""
    found = Alert.objects.select_related("assigned_to")
    return found.prefetch_related("sightings", "notes", "actions__approval__maker").filter(pk=alert_id).first()


def earlier(alert: Alert) -> "QuerySet[Alert]":
    """Returns the earlier alerts of this alert's party, with the latest first."""
    return Alert.objects.filter(key=alert.key, pk__lt=alert.pk).order_by("-id")
