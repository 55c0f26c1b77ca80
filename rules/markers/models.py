"""The tables of fraud markers that DFSPs file about parties, and of appeals against markers.

A marker names the party by the party's key. So the marker stays in force when the party's alias moves to another DFSP.
"""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hub.participants.models import Participant
from rules.lists.approval_trigger import needs_approval


class Marker(models.Model):
    """A report that a party's account is used for fraud. The marker is in force until two people of the hub lift the
    marker."""

    class Kind(models.TextChoices):
        MULE_ACCOUNT = "MULE_ACCOUNT"
        SCAMMER_ACCOUNT = "SCAMMER_ACCOUNT"
        APPLICATION_FRAUD = "APPLICATION_FRAUD"
        OTHER = "OTHER"

    marker_id = models.CharField(max_length=36)  # the id that the filing DFSP gave the marker
    # Null if the operators filed the marker.
    filed_by = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", null=True)
    key = models.BigIntegerField()
    kind = models.CharField(max_length=17, choices=Kind)
    reason = models.CharField(max_length=512)
    transaction_id = models.CharField(max_length=36, blank=True)  # the payment that the marker reports
    digest = models.BinaryField(max_length=32)
    filed_at = models.DateTimeField(db_default=Now())
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=300, blank=True)
    lifted_because = models.CharField(max_length=512, blank=True)
    change = models.BigIntegerField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["filed_by", "marker_id"], name="a_dfsp_uses_a_marker_id_once"),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True, lifted_by="") | (Q(lifted_at__isnull=False) & ~Q(lifted_by="")),
                name="a_lifted_marker_has_its_time_and_people",
            ),
        ]
        indexes = [
            # with this index, the hub finds the markers of given parties, and reads all markers page by page
            models.Index(fields=["key", "id"], condition=Q(lifted_at__isnull=True), name="markers_in_force"),
            models.Index(fields=["change"], name="markers_by_change"),
        ]
        triggers = [
            needs_approval(
                "a_marker_is_lifted_by_two_people",
                kind="lift_marker",
                subject="'marker ' || NEW.id",
                operation=pgtrigger.Update,
                condition="OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL",
            ),
            pgtrigger.Protect(
                name="a_marker_changes_only_by_its_lifting",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.lifted_at IS NOT NULL OR (OLD.marker_id, OLD.filed_by_id, OLD.key, OLD.kind, OLD.reason,"
                    " OLD.transaction_id, OLD.digest, OLD.filed_at) IS DISTINCT FROM (NEW.marker_id, NEW.filed_by_id,"
                    " NEW.key, NEW.kind, NEW.reason, NEW.transaction_id, NEW.digest, NEW.filed_at)"
                ),
            ),
            pgtrigger.Protect(name="a_marker_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Appeal(models.Model):
    """A DFSP's request to lift a marker about a customer of this DFSP.

    The marker stays in force until two people approve the request.
    """

    class State(models.TextChoices):
        OPEN = "OPEN"
        LIFTED = "LIFTED"
        REJECTED = "REJECTED"

    marker = models.ForeignKey(Marker, on_delete=models.PROTECT, related_name="appeals")
    filed_by = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=512)
    filed_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=300, blank=True)
    decision = models.CharField(max_length=512, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["marker", "filed_by"], condition=Q(state="OPEN"), name="a_dfsp_has_one_open_appeal_to_a_marker"
            ),
            models.CheckConstraint(
                condition=Q(state="OPEN", decided_at__isnull=True, decided_by="")
                | (~Q(state="OPEN") & Q(decided_at__isnull=False) & ~Q(decided_by="")),
                name="a_decided_appeal_has_its_time_and_people",
            ),
        ]
        triggers = [pgtrigger.Protect(name="an_appeal_is_never_deleted", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"appeal {self.pk}"
