"""The agreement phase: what a payer asked, and what the payee answered, each byte for byte."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hub.participants.models import Participant


class Quote(models.Model):
    class State(models.TextChoices):
        PENDING = "PENDING"
        ACCEPTED = "ACCEPTED"  # the payee answered with terms
        REJECTED = "REJECTED"  # one of the two refused

    quote_id = models.CharField(max_length=36, primary_key=True)
    transaction_id = models.CharField(max_length=36)
    payer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    payee = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    # The request and its answer as they came: evidence of the terms, and what a resend is answered with.
    request = models.BinaryField()
    request_headers = models.JSONField()
    request_digest = models.BinaryField(max_length=32)
    response = models.BinaryField(null=True)
    response_headers = models.JSONField(null=True)
    response_digest = models.BinaryField(max_length=32, null=True)
    condition = models.CharField(max_length=48, null=True)
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["transaction_id"], name="quote_by_transaction")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="PENDING", response__isnull=True)
                | Q(response__isnull=False, answered_at__isnull=False),
                name="a_quote_that_was_answered_has_its_answer",
            ),
            models.CheckConstraint(condition=~Q(payer=models.F("payee")), name="a_quote_is_between_two_participants"),
        ]

    def __str__(self) -> str:
        return self.quote_id
