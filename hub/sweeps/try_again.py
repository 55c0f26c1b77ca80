"""Lets operators try skipped rows again after they have removed the cause of the failure."""

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from hub.audit import record
from hub.sweeps.models import SkippedRow


def try_again(row_id: int, *, actor: str) -> int:
    """Makes the next tick try this row again. Returns 0 if this row is no longer a skipped row."""
    return _try_again(SkippedRow.objects.filter(pk=row_id), actor)


def try_all_again(batch: str, *, actor: str) -> int:
    """Makes the next tick try all skipped rows of a batch again. Returns the number of skipped rows."""
    return _try_again(SkippedRow.objects.filter(batch=batch), actor)


@transaction.atomic
def _try_again(rows: "QuerySet[SkippedRow]", actor: str) -> int:
    batches: dict[str, list[str]] = {}
    for row in rows.select_for_update(no_key=True).order_by("id"):
        batches.setdefault(row.batch, []).append(row.row)
    for batch, names in batches.items():
        said = {"row": names[0]} if len(names) == 1 else {"rows": len(names)}
        record("skipped_rows_tried_again", subject=batch, actor=actor, after=said)
    return rows.update(due_at=Now())
