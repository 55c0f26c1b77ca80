"""The audit trail: who did what, when, before and after. Rows are only ever added, each chained to the one before."""

import pgtrigger
from django.db import models


class Entry(models.Model):
    at = models.DateTimeField()
    actor = models.CharField(max_length=128)
    address = models.GenericIPAddressField(null=True)  # where from, of what came over a network
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=128)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "entries"
        indexes = [
            # one subject's history
            models.Index(fields=["subject", "id"], name="audit_by_subject"),
            # the portal's search by time
            models.Index(fields=["at"], name="audit_by_time"),
        ]
        triggers = [
            pgtrigger.Protect(name="audit_entries_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.subject}"
