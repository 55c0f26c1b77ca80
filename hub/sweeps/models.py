"""The state of periodic batches: the failed rows, and the progress of the erasure of old texts."""

import pgtrigger
from django.db import models
from django.db.models.functions import Now


class SkippedRow(models.Model):
    """A row that a batch skips until `due_at`, with the reason.

    The batch deletes the record of a skipped row when it has processed the row.

    `attempts` is the number of attempts with this row alone. Zero means that the row was tried only in a group, and
    that this group failed. The key "*" means that the search for the batch's rows failed.
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
        # for the rows that the batch must try again
        indexes = [models.Index(fields=["batch", "attempts", "due_at"], name="skipped_by_due")]

    def __str__(self) -> str:
        return f"{self.batch} {self.row}"


class Erasure(models.Model):
    """The progress of erasure for one kind of rows. All texts from before `up_to` have been erased, because the hub
    keeps such texts only for a limited time. Some erasures process rows in the order of the rows' numbers. Such an
    erasure continues at the row with the number `position`.
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
