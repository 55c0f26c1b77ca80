"""Periodic tasks of the directory. The tasks have no arguments, because each task reads its work from the database."""

from celery import shared_task

from directory import party_lookups


@shared_task(name="directory.tasks.report_unanswered", ignore_result=True)
def report_unanswered() -> int:
    """Sends an error to the requester of each unanswered GET /parties, and deletes old lookups. Returns the number of
    errors sent."""
    try:
        return party_lookups.report_unanswered()
    finally:
        party_lookups.forget_ended()
