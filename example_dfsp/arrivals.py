"""The transfers that customers of this bank receive. Each row has the transfer's payer and purpose.

This table does not record the money. The books record the money.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from example_dfsp.books import NO_LIMIT, Books, Incoming
from kitovu_connector import parse_amount

_SCHEMA = """
CREATE TABLE IF NOT EXISTS arrival (
    transfer_id TEXT PRIMARY KEY REFERENCES incoming, payee TEXT NOT NULL REFERENCES account, payer_type TEXT NOT NULL,
    payer TEXT NOT NULL, payer_name TEXT, payer_fsp TEXT, amount INTEGER NOT NULL, fee INTEGER NOT NULL,
    currency TEXT NOT NULL, note TEXT NOT NULL, scenario TEXT NOT NULL, sub_scenario TEXT, transaction_id TEXT NOT NULL,
    refund_of TEXT, home_request_id TEXT, arrived_at REAL NOT NULL, ended_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS arrival_of_payee ON arrival (payee, arrived_at);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One transfer to a customer of this bank.

    `amount` is the amount that the scheme pays to the bank. Of this amount, the bank keeps `fee`.
    """

    transfer_id: str
    payee: str  # the customer's phone number
    payer_type: str
    payer: str
    payer_name: str | None
    payer_fsp: str | None
    amount: int
    fee: int
    currency: str
    note: str
    scenario: str
    sub_scenario: str | None
    transaction_id: str
    refund_of: str | None  # for a refund: the transaction that is refunded
    home_request_id: str | None  # if this transfer answers a request to pay: the bank's own id of the request
    arrived_at: float = 0.0
    ended_at: float | None = None
    state: str = "EXPECTED"  # the state in the books

    @property
    def received(self) -> int:
        """The amount that the bank credits to the customer."""
        return self.amount - self.fee


_COLUMNS = tuple(field.name for field in fields(Arrival) if field.name != "state")
_ALL = ", ".join(f"a.{name}" for name in _COLUMNS) + ", i.state"


class Arrivals:
    """The table of arrivals, in the database file of the books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        books.define(_SCHEMA)

    def expect(self, announced: Arrival) -> None:
        """Records the announcement of a transfer to a customer.

        Raises Conflict if the books already have different content under this id, or if the transfer with this id was
        aborted.
        """
        with self._books.transaction():
            self._books.expect(_money(announced))
            self._add(announced)

    def credit(self, committed: Arrival) -> None:
        """Credits the customer.

        Raises Conflict if the books already have different content under this id, or if the transfer with this id was
        aborted.
        """
        with self._books.transaction():
            self._books.credit(_money(committed))
            self._add(committed)  # a restored backup can lack the announcement
            now = time.time()
            transfer_id = committed.transfer_id
            self._books.run(
                "UPDATE arrival SET ended_at = coalesce(ended_at, ?) WHERE transfer_id = ?", now, transfer_id
            )

    def credit_own(self, arrival: Arrival, reference: str, fee: int) -> None:
        """Ends a payment between two customers of this bank. The books hold the money for the payment, and now credit
        the payee.
        """
        with self._books.transaction():
            self._books.settle_own(reference, _money(arrival), fee)
            self._add(arrival)
            self._books.run(
                "UPDATE arrival SET ended_at = coalesce(ended_at, arrived_at) WHERE transfer_id = ?",
                arrival.transfer_id,
            )

    def forget(self, transfer_id: str) -> None:
        """Records that the hub has aborted a transfer."""
        with self._books.transaction():
            self._books.forget(transfer_id)
            self._books.run("UPDATE arrival SET ended_at = ? WHERE transfer_id = ?", time.time(), transfer_id)

    def get(self, transfer_id: str) -> Arrival | None:
        """Returns the transfer with this id, or None."""
        found = self.find("a.transfer_id = ?", transfer_id)
        return found[0] if found else None

    def find(self, condition: str, *values: object, limit: int = NO_LIMIT) -> list[Arrival]:
        """Returns the transfers that meet the condition. The condition is SQL text that never contains the input of a
        user. In the condition, `i` is the transfer's row in the books.
        """
        query = f"SELECT {_ALL} FROM arrival a JOIN incoming i USING (transfer_id) WHERE {condition} LIMIT {limit}"
        return [_read(row) for row in self._books.rows(query, *values)]

    def _add(self, new: Arrival) -> None:
        values = asdict(new) | {"arrived_at": new.arrived_at or time.time()}
        self._books.run(
            f"INSERT OR IGNORE INTO arrival ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
            *(values[name] for name in _COLUMNS),
        )


def arrival_of(transfer_id: str, payee: str, told: dict[str, Any]) -> Arrival:
    """Returns the transfer that the connector's POST or PUT /transfers describes.

    A PUT has fewer fields than a POST.
    """
    payer = told.get("from", {})
    return Arrival(
        transfer_id=transfer_id,
        payee=payee,
        payer_type=payer.get("idType", ""),
        payer=payer.get("idValue", ""),
        payer_name=payer.get("displayName"),
        payer_fsp=payer.get("fspId"),
        amount=parse_amount(told["amount"]),
        fee=parse_amount(told["payeeFspFeeAmount"]),
        currency=told.get("currency", ""),
        note=told.get("note") or "",
        scenario=told.get("transactionType", "TRANSFER"),
        sub_scenario=told.get("subScenario"),
        transaction_id=told.get("transactionId", transfer_id),
        refund_of=(told.get("refundInfo") or {}).get("originalTransactionId"),
        home_request_id=told.get("homeRequestId"),
    )


def _money(arrival: Arrival) -> Incoming:
    return Incoming(arrival.transfer_id, arrival.payee, arrival.amount, arrival.fee)


def _read(row: Sequence) -> Arrival:
    return Arrival(**dict(zip((*_COLUMNS, "state"), row, strict=True)))
