"""The outbox: messages that the hub must send, and records of delivered messages. The table of messages is also the
queue of the couriers."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hub.outbox.messages import HUB
from hub.participants.models import Participant


class Message(models.Model):
    """An undelivered message to a participant. When the message is delivered, a row of `Delivery` replaces this row."""

    class State(models.TextChoices):
        PENDING = "PENDING"
        DEAD = "DEAD"  # the hub no longer tries to send the message, but an operator can send it again

    destination = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    method = models.CharField(max_length=6)
    path = models.CharField(max_length=1024)
    headers = models.JSONField()
    body = models.BinaryField()
    subject = models.CharField(max_length=400)
    kind = models.CharField(max_length=24)
    signed_by_hub = models.BooleanField()
    # This column is not a foreign key, because the value 0 means the hub. Participants are never deleted.
    source_id = models.BigIntegerField(db_default=HUB)
    reply_to = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", null=True, db_index=False)
    error_path = models.CharField(max_length=1024, null=True)
    state = models.CharField(max_length=7, choices=State, db_default=State.PENDING)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(db_default=0)
    leased_until = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=512, db_default="")
    # The time when an operator put a given-up request aside. After that, pages and metrics no longer count this
    # request. The hub never sends the request again, because the requester was notified of the failure.
    put_aside_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            # for claims: finds the due messages of a destination, for each source in order; also counts the messages of
            # a source
            models.Index(
                fields=["destination", "source_id", "due_at"], condition=Q(state="PENDING"), name="message_by_source"
            ),
            # finds an earlier message of the same subject to the same destination
            models.Index(
                fields=["destination", "subject", "id"], condition=~Q(state="DEAD"), name="message_by_subject"
            ),
            # finds a destination's given-up messages
            models.Index(fields=["destination", "id"], condition=Q(state="DEAD"), name="message_dead"),
            # counts given-up messages that no operator has put aside
            models.Index(
                fields=["destination"], condition=Q(state="DEAD", put_aside_at__isnull=True), name="message_given_up"
            ),
            # finds overdue requests, beginning with the oldest request of each requester
            models.Index(
                fields=["reply_to", "created_at"],
                condition=Q(state="PENDING", reply_to__isnull=False),
                name="message_awaited",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(reply_to__isnull=True, error_path__isnull=True)
                | Q(reply_to__isnull=False, error_path__isnull=False),
                name="who_waits_for_a_request_can_be_told",
            ),
            models.CheckConstraint(
                condition=Q(put_aside_at__isnull=True) | Q(state="DEAD", reply_to__isnull=False),
                name="only_a_request_that_was_given_up_is_put_aside",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Delivery(models.Model):
    """A delivered message: the time of the delivery, the number of attempts, and the status of the destination's
    response."""

    message_id = models.BigIntegerField(primary_key=True)
    destination = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    method = models.CharField(max_length=6)
    path = models.CharField(max_length=1024)
    subject = models.CharField(max_length=400)
    kind = models.CharField(max_length=24)
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField()
    attempts = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["message_id"]
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["subject"], name="delivery_by_subject")]
        triggers = [
            pgtrigger.Protect(name="deliveries_are_only_ever_added", operation=pgtrigger.Update),
            # If the subject is a digest, the message was about a customer's identifier, and the message's row can be
            # deleted after a day.
            pgtrigger.Protect(
                name="deliveries_about_payments_are_never_deleted",
                operation=pgtrigger.Delete,
                condition=pgtrigger.Condition(
                    "NOT (length(OLD.subject) = 64 AND OLD.delivered_at < now() - interval '1 day')"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
