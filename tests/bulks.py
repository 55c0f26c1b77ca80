"""Bulk transfers as the ledger takes them, beside the single ones of `tests.world`."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from fspiop import strictjson
from ledger.bulk import engine
from ledger.bulk.commands_and_outcomes import BulkExpire, BulkFulfil, BulkOutcome, BulkPrepare, BulkReject, ItemResult
from ledger.bulk.states import BulkState
from ledger.commands_and_outcomes import PaymentMessage, Prepare
from tests.keys import CONDITION, FULFILMENT
from tests.world import CURRENCY, World, prepare

ACCEPT = "application/vnd.interoperability.bulkTransfers+json;version=1.1"


def digest_of(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def message(body: bytes = b"{}") -> PaymentMessage:
    return PaymentMessage(body, {"fspiop-source": "test", "accept": ACCEPT}, "1.1")


def bulk_prepare(
    world: World,
    payer: str,
    payee: str,
    amounts: Sequence[str | int],
    *,
    bulk_id: str | None = None,
    item_ids: Sequence[str] = (),
    expires_in: float = 60,
) -> BulkPrepare:
    """A bulk of these amounts; with `bulk_id` and `item_ids` given, equal arguments are the same message."""
    bulk_id = bulk_id or str(uuid.uuid4())
    item_ids = item_ids or [str(uuid.uuid4()) for _ in amounts]
    expires_at = datetime.now(UTC) + timedelta(seconds=expires_in)

    def item(item_id: str, text: str | int) -> Prepare:
        one = prepare(world, payer, payee, text, transfer_id=item_id)
        return replace(
            one,
            expires_at=expires_at,
            digest=digest_of(bulk_id, item_id),
            message=PaymentMessage(b"", {}, "1.1"),
            bulk_id=bulk_id,
        )

    individual = [
        {
            "transferId": item_id,
            "transferAmount": {"amount": str(text), "currency": CURRENCY},
            "condition": CONDITION,
        }
        for item_id, text in zip(item_ids, amounts, strict=True)
    ]
    body = {"bulkTransferId": bulk_id, "payerFsp": payer, "payeeFsp": payee, "individualTransfers": individual}
    return BulkPrepare(
        bulk_id=bulk_id,
        quote_id=str(uuid.uuid4()),
        source_id=world.ids[payer],
        payer=payer,
        payee=payee,
        expires_at=expires_at,
        items=[item(item_id, text) for item_id, text in zip(item_ids, amounts, strict=True)],
        digest=digest_of(bulk_id, payer, payee, amounts, item_ids, expires_in),
        message=message(strictjson.canonical(body)),
    )


def bulk_fulfil(
    world: World, payee: str, asked: BulkPrepare, results: Mapping[str, ItemResult] | None = None
) -> BulkFulfil:
    """The payee's answer; without results it fulfils every item."""
    if results is None:
        results = {item.transfer_id: ItemResult(FULFILMENT) for item in asked.items}
    return BulkFulfil(
        bulk_id=asked.bulk_id,
        source_id=world.ids[payee],
        destination=asked.payer,
        state=BulkState.COMPLETED,
        results=results,
        digest=digest_of(asked.bulk_id, [(item_id, repr(results[item_id])) for item_id in sorted(results)]),
        message=message(),
    )


def bulk_reject(world: World, payee: str, asked: BulkPrepare) -> BulkReject:
    digest = digest_of(asked.bulk_id, "error")
    return BulkReject(asked.bulk_id, world.ids[payee], asked.payer, "5104", "no", digest, message())


def run_bulk(command: BulkPrepare | BulkFulfil | BulkReject | BulkExpire) -> BulkOutcome:
    return engine.run(command)
