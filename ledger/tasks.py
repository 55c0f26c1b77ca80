"""Ticks of the ledger. They carry nothing: what is due stands in the database."""

from celery import shared_task

from ledger import engine, store
from ledger.bulk import services as bulk
from ledger.messages import Aborted, Expire

_SWEEP = 500
_MOST_SWEEPS = 20


@shared_task(name="ledger.tasks.expire_transfers", ignore_result=True)
def expire_transfers() -> int:
    """Aborts reservations past their expiration; returns how many. Two at once do no harm: each decides under locks."""
    expired = 0
    for _ in range(_MOST_SWEEPS):
        transfer_ids = store.past_expiry(_SWEEP)
        if transfer_ids:
            outcomes = engine.run([Expire(transfer_id) for transfer_id in transfer_ids])
            expired += sum(isinstance(outcome, Aborted) for outcome in outcomes)
        if len(transfer_ids) < _SWEEP:
            break
    return expired + bulk.expire()
