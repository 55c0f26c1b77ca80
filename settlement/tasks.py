"""The periodic task of settlement. The task has no arguments, because the database shows which commits are not
settled."""

from celery import shared_task

from hub.sweeps import isolating_batches
from settlement import gross_settlement, services


@shared_task(name="settlement.tasks.catch_up", ignore_result=True)
def catch_up() -> None:
    """Settles new commits under settlement models that settle immediately, and computes missing totals of closed
    windows. Two runs of this task can happen at the same time."""
    isolating_batches.each(services.total_up_what_is_left, gross_settlement.settle_new_commits)
