"""Immediate gross settlement. Soon after a commit, two entries move the amount of the commit from the positions to the
SETTLEMENT accounts.

Two entries settle a commit. The first entry posts the amount from the payer's SETTLEMENT account to the payer's
POSITION account. The second entry posts the amount from the payee's POSITION account to the payee's SETTLEMENT account.
One database transaction settles many commits, in the order of the commits. So no cover ever becomes negative. If a
commit cannot be settled, the hub skips this commit and the commits that depend on it. Later, the hub tries to settle
the skipped commits. The database guarantees that no cover becomes negative.
"""

from collections.abc import Sequence
from functools import partial

import structlog
from django.db import transaction

from hub.sweeps import isolating_batches
from ledger import settlement_postings
from ledger.models import Entry, SettlementWindow
from ledger.settlement_postings import Posting
from settlement import window_totals_and_commits
from settlement.models import SettlementModel
from settlement.window_totals_and_commits import Commit

log = structlog.get_logger("settlement")

_MOST = 1000


def immediate_models() -> list[SettlementModel]:
    """Returns the active settlement models with immediate settlement."""
    return list(SettlementModel.objects.filter(is_active=True, delay=SettlementModel.Delay.IMMEDIATE))


def batch_of(model: SettlementModel) -> str:
    """Returns the name under which the hub records the skipped commits of this settlement model."""
    return f"gross-settlement {model.currency}"


def settle_new_commits() -> int:
    """Settles the commits of the open window under all settlement models that settle immediately. Returns the number of
    settled commits."""
    return isolating_batches.each(*(partial(_settle_new, model) for model in immediate_models()))


def _settle_new(model: SettlementModel) -> int:
    return isolating_batches.in_groups(
        batch_of(model), find=partial(_find, model.pk), work=partial(_settle, model.pk), most=_MOST
    )


@transaction.atomic(durable=True)
def _find(model_id: int, most: int) -> list[str]:
    model = _lock(model_id)
    window = SettlementWindow.objects.get(state=SettlementWindow.State.OPEN)
    seen = window_totals_and_commits.surely_seen()
    found = window_totals_and_commits.unsettled(
        window.pk, model.currency or "", batch=batch_of(model), after=model.settled_to, limit=most
    )
    # All entries before the first found entry are settled or recorded as skipped. So later runs begin at the found
    # entry.
    settled_to = min(seen, found[0] - 1) if found else seen
    if settled_to > model.settled_to:
        model.settled_to = settled_to
        model.save(update_fields=["settled_to"])
    return [str(entry_id) for entry_id in found]


@transaction.atomic(durable=True)
def _settle(model_id: int, entry_ids: list[str]) -> int:
    model = _lock(model_id)
    ids = [int(entry_id) for entry_id in entry_ids]
    commits = window_totals_and_commits.commits(ids, model.currency or "", into=model.settlement_account_type)
    _post(model, commits)
    return len(commits)


def _lock(model_id: int) -> SettlementModel:
    found = SettlementModel.objects.select_for_update(skip_locked=True).filter(pk=model_id, is_active=True).first()
    if found is None:
        raise isolating_batches.Busy
    return found


def settle_window(model: SettlementModel, window_id: int) -> None:
    """Settles all remaining commits of a closed window, in the caller's database transaction."""
    model = SettlementModel.objects.select_for_update().get(pk=model.pk)
    currency, into = model.currency or "", model.settlement_account_type
    while commits := window_totals_and_commits.unsettled_of_window(window_id, currency, into=into, limit=_MOST):
        _post(model, commits)


def _post(model: SettlementModel, commits: Sequence[Commit]) -> None:
    if not commits:
        return
    accounts = {
        account
        for commit in commits
        for account in (
            commit.payer_position,
            commit.payer_settlement,
            commit.payee_position,
            commit.payee_settlement,
        )
    }
    settlement_postings.lock(accounts)
    settlement_postings.post([posting for commit in commits for posting in _postings(commit, model.currency or "")])
    log.info("settled_gross", model=model.name, commits=len(commits))


def _postings(commit: Commit, currency: str) -> tuple[Posting, Posting]:
    transfer_id, amount = commit.transfer_id, commit.amount
    return (
        Posting(Entry.Kind.GROSS_PAYER, transfer_id, commit.payer_settlement, commit.payer_position, currency, amount),
        Posting(Entry.Kind.GROSS_PAYEE, transfer_id, commit.payee_position, commit.payee_settlement, currency, amount),
    )
