"""The periodic tasks of the portal: ledger checks, removal of old data, sums for account statements, the history of
payments, replays of rules, and certifications."""

import time

from celery import shared_task

from hub.sweeps import isolating_batches
from hub.sweeps import store as skipped
from ledger import invariants
from portal import approval_mail, changes, customer_data_retention, history, replays
from portal.alarms import notifications
from portal.alarms import services as alarms
from portal.certification import starting_and_ending_runs
from portal.models import LedgerCheck
from portal.queries import balance_checkpoints, limit_use_per_minute

_KEPT = 1000
_UNCHECKED = "invariants"


@shared_task(name="portal.tasks.check_ledger", ignore_result=True, time_limit=1800)
def check_ledger() -> None:
    """Checks every invariant and stores the result."""
    began = time.monotonic()
    breaks = invariants.find_breaks()
    done = LedgerCheck.objects.create(seconds=time.monotonic() - began, breaks=[str(found) for found in breaks])
    skipped.forget_all(_UNCHECKED)
    for found in breaks:
        if found.error:
            skipped.remember(_UNCHECKED, [found.invariant.name], found.error, attempts=1)
    LedgerCheck.objects.filter(pk__lte=done.pk - _KEPT).delete()


@shared_task(name="portal.tasks.watch", ignore_result=True)
def watch() -> None:
    """Raises and ends alarms, sends new alarms, and sends an e-mail to the people who may approve new requests."""
    isolating_batches.each(
        alarms.look,
        notifications.notify_new,
        alarms.forget_old,
        limit_use_per_minute.store,
        approval_mail.write_to_checkers,
    )


@shared_task(name="portal.tasks.remove_old", ignore_result=True, time_limit=1800)
def remove_old() -> None:
    """Removes data after the retention period (see `portal.customer_data_retention`)."""
    customer_data_retention.remove_old()


@shared_task(name="portal.tasks.mark_entries", ignore_result=True, time_limit=300)
def mark_entries() -> None:
    """Adds checkpoints for the entries that were posted since the last run.

    A checkpoint has the sums of an account's entries, for account statements (see
    `portal.queries.balance_checkpoints`).
    """
    balance_checkpoints.mark()


@shared_task(name="portal.tasks.withdraw_outdated", ignore_result=True, time_limit=60)
def withdraw_outdated() -> None:
    """Withdraws the requests that can never be approved any more, because the data in these requests is out of date."""
    changes.withdraw_outdated()


@shared_task(name="portal.tasks.replay_rules", ignore_result=True)
def replay_rules() -> None:
    """Starts a process that runs one replay of rules: the replay that has waited longest (see `portal.replays`)."""
    replays.start()


@shared_task(name="portal.tasks.certify", ignore_result=True)
def certify() -> None:
    """Starts a process for the certifications that wait: `portal.certification.starting_and_ending_runs`."""
    starting_and_ending_runs.start()


@shared_task(name="portal.tasks.fold_history", ignore_result=True, time_limit=300)
def fold_history() -> None:
    """Adds the payments that have ended since the last run to the history of payments (see `portal.history`)."""
    history.fold()
