"""Ticks of the agreement phase. They carry nothing: what is due stands in the database."""

from celery import shared_task

from hub.sweeps import batches
from quotes import expiry
from quotes.forwarded import pending_requests
from quotes.transaction_requests import services


@shared_task(name="quotes.tasks.fail_unanswered", ignore_result=True)
def fail_unanswered() -> int:
    """Ends what nobody answered in time, and tells who asked; returns how many."""
    try:
        return batches.each(services.fail_unanswered, expiry.expire_unanswered, pending_requests.report_unanswered)
    finally:
        pending_requests.forget_ended()
