"""Alerts for the fraud desk.

An alert collects the reports about a party, from rules and from screening, until a person closes the alert.
"""

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hub.audit.models import Approval


class Alert(models.Model):
    """An alert: all reports about one party that arrive while the alert is open. A party has at most one open alert."""

    class State(models.TextChoices):
        OPEN = "OPEN"
        CLOSED = "CLOSED"

    class Outcome(models.TextChoices):
        FRAUD = "FRAUD"
        NO_FRAUD = "NO_FRAUD"
        UNCLEAR = "UNCLEAR"

    key = models.BigIntegerField()  # the party's key, or a hash of the DFSP if no party is known
    dfsp = models.CharField(max_length=30, blank=True)  # the DFSP, if no party is known
    # The DFSP whose message caused the first report; empty if no DFSP's message caused the report. One DFSP can cause
    # alerts about any number of parties, so the queue and the notifications have a part for each DFSP.
    caused_by = models.CharField(max_length=30, blank=True, default="", db_default="")
    state = models.CharField(max_length=6, choices=State, default=State.OPEN)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField()  # the number of all reports; the hub stores only the first of these reports
    kept = models.PositiveSmallIntegerField(default=0)
    assigned_to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    outcome = models.CharField(max_length=8, choices=Outcome, blank=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=150, blank=True)
    notified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(state="OPEN"), name="a_party_has_one_open_alert"),
            models.CheckConstraint(
                condition=Q(state="OPEN", outcome="", closed_at__isnull=True, closed_by="")
                | (Q(state="CLOSED", closed_at__isnull=False) & ~Q(outcome="") & ~Q(closed_by="")),
                name="a_closed_alert_has_its_outcome",
            ),
        ]
        indexes = [
            # these indexes are for the queue, and for one DFSP's part of the queue
            models.Index(fields=["id"], condition=Q(state="OPEN"), name="alerts_open_by_id"),
            models.Index(fields=["state", "caused_by", "id"], name="alerts_by_dfsp"),
            # this index is for one party's earlier alerts
            models.Index(fields=["key"], name="alerts_by_party"),
            # these indexes find the alerts without a notification, and the time of the last notification
            models.Index(
                fields=["caused_by", "id"], condition=Q(notified_at__isnull=True), name="alerts_not_notified_by_dfsp"
            ),
            models.Index(fields=["notified_at"], name="alerts_by_notification"),
            # this index finds closed alerts whose reports the hub must delete
            models.Index(fields=["closed_at"], condition=Q(closed_at__isnull=False), name="alerts_by_closing"),
        ]
        triggers = [
            pgtrigger.Protect(
                name="an_alert_is_closed_once",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.state = 'CLOSED' AND (NEW.state, NEW.outcome, NEW.closed_at, NEW.closed_by, NEW.count)"
                    " IS DISTINCT FROM (OLD.state, OLD.outcome, OLD.closed_at, OLD.closed_by, OLD.count)"
                ),
            ),
            pgtrigger.Protect(name="an_alert_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"alert {self.pk}"


class SightingRow(models.Model):
    """One report about a party. While the hub judges a payment, it only inserts reports. A periodic task adds the
    reports to the party's alert."""

    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="sightings", null=True)
    key = models.BigIntegerField()
    dfsp = models.CharField(max_length=30, blank=True)
    caused_by = models.CharField(max_length=30, blank=True, default="", db_default="")  # see `Alert.caused_by`
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=16)
    rule = models.CharField(max_length=64, blank=True)
    rules_version = models.BigIntegerField(null=True)
    gate = models.CharField(max_length=8, blank=True)
    subject = models.CharField(max_length=128, blank=True)  # for example "quote ..." or "transfer ..."
    payer_dfsp = models.CharField(max_length=30, blank=True)
    payee_dfsp = models.CharField(max_length=30, blank=True)
    amount = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    details = models.JSONField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            # this index finds the parties with new reports, and the new reports about a party
            models.Index(fields=["key", "id"], condition=Q(alert__isnull=True), name="sightings_without_alert"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class Note(models.Model):
    """A person's note on an alert."""

    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="notes")
    at = models.DateTimeField(db_default=Now())
    author = models.CharField(max_length=150)
    text = models.TextField(max_length=4000)

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(name="notes_are_only_added", operation=pgtrigger.Update | pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"note {self.pk}"


class Action(models.Model):
    """A change that a person requested from an alert.

    The linked approval contains the details and the state of the change.
    """

    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="actions")
    approval = models.OneToOneField(Approval, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(name="actions_are_only_added", operation=pgtrigger.Update | pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.approval}"
