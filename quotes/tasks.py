"""The periodic tasks of the agreement phase.

The tasks have no arguments, because each task reads the overdue rows from the database.
"""

from celery import shared_task

from hub.sweeps import isolating_batches
from quotes import expiry
from quotes.forwarded import pending_requests
from quotes.transaction_requests import services


@shared_task(name="quotes.tasks.fail_unanswered", ignore_result=True)
def fail_unanswered() -> int:
    """Ends all requests that got no answer in time, such as requests for terms, and notifies the requesters. Returns
    the number of ended requests."""
    try:
        return isolating_batches.each(
            services.fail_unanswered, expiry.expire_unanswered, pending_requests.report_unanswered
        )
    finally:
        pending_requests.forget_ended()
