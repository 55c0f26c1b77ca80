"""Ticks of settlement. They carry nothing: what is due stands in the database."""

from celery import shared_task

from settlement import gross


@shared_task(name="settlement.tasks.settle_gross", ignore_result=True)
def settle_gross() -> int:
    """Settles new commits under immediate models; returns how many. Two at once do no harm."""
    return gross.settle_new_commits()
