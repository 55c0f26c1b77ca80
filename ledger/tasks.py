"""The ledger's periodic tasks. The tasks have no arguments, because each task reads its work from the database."""

from celery import shared_task

from hub.sweeps import isolating_batches
from ledger import engine, limit_alarms, store
from ledger.bulk import state_answers_and_expiry as bulk
from ledger.commands_and_outcomes import Aborted, Expire
from ledger.fx import store as fx_store
from ledger.fx.commands_and_outcomes import FxAborted, FxExpire
from ledger.held_transfers import services as held_transfers

_SWEEP = 500
# The number of attempts is small, so that one locked row does not use up the sweep's time. The next sweep tries the row
# again.
_ATTEMPTS = 2


@shared_task(name="ledger.tasks.expire_transfers", ignore_result=True)
def expire_transfers() -> int:
    """Aborts expired reservations. Returns the number of aborted reservations.

    Two runs can overlap without harm, because each run locks the rows that it decides.

    Expires transfers before conversions, because a conversion ends together with its transfer.
    """
    return isolating_batches.each(_expire_transfers, bulk.expire, _expire_conversions)


@shared_task(name="ledger.tasks.release_held_transfers", ignore_result=True)
def release_held_transfers() -> int:
    """Sends the held transfers whose hold has expired, and aborts the transfers that people have refused.

    Returns the number of transfers that the task has sent or aborted.
    """
    return held_transfers.work_off()


@shared_task(name="ledger.tasks.watch_positions", ignore_result=True)
def watch_positions() -> None:
    """Logs the positions that have come near their limits (see `ledger.limit_alarms`)."""
    limit_alarms.watch()


def _expire_transfers() -> int:
    return isolating_batches.in_groups(store.EXPIRY, find=store.past_expiry, work=_expire(Expire), most=_SWEEP)


def _expire_conversions() -> int:
    return isolating_batches.in_groups(fx_store.EXPIRY, find=fx_store.past_end, work=_expire(FxExpire), most=_SWEEP)


def _expire(command: type[Expire] | type[FxExpire]) -> isolating_batches.Work:
    def expire(ids: list[str]) -> int:
        outcomes = engine.run([command(id) for id in ids], attempts=_ATTEMPTS)
        return sum(isinstance(outcome, Aborted | FxAborted) for outcome in outcomes)

    return expire
