"""Answers GET /transactions/{ID}: whether the customer has the money of a payment (FSPIOP API v1.1, section 6.8)."""

import time

import msgspec

from fspiop import bodies
from fspiop.bodies.quotes import QuotePost
from fspiop.bodies.transactions import TransactionPut, TransactionState
from fspiop.errors import ErrorCode
from kitovu_connector import asking_the_core
from kitovu_connector.asking_the_core import No
from kitovu_connector.background import Background
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Stage, Store
from kitovu_connector.record_store import Records
from kitovu_connector.sender_shares import Shares

_MOST_WAITING = 64
_MOST_OF_ONE_DFSP = 16
_STATES: dict[Stage, TransactionState] = {
    Stage.COMMITTED: "COMPLETED",
    Stage.REJECTED: "REJECTED",
    Stage.ABORTED: "REJECTED",
}


class TransactionTransfer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The transfer that pays a transaction."""

    id: str  # of the transaction
    transfer_id: str
    digest: bytes = b""
    state: str = "KNOWN"
    is_open: bool = False
    alias: str | None = None


class TransactionStates:
    """The states of all transactions that pay a customer of this DFSP."""

    def __init__(self, config: Config, store: Store, hub: HubClient) -> None:
        self._config, self._store, self._hub = config, store, hub
        self._transfers = Records(store.database, "transaction_transfer", TransactionTransfer)
        self._background = Background()
        self._waiting = Shares(_MOST_WAITING, _MOST_OF_ONE_DFSP)

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives."""
        return [("GET", "/transactions/{id}", self._asked)]

    async def resume(self) -> None:
        """Begins to delete old records. The connector knows a transaction as long as it stores the terms of the
        transaction's payment.
        """
        kept_s = self._config.quote_retention_s
        self._background.start_once("delete old transactions", lambda: self._transfers.delete_old(kept_s))

    async def close(self) -> None:
        """Stops all tasks immediately."""
        await self._background.close()

    async def add(self, quote: QuoteGiven, transfer_id: str) -> None:
        """Records the transfer that pays a transaction on these terms. Returns when the record is durable."""
        transaction_id = bodies.read(QuotePost, quote.request).transaction_id
        await self._transfers.add(TransactionTransfer(id=transaction_id, transfer_id=transfer_id))

    async def _asked(self, message: Message) -> int:
        self._waiting.start(self._background, message.source, lambda: self._answer(message.id, message.source))
        return 202

    async def _answer(self, transaction_id: str, asker: str) -> None:
        path, incoming = f"/transactions/{transaction_id}", await self._incoming(transaction_id)
        # The other DFSP must not learn whether the payment exists.
        if incoming is None or incoming.payer_fsp != asker:
            code = ErrorCode.TRANSACTION_ID_NOT_FOUND
            path, body = f"{path}/error", asking_the_core.error_put(No(code.code, code.text))
        else:
            body = bodies.write(_state_of(incoming))
        give_up = time.monotonic() + self._config.request_s
        await self._hub.send_until_taken(
            "PUT", path, body, destination=asker, caused_by=asker, still_wanted=lambda: time.monotonic() < give_up
        )

    async def _incoming(self, transaction_id: str) -> Incoming | None:
        known = await self._transfers.get(transaction_id)
        return None if known is None else await self._store.incoming(known.transfer_id)


def _state_of(incoming: Incoming) -> TransactionPut:
    state: TransactionState = _STATES.get(incoming.stage, "PENDING")
    completed_at = incoming.completed_at if state == "COMPLETED" else None
    return TransactionPut(transaction_state=state, completed_timestamp=completed_at)
