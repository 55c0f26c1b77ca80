"""Ticks of the directory. They carry nothing: what is due stands in the database."""

from celery import shared_task

from directory import party_lookups


@shared_task(name="directory.tasks.report_unanswered", ignore_result=True)
def report_unanswered() -> int:
    """Tells those whose GET /parties nobody answered in time, and forgets lookups that ended; returns how many told."""
    try:
        return party_lookups.report_unanswered()
    finally:
        party_lookups.forget_ended()
