"""GET /transactions/{ID}: the payer DFSP learns whether the customer has the money, and nobody else learns anything."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from kitovu_connector.client import Answer, Said
from kitovu_connector.inbound_message import Message
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Stage, Store
from kitovu_connector.transaction_states import TransactionStates
from tests.connector.hub_stub import config_of

TRANSACTION, TRANSFER = "85feac2f-39b2-491b-817e-4a03203d4f14", "b51ec534-ee48-4575-b6a9-ead2955b8069"


class Hub:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []

    async def send_until_taken(self, method: str, path: str, body: bytes, *, destination: str, **_: Any) -> Answer:
        self.sent.append((destination, path, json.loads(body)))
        return Answer(Said.YES)


def quote() -> QuoteGiven:
    party = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "1"}}
    kind = {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"}
    request = {
        "quoteId": TRANSFER,
        "transactionId": TRANSACTION,
        "payee": party,
        "payer": party,
        "amountType": "SEND",
        "amount": {"amount": "1", "currency": "TZS"},
        "transactionType": kind,
    }
    return QuoteGiven(quote_id=TRANSFER, digest=b"", request=json.dumps(request).encode(), payer_fsp="blue")


def ask(folder: Path, stage: Stage, source: str, transaction_id: str = TRANSACTION) -> tuple[str, str, Any]:
    async def main() -> tuple[str, str, Any]:
        config = config_of(folder, "nothing")
        config.state.mkdir()
        store, hub = Store(config.state), Hub()
        states = TransactionStates(config, store, cast(Any, hub))
        sent = Incoming(transfer_id=TRANSFER, digest=b"", payer_fsp="blue", body=b"", expires_at=time.time() + 60)
        await store.add_incoming(msgspec.structs.replace(sent, stage=stage))
        await states.add(quote(), TRANSFER)
        await states.add(quote(), TRANSFER)  # after a crash
        message = Message(
            names={"id": transaction_id}, headers={}, raw=b"", source=source, sent_at=0.0, is_from_hub=False,
            came_via_hub=True,
        )  # fmt: skip
        [(_, _, handler)] = states.routes()
        assert await handler(message) == 202
        while not hub.sent:
            await asyncio.sleep(0.01)
        await states.close()
        await store.close()
        return hub.sent[0]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        (Stage.RECEIVED, "PENDING"),
        (Stage.FULFILLED, "PENDING"),
        (Stage.COMMITTING, "PENDING"),  # the hub has committed, and the customer does not have the money yet
        (Stage.COMMITTED, "COMPLETED"),
        (Stage.REJECTED, "REJECTED"),
        (Stage.ABORTED, "REJECTED"),
    ],
)
def test_the_state_is_completed_when_the_customer_has_the_money(tmp_path: Path, stage: Stage, state: str) -> None:
    destination, path, body = ask(tmp_path, stage, "blue")
    assert (destination, path) == ("blue", f"/transactions/{TRANSACTION}")
    assert body == {"transactionState": state}


@pytest.mark.parametrize(("source", "transaction_id"), [("red", TRANSACTION), ("blue", TRANSFER)])
def test_only_the_payer_dfsp_learns_the_state_of_a_transaction(
    tmp_path: Path, source: str, transaction_id: str
) -> None:
    destination, path, body = ask(tmp_path, Stage.COMMITTED, source, transaction_id)
    assert (destination, path) == (source, f"/transactions/{transaction_id}/error")
    assert body["errorInformation"]["errorCode"] == "3207"
