"""Reads alerts, for the portal."""

from dataclasses import dataclass

from django.db.models import QuerySet

from hub.sql_execution import execute
from rules.alerts.models import Alert

MOST_COUNTED = 100
"""The queue counts at most this number of open alerts for each DFSP."""


def queue(*, state: str = Alert.State.OPEN, assigned_to: int | None = None) -> "QuerySet[Alert]":
    """Returns the alerts in this state, with the latest first.

    If a person is given, returns only the alerts that are assigned to this person.
    """
    found = Alert.objects.filter(state=state).select_related("assigned_to").order_by("-id")
    return found if assigned_to is None else found.filter(assigned_to=assigned_to)


@dataclass(frozen=True, slots=True)
class OpenOfDfsp:
    """The number of open alerts that one DFSP caused. If `has_more` is true, the DFSP caused more than this number of
    alerts."""

    dfsp: str
    count: int
    has_more: bool


# For each DFSP, the SQL statement reads at most 101 index entries, however many alerts the DFSP caused.
_OPEN_BY_DFSP = """
    SELECT d.name, n.count FROM (SELECT name FROM participants_participant UNION SELECT '') AS d (name)
    CROSS JOIN LATERAL (SELECT count(*) FROM (
        SELECT FROM rules_alerts_alert WHERE state = 'OPEN' AND caused_by = d.name LIMIT %s) AS a) AS n
    WHERE n.count > 0 ORDER BY n.count DESC, d.name
"""


def open_by_dfsp() -> list[OpenOfDfsp]:
    """Returns the DFSPs that caused open alerts. The DFSP with the most open alerts comes first. For alerts that no
    DFSP caused, the DFSP name is empty."""
    rows = execute(_OPEN_BY_DFSP, [MOST_COUNTED + 1]).fetchall()
    return [OpenOfDfsp(name, min(count, MOST_COUNTED), count > MOST_COUNTED) for name, count in rows]


def one(alert_id: int) -> Alert | None:
    """Returns an alert with its reports, notes and actions. Runs five SQL statements."""
    found = Alert.objects.select_related("assigned_to")
    return found.prefetch_related("sightings", "notes", "actions__approval__maker").filter(pk=alert_id).first()


def earlier(alert: Alert) -> "QuerySet[Alert]":
    """Returns the earlier alerts about the same party. The latest alert is first."""
    return Alert.objects.filter(key=alert.key, pk__lt=alert.pk).order_by("-id")
