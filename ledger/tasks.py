"""Ticks of the ledger. They carry nothing: what is due stands in the database."""

from celery import shared_task

from hub.sweeps import batches
from ledger import engine, limit_alarms, store
from ledger.bulk import services as bulk
from ledger.fx import store as fx_store
from ledger.fx.messages import FxAborted, FxExpire
from ledger.messages import Aborted, Expire

_SWEEP = 500
# A row that somebody else holds must not take a sweep the time of many: its turn comes again.
_ATTEMPTS = 2


@shared_task(name="ledger.tasks.expire_transfers", ignore_result=True)
def expire_transfers() -> int:
    """Aborts reservations past their expiration; returns how many. Two at once do no harm: each decides under locks.

    Transfers first: a conversion ends with its transfer.
    """
    return batches.each(_expire_transfers, bulk.expire, _expire_conversions)


@shared_task(name="ledger.tasks.watch_positions", ignore_result=True)
def watch_positions() -> None:
    """Says who has come near its limit; see `ledger.limit_alarms`."""
    limit_alarms.watch()


def _expire_transfers() -> int:
    return batches.in_groups(store.EXPIRY, find=store.past_expiry, work=_expire(Expire), most=_SWEEP)


def _expire_conversions() -> int:
    return batches.in_groups(fx_store.EXPIRY, find=fx_store.past_end, work=_expire(FxExpire), most=_SWEEP)


def _expire(command: type[Expire] | type[FxExpire]) -> batches.Work:
    def expire(ids: list[str]) -> int:
        outcomes = engine.run([command(id) for id in ids], attempts=_ATTEMPTS)
        return sum(isinstance(outcome, Aborted | FxAborted) for outcome in outcomes)

    return expire
