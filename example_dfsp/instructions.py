"""The payments that customers order: parties, terms and state, from the order to the receipt.

This table does not record the money. The books record the money. If a change of a payment's state moves money, the
change and the posting are in one database transaction. The states are:

    NEW -> OFFERED -> SENT -> PAID | FAILED         (asks first: the customer confirms the terms)
    NEW ------------> SENT -> PAID | FAILED         (paid directly, such as salaries)

When the state becomes SENT, the books reserve the payer's money. A NEW or OFFERED instruction can become FAILED without
a posting.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from example_dfsp.books import NO_LIMIT, Books, Conflict, Outgoing

Kind = Literal["transfer", "merchant", "refund", "cash_in", "cash_out", "salary", "benefit"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instruction (
    reference TEXT PRIMARY KEY, kind TEXT NOT NULL, payer TEXT NOT NULL REFERENCES account, payee_type TEXT NOT NULL,
    payee TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, note TEXT NOT NULL,
    asks_first INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'NEW',
    payee_name TEXT, payee_fsp TEXT, total INTEGER CHECK (total > 0), bank_fee INTEGER NOT NULL DEFAULT 0,
    payee_fee INTEGER NOT NULL DEFAULT 0, receive_amount INTEGER, receive_currency TEXT, transfer_id TEXT UNIQUE,
    request_id TEXT, refund_of TEXT REFERENCES incoming, batch_id TEXT, line INTEGER,
    error_code TEXT, error_text TEXT, created_at REAL NOT NULL, sent_at REAL, ended_at REAL, expires_at REAL,
    CHECK (state IN ('NEW', 'OFFERED', 'SENT', 'PAID', 'FAILED')), UNIQUE (batch_id, line)
) STRICT;
CREATE INDEX IF NOT EXISTS instruction_of_payer ON instruction (payer, created_at);
CREATE INDEX IF NOT EXISTS instruction_open ON instruction (state) WHERE state IN ('NEW', 'OFFERED', 'SENT');
CREATE INDEX IF NOT EXISTS instruction_refund ON instruction (refund_of) WHERE refund_of IS NOT NULL;
CREATE INDEX IF NOT EXISTS instruction_of_request ON instruction (request_id) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS request_is_paid_once ON instruction (request_id) WHERE state IN ('SENT', 'PAID');
CREATE TRIGGER IF NOT EXISTS instruction_ends_once BEFORE UPDATE ON instruction
WHEN OLD.state IN ('PAID', 'FAILED') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'the end of a payment is final'); END;
CREATE TRIGGER IF NOT EXISTS instruction_holds_money BEFORE UPDATE OF state ON instruction
WHEN NEW.state = 'SENT' AND NOT EXISTS (SELECT 1 FROM payment WHERE reference = NEW.reference AND state = 'HELD')
BEGIN SELECT RAISE(ABORT, 'no money is held'); END;
CREATE TRIGGER IF NOT EXISTS refunds_are_not_above_the_payment BEFORE UPDATE OF state ON instruction
WHEN NEW.state = 'SENT' AND NEW.refund_of IS NOT NULL AND
    NEW.amount + (SELECT coalesce(sum(amount), 0) FROM instruction
                  WHERE refund_of = NEW.refund_of AND state IN ('SENT', 'PAID') AND reference <> NEW.reference)
    > (SELECT amount FROM incoming WHERE transfer_id = NEW.refund_of)
BEGIN SELECT RAISE(ABORT, 'the refunds are above the payment'); END;
"""


class AboveThePayment(Exception):
    """Raised if the refunds of a payment, together with a new refund, would be larger than the payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One payment that a customer of this bank orders. Amounts are ten-thousandths."""

    reference: str
    kind: Kind
    payer: str  # a phone number of a customer
    payee_type: str
    payee: str
    amount: int
    currency: str
    note: str = ""
    asks_first: bool = True
    state: str = "NEW"
    payee_name: str | None = None
    payee_fsp: str | None = None
    total: int | None = None  # the amount that the bank debits to the payer, with all fees
    bank_fee: int = 0  # the fee of this bank
    payee_fee: int = 0  # the fee of the payee's bank, in the currency that the payee receives
    receive_amount: int | None = None
    receive_currency: str | None = None
    transfer_id: str | None = None
    request_id: str | None = None  # if this payment answers a request to pay: the id of the request
    refund_of: str | None = None  # for a refund: the received transfer whose money this payment gives back
    batch_id: str | None = None
    line: int | None = None
    error_code: str | None = None
    error_text: str | None = None
    created_at: float = 0.0
    sent_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None

    @property
    def is_ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ("PAID", "FAILED")

    @property
    def is_converted(self) -> bool:
        """Whether the payer pays in one currency and the payee receives another currency."""
        return self.receive_currency not in (None, self.currency)


_CONTENT = ("kind", "payer", "payee_type", "payee", "amount", "currency", "note", "request_id", "refund_of")
_COLUMNS = tuple(field.name for field in fields(Instruction))
_ALL = ", ".join(_COLUMNS)


class Instructions:
    """The table of instructions, in the database file of the books."""

    def __init__(self, books: Books) -> None:
        self.books = books
        books.define(_SCHEMA)
        books.add_columns("instruction", {"sent_at": "REAL"})

    def add(self, new: Instruction) -> Instruction:
        """Stores a new instruction. If the reference exists already, returns the stored instruction.

        Raises Conflict if the reference already has different content.
        """
        with self.books.transaction():
            known = self.get(new.reference)
            if known is not None:
                if any(getattr(known, name) != getattr(new, name) for name in _CONTENT):
                    raise Conflict(f"{new.reference} belongs to another payment")
                return known
            values = asdict(new) | {"created_at": new.created_at or time.time()}
            values["asks_first"] = int(new.asks_first)
            self.books.run(
                f"INSERT INTO instruction ({_ALL}) VALUES ({', '.join('?' * len(_COLUMNS))})",
                *(values[name] for name in _COLUMNS),
            )
            return self._known(new.reference)

    def get(self, reference: str) -> Instruction | None:
        """Returns the instruction with this reference, or None."""
        row = self.books.row(f"SELECT {_ALL} FROM instruction WHERE reference = ?", reference)
        return _read(row) if row else None

    def find(self, condition: str, *values: object, limit: int = NO_LIMIT) -> list[Instruction]:
        """Returns the instructions that meet the condition. The condition is SQL text that never contains the input of
        a user."""
        query = f"SELECT {_ALL} FROM instruction WHERE {condition} LIMIT {limit}"
        return [_read(row) for row in self.books.rows(query, *values)]

    def count(self, condition: str, *values: object) -> int:
        """Returns how many instructions meet the condition. The condition is SQL text that never contains the input of
        a user."""
        row = self.books.row(f"SELECT count(*) FROM instruction WHERE {condition}", *values)
        assert row is not None
        return int(row[0])

    def open(self) -> list[Instruction]:
        """Returns the instructions for which the scheme still has to report an outcome."""
        return self.find("state = 'SENT'")

    def offer(self, reference: str, terms: Mapping[str, Any]) -> Instruction:
        """Records the terms. Does nothing if the instruction is not NEW any more."""
        with self.books.transaction():
            if self._known(reference).state == "NEW":
                self._change(reference, **terms, state="OFFERED")
            return self._known(reference)

    def send(self, reference: str) -> Instruction:
        """Holds the payer's money. The bank must not send the payment before the money is held.

        Raises Overdrawn if the balance is too low, and AboveThePayment if a refund is too high. Raises Conflict if the
        payment answers a request to pay that was already paid or rejected.
        """
        with self.books.transaction():
            known = self._known(reference)
            if known.state == "SENT" or known.is_ended:
                return known
            total = known.total or known.amount + known.bank_fee
            self.books.hold(reference, Outgoing(known.payer, known.payee, total, known.currency, known.note))
            try:
                self._change(reference, state="SENT", total=total, sent_at=time.time())
            except sqlite3.IntegrityError as error:
                if known.refund_of is not None:
                    raise AboveThePayment(str(error)) from None
                raise Conflict(f"{reference}: the request to pay was paid or rejected: {error}") from None
            return self._known(reference)

    def add_and_send(self, new: Instruction) -> Instruction:
        """Stores a new instruction and holds the payer's money in one database transaction. So after a crash, no
        instruction waits for its money. Raises the errors of `add` and `send`, and then stores nothing.
        """
        with self.books.transaction():
            return self.send(self.add(new).reference)

    def add_refused(self, new: Instruction, code: str, text: str) -> Instruction:
        """Stores a new instruction that the bank does not send."""
        with self.books.transaction():
            return self.refused(self.add(new).reference, code, text)

    def paid(
        self, reference: str, transfer_id: str, moved: int, received: tuple[int, str] | None = None
    ) -> Instruction:
        """Posts a payment that the scheme has committed.

        `moved` is the amount in the payer's currency. `received` is the amount that the payee receives, with its
        currency. The books know this amount before only if the customer has confirmed the terms.
        """
        with self.books.transaction():
            known = self._known(reference)
            if not known.is_ended:
                self.books.settle(reference, transfer_id, moved, known.bank_fee)
                ended = {"state": "PAID", "transfer_id": transfer_id, "ended_at": time.time()}
                if received is not None:
                    ended |= {"receive_amount": received[0], "receive_currency": received[1]}
                self._change(reference, **ended)
            return self._known(reference)

    def paid_here(self, reference: str, transfer_id: str) -> Instruction:
        """Records the end of a payment between two customers of this bank. The caller posts the payment in the same
        database transaction.
        """
        with self.books.transaction():
            if not self._known(reference).is_ended:
                self._change(reference, state="PAID", transfer_id=transfer_id, ended_at=time.time())
            return self._known(reference)

    def refused(self, reference: str, code: str, text: str) -> Instruction:
        """Ends a payment that was not sent.

        Does nothing if the money of the payment is held, because only the scheme's report can then end the payment.
        """
        with self.books.transaction():
            if self._known(reference).state in ("NEW", "OFFERED"):
                ended = {"error_code": code, "error_text": text[:300], "ended_at": time.time()}
                self._change(reference, state="FAILED", **ended)
            return self._known(reference)

    def failed(self, reference: str, transfer_id: str | None, code: str, text: str) -> Instruction:
        """Gives the held money back to the payer. `transfer_id` is None if no transfer was sent."""
        with self.books.transaction():
            known = self._known(reference)
            if known.is_ended:
                return known
            if known.state != "SENT":
                raise Conflict(f"{reference} is {known.state}, and was not sent")
            self.books.refund(reference, transfer_id, code)
            more = {} if transfer_id is None else {"transfer_id": transfer_id}
            self._change(
                reference, state="FAILED", error_code=code, error_text=text[:300], ended_at=time.time(), **more
            )
            return self._known(reference)

    def note_party(self, reference: str, name: str | None, fsp: str | None) -> None:
        """Records the payee's name and DFSP, if the name is known."""
        if name:
            self._change(reference, payee_name=name, payee_fsp=fsp)

    def faults(self) -> list[str]:
        """Returns a sentence for each instruction that does not agree with the books."""
        rows = self.books.rows(
            "SELECT i.reference, i.state, p.state FROM instruction i LEFT JOIN payment p USING (reference) WHERE"
            " (i.state = 'SENT') <> (coalesce(p.state, '') = 'HELD')"
            " OR (i.state = 'PAID') <> (coalesce(p.state, '') = 'COMMITTED')"
        )
        return [f"payment {reference} is {state}, and the books have {money}" for reference, state, money in rows]

    def _known(self, reference: str) -> Instruction:
        found = self.get(reference)
        if found is None:
            raise Conflict(f"{reference} is unknown")
        return found

    def _change(self, reference: str, **changes: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in changes)
        self.books.run(f"UPDATE instruction SET {columns} WHERE reference = ?", *changes.values(), reference)


def _read(row: Sequence) -> Instruction:
    values = dict(zip(_COLUMNS, row, strict=True))
    return Instruction(**values | {"asks_first": bool(values["asks_first"])})
