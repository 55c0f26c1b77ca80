"""Queries of the ledger for the portal, reports and other apps. Amounts are whole ten-thousandths."""

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from fspiop import base64url, ilp, strictjson
from fspiop.errors import FspiopError
from hub.participants.models import Participant
from ledger.models import Account, Entry, FxTransfer, TransferEvent

CURRENCIES_OF_A_PARTICIPANT = """
    SELECT a.currency FROM ledger_account a WHERE a.participant_id = p.id AND a.type = 'POSITION' AND a.is_active
"""
"""The currencies in which a participant has an active POSITION account. The participant's payments need these accounts.
`p` is the participant's row."""


def value_of(account: Account) -> int:
    """Returns an account's value as the administration API defines it: debits minus credits, plus reserved amounts.

    A positive value of a POSITION account is a debt to the scheme. A negative value of a SETTLEMENT account is the
    participant's money at the settlement bank.
    """
    return int(account.posted_debits - account.posted_credits + account.pending_debits)


def cover_of(settlement: Account) -> int:
    """Returns the liquidity cover: the money in the SETTLEMENT account, minus the amounts on hold."""
    return -value_of(settlement) - int(settlement.on_hold)


def accounts_of(participant: Participant, currency: str | None = None) -> QuerySet[Account]:
    accounts = Account.objects.filter(participant=participant).order_by("id")
    return accounts.filter(currency=currency) if currency else accounts


def positions_of(participant: Participant, currency: str | None = None) -> QuerySet[Account]:
    return accounts_of(participant, currency).filter(type=Account.Type.POSITION)


def was_converted_since(currency: str, moment: datetime) -> bool:
    """Returns whether a conversion from or to this currency has arrived since this time."""
    conversions = FxTransfer.objects.filter(Q(source_currency=currency) | Q(target_currency=currency))
    return conversions.filter(received_at__gte=moment).exists()


def limits(currency: str | None = None) -> QuerySet[Account]:
    """Returns the POSITION accounts that have a net debit cap."""
    accounts = Account.objects.filter(type=Account.Type.POSITION, net_debit_cap__isnull=False).order_by("id")
    return (accounts.filter(currency=currency) if currency else accounts).select_related("participant")


def transaction_of(transfer_id: str) -> dict[str, Any] | None:
    """Returns the Transaction object in the ILP packet (FSPIOP API v1.1, section 7.4.17), or None."""
    # The row of a transfer's first state, RESERVED or ABORTED, contains the prepare. The table has a separate index for
    # each state, so this function runs two queries.
    events = TransferEvent.objects.filter(transfer_id=transfer_id)
    event = events.filter(state="RESERVED").first() or events.filter(state="ABORTED").first()
    if event is None or event.body is None:
        return None
    try:
        packet = json.loads(bytes(event.body))["ilpPacket"]
        found = strictjson.loads(base64url.decode(ilp.decode_payment(packet).data.decode("ascii")))
    except (ValueError, KeyError, FspiopError):
        return None  # the hub cannot read the packet, or the packet contains no Transaction object
    return found if isinstance(found, dict) else None


def committed_transfers(between: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Returns the committed transfers, for comparison with the participants' own books. The transfer with the earliest
    commit comes first.

    If `between` has names of participants, returns only transfers between these participants.
    """
    transfers = Entry.objects.filter(kind=Entry.Kind.TRANSFER)
    if between:
        accounts = list(Account.objects.filter(participant__name__in=between).values_list("pk", flat=True))
        transfers = transfers.filter(debit_account__in=accounts, credit_account__in=accounts)
    entries = transfers.order_by("id").values_list(
        "transfer_id",
        "debit_account__participant__name",
        "credit_account__participant__name",
        "amount",
        "currency",
        "window_id",
    )
    for transfer_id, payer, payee, amount, currency, window_id in entries.iterator(chunk_size=2000):
        yield {
            "transferId": transfer_id,
            "payer": payer,
            "payee": payee,
            "amount": amount,
            "currency": currency,
            "window": window_id,
        }
