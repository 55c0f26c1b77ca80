"""Creates the transfers for `bench.database_ceiling` and `bench.engine`, with the same messages as the load
generator."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import messages

PAYER, PAYEE = "limitpayer", "limitpayee"
AMOUNT = 10_000  # the amount "1" (`messages.AMOUNT`) in ten-thousandths


@dataclass(frozen=True)
class Row:
    """One transfer: its id, its two bodies, and the values in the bodies."""

    transfer_id: str
    condition: str
    fulfilment: str
    prepare: bytes
    fulfil: bytes
    expires_at: datetime


def rows(count: int) -> list[Row]:
    """Creates new rows. Call this function before the measurement starts."""
    clock = messages.Clock()
    clock.tick()
    pool = messages.pool(PAYER, PAYEE)
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return [_row(pool[number % len(pool)], clock, expires_at) for number in range(count)]


def _row(packet: messages.Packet, clock: messages.Clock, expires_at: datetime) -> Row:
    transfer_id = str(uuid.uuid4())
    prepare = messages.prepare_body(
        PAYER.encode(), PAYEE.encode(), packet.ilp_packet, packet.condition, transfer_id.encode(), clock
    )
    fulfil = b'{"completedTimestamp":"%b","fulfilment":"%b","transferState":"COMMITTED"}' % (
        clock.now,
        packet.fulfilment,
    )
    return Row(transfer_id, packet.condition.decode(), packet.fulfilment.decode(), prepare, fulfil, expires_at)


def headers(source: str, destination: str) -> dict[str, str]:
    """Returns the headers of a message between these two DFSPs."""
    kind = "application/vnd.interoperability.transfers+json;version=1"
    return {
        "content-type": f"{kind}.1",
        "accept": kind,
        "date": "Tue, 24 Nov 2026 08:00:00 GMT",
        "fspiop-source": source,
        "fspiop-destination": destination,
    }


def batches(found: list[Row], size: int) -> list[list[Row]]:
    """Returns the rows in batches of this size. The last batch can be smaller."""
    return [found[start : start + size] for start in range(0, len(found), size)]


def onboard() -> dict[str, tuple[int, int]]:
    """Onboards the payer DFSP and the payee DFSP through the administration API. For each name, returns the
    participant's id and the id of the participant's POSITION account."""
    from hub.participants import services as participants
    from ledger import accounts_and_funds
    from ledger.models import Account

    participants.hub()
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        if not Account.objects.filter(type=account_type).exists():
            accounts_and_funds.open_hub_account(account_type=account_type, currency=messages.CURRENCY, actor="bench")
    return {name: _onboard_one(name) for name in (PAYER, PAYEE)}


def _onboard_one(name: str) -> tuple[int, int]:
    from hub.participants.models import Participant
    from ledger import accounts_and_funds
    from ledger.models import Account

    participant = Participant.objects.filter(name=name).first()
    if participant is None:
        currency, much = messages.CURRENCY, 10**13
        participant = accounts_and_funds.register_participant(
            name=name, currency=currency, is_proxy=False, actor="bench"
        )
        accounts_and_funds.set_initial_limit(participant, currency=currency, ndc=much, actor="bench")
        settlement: Any = Account.objects.get(participant=participant, type="SETTLEMENT")
        accounts_and_funds.record_funds_in(
            settlement,
            transfer_id=str(uuid.uuid4()),
            amount=much,
            reason="bench",
            external_reference="",
            actor="bench",
        )
    account = Account.objects.get(participant=participant, type="POSITION")
    return participant.pk, account.pk
