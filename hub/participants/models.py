"""Who takes part in the scheme, and where each is called back."""

from django.db import models
from django.db.models.functions import Lower


class Participant(models.Model):
    """A DFSP, or the hub itself. Names are compared exactly, so two that differ only in case are refused."""

    name = models.CharField(max_length=30, unique=True)
    is_active = models.BooleanField(default=True)
    is_hub = models.BooleanField(default=False)
    is_proxy = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="participant_names_differ_in_more_than_case"),
            models.UniqueConstraint(
                fields=["is_hub"], condition=models.Q(is_hub=True), name="there_is_one_hub_participant"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Endpoint(models.Model):
    """Where a participant takes one type of callback: a URL, with {{name}} for what the message's path names."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="endpoints")
    type = models.CharField(max_length=64)
    value = models.CharField(max_length=512)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "type"], name="one_endpoint_of_each_type_per_participant")
        ]

    def __str__(self) -> str:
        return f"{self.participant} {self.type}"


class Credential(models.Model):
    """What a participant proves itself with: the SHA-256 of a token or of a client certificate, for a time."""

    class Kind(models.TextChoices):
        TOKEN = "token"  # noqa: S105 (the kind, not a secret)
        CERTIFICATE = "certificate"

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="credentials")
    kind = models.CharField(max_length=16, choices=Kind)
    sha256 = models.CharField(max_length=64, unique=True)
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(valid_until__gt=models.F("valid_from")), name="a_credential_is_valid_for_some_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.participant}"


class CurrencyPair(models.Model):
    """A conversion that a participant offers as a foreign exchange provider (FXP)."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="currency_pairs")
    source_currency = models.CharField(max_length=3)
    target_currency = models.CharField(max_length=3)

    class Meta:
        ordering = ["id"]
        constraints = [
            # also the index of who converts this pair
            models.UniqueConstraint(
                fields=["source_currency", "target_currency", "participant"], name="a_pair_is_offered_once"
            ),
            models.CheckConstraint(
                condition=~models.Q(source_currency=models.F("target_currency")), name="a_pair_is_of_two_currencies"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant} {self.source_currency}/{self.target_currency}"
