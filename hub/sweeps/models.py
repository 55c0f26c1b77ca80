"""The rows that a periodic batch could not work on, so that one of them stops nobody else's."""

from django.db import models


class SkippedRow(models.Model):
    """A row that a batch passes by until `due_at`, and why. Deleted once the batch has worked on it.

    `attempts` counts those in which the row was alone: 0 where it was in a group that failed and is still to be tried
    alone. The row "*" stands for the batch itself, where its rows could not even be found.
    """

    batch = models.CharField(max_length=32)
    row = models.CharField(max_length=64)
    error = models.CharField(max_length=300)
    attempts = models.PositiveIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["first_at", "id"]
        constraints = [models.UniqueConstraint(fields=["batch", "row"], name="a_batch_skips_a_row_once")]
        # what is to be tried again
        indexes = [models.Index(fields=["batch", "attempts", "due_at"], name="skipped_by_due")]

    def __str__(self) -> str:
        return f"{self.batch} {self.row}"
