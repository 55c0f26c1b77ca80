"""The tables of recordings: the DFSPs whose requests are recorded now, and the recorded requests."""

from django.db import models
from django.db.models.functions import Now

LONGEST_BODY = 65_536
LONGEST_ANSWER = 2_000


class Recording(models.Model):
    """A DFSP whose messages to and from a counterpart are recorded for a limited time."""

    dfsp = models.CharField(max_length=32)
    counterpart = models.CharField(max_length=32)
    until = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.dfsp} with {self.counterpart}"


class RecordedRequest(models.Model):
    """A request exactly as it arrived, and the hub's response, even if the response is a refusal."""

    at = models.DateTimeField(db_default=Now())
    source = models.CharField(max_length=200)
    destination = models.CharField(max_length=200, blank=True)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=1024)
    headers = models.JSONField()
    body = models.BinaryField(max_length=LONGEST_BODY)
    status = models.PositiveSmallIntegerField()
    answer = models.CharField(max_length=LONGEST_ANSWER, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["at"], name="recorded_request_by_time")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
