"""Periodic tasks of the directory. The tasks have no arguments, because they find the work that is due in the
database."""

from celery import shared_task

from directory import party_lookups


@shared_task(name="directory.tasks.report_unanswered", ignore_result=True)
def report_unanswered() -> int:
    """Reports unanswered GET /parties to their requesters, and deletes old lookups. Returns the number of reports."""
    try:
        return party_lookups.report_unanswered()
    finally:
        party_lookups.forget_ended()
