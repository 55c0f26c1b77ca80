"""Immediate gross settlement: soon after a commit its amount moves from both positions to the settlement accounts.

Per commit two entries: the payer's SETTLEMENT pays its POSITION, the payee's POSITION pays its SETTLEMENT.
Many commits are moved by one transaction, in the order in which they were made, so no cover is ever overdrawn.
"""

from collections.abc import Sequence

import structlog
from django.db import transaction

from ledger import postings
from ledger.models import Entry, SettlementWindow
from ledger.postings import Posting
from settlement import store
from settlement.models import SettlementModel
from settlement.store import Commit

log = structlog.get_logger("settlement")

_MOST = 1000


def immediate_models() -> list[SettlementModel]:
    """The models whose commits are settled at once."""
    return list(SettlementModel.objects.filter(is_active=True, delay=SettlementModel.Delay.IMMEDIATE))


def settle_new_commits() -> int:
    """Settles what was committed in the open window under these models; returns how many commits."""
    settled = 0
    for model in immediate_models():
        while moved := _settle_some(model.pk):
            settled += moved
    return settled


@transaction.atomic(durable=True)
def _settle_some(model_id: int) -> int:
    # Another process that is at it already needs no help.
    found = SettlementModel.objects.select_for_update(skip_locked=True).filter(pk=model_id, is_active=True).first()
    if found is None:
        return 0
    window = SettlementWindow.objects.get(state=SettlementWindow.State.OPEN)
    commits = _move(found, window.pk, after=found.settled_to)
    if commits:
        seen = min(commits[-1].entry_id, store.surely_seen())
        found.settled_to = max(found.settled_to, seen)
        found.save(update_fields=["settled_to"])
    return len(commits)


def settle_window(model: SettlementModel, window_id: int) -> None:
    """Settles all that a closed window still holds; in the caller's transaction."""
    model = SettlementModel.objects.select_for_update().get(pk=model.pk)
    while _move(model, window_id, after=0):
        pass


def _move(model: SettlementModel, window_id: int, *, after: int) -> Sequence[Commit]:
    commits = store.unsettled(
        window_id, model.currency or "", into=model.settlement_account_type, after=after, limit=_MOST
    )
    if not commits:
        return commits
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
    postings.lock(accounts)
    postings.post([posting for commit in commits for posting in _postings(commit, model.currency or "")])
    log.info("settled_gross", model=model.name, commits=len(commits))
    return commits


def _postings(commit: Commit, currency: str) -> tuple[Posting, Posting]:
    transfer_id, amount = commit.transfer_id, commit.amount
    return (
        Posting(Entry.Kind.GROSS_PAYER, transfer_id, commit.payer_settlement, commit.payer_position, currency, amount),
        Posting(Entry.Kind.GROSS_PAYEE, transfer_id, commit.payee_position, commit.payee_settlement, currency, amount),
    )
