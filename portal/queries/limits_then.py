"""Computes the position and the limits of a payment's debtor at the time of a refused transfer. The debtor is the DFSP
whose position the payment would have debited: the payer DFSP, or the FXP that converts the payer's money.

The hub does not store the position and the limits with a refusal. The module computes them from the stored entries,
transfers, conversions, holds and movements of funds. The order of the hub's decisions about simultaneous requests can
differ from the order of the stored times. The figures can therefore wrongly include or omit payments of the same
moment.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from hub.audit.models import Entry as AuditEntry
from ledger.fx.snapshot import Side
from ledger.models import Account, FxTransfer, Transfer
from portal.queries import balance_checkpoints

_MOST = 10_000  # the maximum number of earlier transfers, and of earlier conversions, to read for the reserved amount

# A conversion reserves its own leg on the position of the participant that the leg debits. The transfer that follows a
# payer's conversion reserves its amount on the position of the FXP.
# PostgreSQL can use only the index of the participant and the time for these comparisons of rows. If the two columns
# were compared separately, PostgreSQL could read the latest transfers of all participants instead.
_RESERVED = """
    WITH own AS (
        SELECT amount, payer_account_id, completed_at FROM ledger_transfer
        WHERE (payer_id, received_at) <= (%(owner)s, %(at)s) AND payer_id >= %(owner)s
        ORDER BY payer_id DESC, received_at DESC LIMIT %(most)s),
    requested AS (
        SELECT * FROM ledger_fxtransfer
        WHERE (initiator_id, received_at) <= (%(owner)s, %(at)s) AND initiator_id >= %(owner)s
        ORDER BY initiator_id DESC, received_at DESC LIMIT %(most)s),
    carried_out AS (
        SELECT * FROM ledger_fxtransfer
        WHERE (fxp_id, received_at) <= (%(owner)s, %(at)s) AND fxp_id >= %(owner)s
        ORDER BY fxp_id DESC, received_at DESC LIMIT %(most)s)
    SELECT coalesce(sum(amount), 0)
    FROM (SELECT amount FROM own
          WHERE payer_account_id = %(account)s AND (completed_at IS NULL OR completed_at > %(at)s)
          UNION ALL
          SELECT source_amount FROM requested
          WHERE side = 'PAYER' AND debit_account_id = %(account)s AND (completed_at IS NULL OR completed_at > %(at)s)
          UNION ALL
          SELECT target_amount FROM carried_out
          WHERE side = 'PAYEE' AND debit_account_id = %(account)s AND (completed_at IS NULL OR completed_at > %(at)s)
          UNION ALL
          SELECT t.amount FROM carried_out c
          JOIN ledger_transfer t ON t.transfer_id = c.determining_transfer_id
                                AND t.payer_conversion_id = c.commit_request_id
          WHERE (c.completed_at IS NULL OR c.completed_at > %(at)s)
            AND t.payer_account_id = %(account)s AND t.received_at <= %(at)s) reserved
"""
# Returns the amount on hold, and whether this amount is uncertain. A committed withdrawal can have reduced its hold at
# the withdrawal's first step or at the withdrawal's commit, and the stored row does not show at which step. Between
# these two steps, the hold is therefore uncertain.
_ON_HOLD = """
    SELECT coalesce(sum(h.amount - h.paid_before - taken.amount), 0), coalesce(bool_or(taken.is_uncertain), false)
    FROM ledger_coverhold h
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(m.from_hold) FILTER (
                   WHERE CASE m.state WHEN 'COMMITTED' THEN m.completed_at <= %(at)s
                                      ELSE m.completed_at IS NULL OR m.completed_at > %(at)s END), 0) AS amount,
               bool_or(m.state = 'COMMITTED' AND m.completed_at > %(at)s
                       AND m.created_at >= h.created_at) AS is_uncertain
        FROM ledger_fundsmovement m WHERE m.hold_id = h.id AND m.created_at <= %(at)s) taken
    WHERE h.account_id = %(account)s AND h.created_at <= %(at)s AND (h.released_at IS NULL OR h.released_at > %(at)s)
"""
_WITHDRAWALS = """
    SELECT coalesce(sum(amount), 0) FROM ledger_fundsmovement
    WHERE account_id = %(account)s AND kind = 'FUNDS_OUT' AND created_at <= %(at)s
      AND (completed_at IS NULL OR completed_at > %(at)s)
"""


@dataclass(frozen=True, slots=True)
class Debtor:
    """The DFSP whose position a payment debits."""

    participant_id: int
    name: str


@dataclass(frozen=True, slots=True)
class LimitsThen:
    """The debtor's figures at the time of the refusal, in ten-thousandths. `cap` and `cover` are None if they are not
    known."""

    posted: int
    reserved: int
    cap: int | None
    cover: int | None

    @property
    def used(self) -> int:
        return self.posted + self.reserved

    def free(self, limit: int) -> int:
        return max(0, limit - self.used)


def debtor_of(transfer: Transfer) -> Debtor:
    """Returns the debtor of a transfer that the hub refused because of a limit. If the payer's money was converted for
    this transfer, the debtor is the FXP."""
    # The hub refuses the transfer and aborts its agreed conversion in one step. A refused transfer's own row does not
    # name the conversion.
    conversion = FxTransfer.objects.filter(
        determining_transfer_id=transfer.transfer_id,
        initiator_id=transfer.payer_id,
        side=Side.PAYER.value,
        reason="TRANSFER_WAS_ABORTED",
    ).first()
    if conversion is None or conversion.fxp_id is None:
        return Debtor(transfer.payer_id, transfer.payer.name)
    return Debtor(conversion.fxp_id, conversion.fxp_name)


def at_refusal(transfer: Transfer, debtor: Debtor) -> LimitsThen | None:
    """Returns the debtor's position and limits. Returns None if there is no account."""
    accounts = {
        account.type: account
        for account in Account.objects.filter(participant_id=debtor.participant_id, currency=transfer.currency)
    }
    position, settlement = accounts.get(Account.Type.POSITION), accounts.get(Account.Type.SETTLEMENT)
    if position is None or position.net_debit_cap is None:
        return None
    at = transfer.received_at
    return LimitsThen(
        posted=_posted(position, at),
        reserved=int(_one(_RESERVED, owner=debtor.participant_id, account=position.pk, at=at, most=_MOST)[0]),
        cap=_cap(position, debtor.name, at),
        cover=_cover(settlement, at),
    )


def _posted(account: Account, at: datetime) -> int:
    later = balance_checkpoints.first_since(account.pk, at)
    sums = balance_checkpoints.sums_before(account.pk, *([] if later is None else [later]))
    return sums.debits - sums.credits


def _cap(account: Account, name: str, at: datetime) -> int | None:
    """Returns the cap that applied at this time: the value before the next change, or the present cap if no change came
    later."""
    changes = AuditEntry.objects.filter(
        subject=name, action="ndc_changed", at__gt=at, after__currency=account.currency
    ).order_by("id")
    before = changes.values_list("before", flat=True).first()
    return int(before["ndc"]) if before else account.net_debit_cap


def _cover(account: Account | None, at: datetime) -> int | None:
    """Returns the money in the settlement account without the amounts on hold and the reserved withdrawals. Returns
    None if the amount on hold is uncertain."""
    if account is None:
        return None
    on_hold, is_uncertain = _one(_ON_HOLD, account=account.pk, at=at)
    if is_uncertain:
        return None
    withdrawals = _one(_WITHDRAWALS, account=account.pk, at=at)[0]
    return -_posted(account, at) - int(on_hold) - int(withdrawals)


def _one(statement: str, **parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()
