"""Which DFSP an alias belongs to: the table behind the hub's own oracle."""

from django.db import models
from django.db.models.functions import Now

from hub.participants.models import Participant


class PartyIdentifier(models.Model):
    """One alias of a customer, such as an MSISDN, and the DFSP that serves it. No other data of the customer."""

    type = models.CharField(max_length=32)
    identifier = models.CharField(max_length=128)
    sub_id = models.CharField(max_length=128, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    fsp = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="party_identifiers")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["type", "identifier", "sub_id", "currency"], name="an_alias_belongs_to_one_dfsp_per_currency"
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.fsp}"
