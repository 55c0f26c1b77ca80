"""The periodic task of profiles."""

from celery import shared_task

from rules.profiles import folding


@shared_task(name="rules.profiles.tasks.fold", ignore_result=True)
def fold() -> int:
    """Adds waiting payments to profiles: see `rules.profiles.folding`."""
    return folding.fold()
