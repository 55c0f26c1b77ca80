"""Celery's periodic tasks for lists. After a change of a list, a task screens names. Another task deletes old names and
files."""

import time
from datetime import timedelta
from functools import partial

from celery import shared_task
from django.db.models.functions import Now

from hub.sweeps import isolating_batches
from rules.lists import screening
from rules.lists.models import StagedFile

_AT_ONCE = 500
# The task runs every two seconds. If a worker has only one free process, this process still has time for other tasks,
# such as the expiry of transfers.
_FOR_S = 1.4
_KEPT_DAYS = 400
_STAGED_FOR = timedelta(days=14)  # this time is longer than a request can wait for its approval
_MOST_AT_ONCE = 10_000


@shared_task(name="rules.lists.tasks.screen_names", ignore_result=True)
def screen_names() -> int:
    """Screens the names that were not screened after the last change of the listed names. Names that were never
    screened come first. If this process does not have the latest listed names yet, does nothing."""
    if not screening.has_latest_names():
        return 0
    work = partial(screening.screen_again, until=time.monotonic() + _FOR_S)
    return isolating_batches.in_groups(screening.BATCH, find=screening.waiting, work=work, most=_AT_ONCE, for_s=_FOR_S)


@shared_task(name="rules.lists.tasks.tidy", ignore_result=True)
def tidy() -> None:
    """Deletes the names of the parties that no message has named for 400 days. Deletes files that nobody approved."""
    screening.forget_unseen(days=_KEPT_DAYS, most=_MOST_AT_ONCE)
    StagedFile.objects.filter(staged_at__lt=Now() - _STAGED_FOR).delete()
