"""Looks at the books at regular times, so that the overview can say when they were last found sound."""

import time

from celery import shared_task

from ledger import checks
from portal.models import LedgerCheck

_KEPT = 1000


@shared_task(name="portal.tasks.check_ledger", ignore_result=True, time_limit=1800)
def check_ledger() -> None:
    """Runs every invariant and keeps what it found."""
    began = time.monotonic()
    breaks = [found.invariant.name for found in checks.find_breaks()]
    done = LedgerCheck.objects.create(seconds=time.monotonic() - began, breaks=breaks)
    LedgerCheck.objects.filter(pk__lte=done.pk - _KEPT).delete()
