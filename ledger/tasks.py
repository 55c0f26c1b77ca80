"""Ticks of the ledger. They carry nothing: what is due stands in the database."""

from collections.abc import Callable

from celery import shared_task

from ledger import alarms, engine, store
from ledger.bulk import services as bulk
from ledger.fx import store as fx_store
from ledger.fx.messages import FxAborted, FxExpire
from ledger.messages import Aborted, Expire

_SWEEP = 500
_MOST_SWEEPS = 20


@shared_task(name="ledger.tasks.expire_transfers", ignore_result=True)
def expire_transfers() -> int:
    """Aborts reservations past their expiration; returns how many. Two at once do no harm: each decides under locks.

    Transfers first: a conversion ends with its transfer.
    """
    expired = _sweep(store.past_expiry, Expire) + bulk.expire()
    return expired + _sweep(fx_store.past_end, FxExpire)


@shared_task(name="ledger.tasks.watch_positions", ignore_result=True)
def watch_positions() -> None:
    """Says who has come near its limit; see `ledger.alarms`."""
    alarms.watch()


def _sweep(find: Callable[[int], list[str]], command: type[Expire] | type[FxExpire]) -> int:
    expired = 0
    for _ in range(_MOST_SWEEPS):
        ids = find(_SWEEP)
        if ids:
            outcomes = engine.run([command(id) for id in ids])
            expired += sum(isinstance(outcome, Aborted | FxAborted) for outcome in outcomes)
        if len(ids) < _SWEEP:
            break
    return expired
