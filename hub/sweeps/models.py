"""What periodic batches remember: the rows that one could not work on, and how far texts were erased."""

import pgtrigger
from django.db import models
from django.db.models.functions import Now


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


class Erasure(models.Model):
    """Up to when the texts of a kind of rows were erased: what is missing before is kept no longer.

    `position` is where the next run goes on, of what is found by its number and not by its time.
    """

    kind = models.CharField(max_length=32, primary_key=True)
    up_to = models.DateTimeField()
    position = models.BigIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["kind"]
        triggers = [
            pgtrigger.Protect(
                name="an_erasure_only_goes_on",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "(NEW.kind <> OLD.kind OR NEW.up_to < OLD.up_to OR NEW.position < OLD.position)"
                ),
            ),
            pgtrigger.Protect(name="an_erasure_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.kind} up to {self.up_to:%Y-%m-%d %H:%M}"
