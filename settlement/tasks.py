"""The tick of settlement. It carries nothing: what is due stands in the database."""

from celery import shared_task

from hub.sweeps import batches
from settlement import gross_settlement, services


@shared_task(name="settlement.tasks.catch_up", ignore_result=True)
def catch_up() -> None:
    """Settles new commits under immediate models, and adds up windows whose closer died. Two at once do no harm."""
    batches.each(services.total_up_what_is_left, gross_settlement.settle_new_commits)
