"""Computes a payer DFSP's position and cap at the time of a refused transfer, from the stored entries and transfers.

The hub does not store the position and the cap with a refusal. The order of the hub's decisions about simultaneous
requests can differ from the order of the stored times. The figures can therefore wrongly include or omit payments of
the same moment.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from hub.audit.models import Entry as AuditEntry
from ledger.funds_models import CoverHold
from ledger.models import Account, Transfer
from portal.queries import balance_checkpoints

_MOST = 20_000  # the maximum number of earlier transfers to read for the reserved amount

_RESERVED = """
    SELECT coalesce(sum(amount) FILTER (WHERE payer_account_id = %s AND (completed_at IS NULL OR completed_at > %s)), 0)
    FROM (SELECT amount, payer_account_id, completed_at FROM ledger_transfer
          WHERE payer_id = %s AND received_at <= %s ORDER BY received_at DESC LIMIT %s) latest
"""


@dataclass(frozen=True, slots=True)
class LimitsThen:
    """The payer DFSP's figures at the time of the refusal, in ten-thousandths. `cap` and `cover` are None if they are
    not known."""

    posted: int
    reserved: int
    cap: int | None
    cover: int | None

    @property
    def used(self) -> int:
        return self.posted + self.reserved

    def free(self, limit: int) -> int:
        return max(0, limit - self.used)


def at_refusal(transfer: Transfer) -> LimitsThen | None:
    """Returns the position and the cap of the payer DFSP. Returns None if another participant (an FXP) pays, or if
    there is no account."""
    if transfer.payer_conversion_id is not None:
        return None
    accounts = {
        account.type: account
        for account in Account.objects.filter(participant_id=transfer.payer_id, currency=transfer.currency)
    }
    position, settlement = accounts.get(Account.Type.POSITION), accounts.get(Account.Type.SETTLEMENT)
    if position is None or position.net_debit_cap is None:
        return None
    at = transfer.received_at
    return LimitsThen(
        posted=_posted(position, at),
        reserved=_reserved(position, transfer),
        cap=_cap(position, transfer.payer.name, at),
        cover=_cover(settlement, at),
    )


def _posted(account: Account, at: datetime) -> int:
    later = balance_checkpoints.first_since(account.pk, at)
    sums = balance_checkpoints.sums_before(account.pk, *([] if later is None else [later]))
    return sums.debits - sums.credits


def _reserved(account: Account, transfer: Transfer) -> int:
    at = transfer.received_at
    with connection.cursor() as cursor:
        cursor.execute(_RESERVED, [account.pk, at, transfer.payer_id, at, _MOST])
        return int(cursor.fetchone()[0])


def _cap(account: Account, name: str, at: datetime) -> int | None:
    """Returns the cap that applied at this time: the value before the next change, or the present cap if no change came
    later."""
    changes = AuditEntry.objects.filter(
        subject=name, action="ndc_changed", at__gt=at, after__currency=account.currency
    ).order_by("id")
    before = changes.values_list("before", flat=True).first()
    return int(before["ndc"]) if before else account.net_debit_cap


def _cover(account: Account | None, at: datetime) -> int | None:
    """Returns the money in the settlement account. If any part of this money was on hold for a settlement at this time
    or before, returns None."""
    if account is None or CoverHold.objects.filter(account=account, created_at__lte=at).exists():
        return None
    return -_posted(account, at)
