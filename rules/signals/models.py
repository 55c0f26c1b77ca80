"""Two tables. The first table logs each request for signals, and the second table contains the token buckets of each
DFSP."""

import pgtrigger
from django.db import models
from django.db.models.functions import Now

from hub.participants.models import Participant


class TokenBucket(models.Model):
    """A DFSP's token bucket for one kind of request: how many more of these requests the hub accepts now.

    The bucket gets new tokens over time, up to a maximum.
    """

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=16)
    tokens = models.FloatField()
    counted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["participant", "kind"], name="a_dfsp_has_one_bucket_of_each_kind")
        ]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.kind}: {self.tokens}"


class SignalAccess(models.Model):
    """One answer that the hub gave a DFSP about a party: the DFSP, the party, the time, and the content of the
    answer."""

    at = models.DateTimeField(db_default=Now())
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.BigIntegerField()
    is_known = models.BooleanField()
    markers = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name_plural = "signal accesses"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["participant", "id"], name="signal_accesses_by_dfsp"),
            models.Index(fields=["key", "id"], name="signal_accesses_by_party"),
            models.Index(fields=["at"], name="signal_accesses_by_time"),  # this index is for the deletion of old rows
        ]
        triggers = [pgtrigger.Protect(name="signal_accesses_do_not_change", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.at:%Y-%m-%d %H:%M:%S}"
