"""The bank's own double-entry books in SQLite. Amounts are whole ten-thousandths.

The books have one account per customer, and the accounts `scheme` (debts between the payment scheme and the bank),
`held` (money reserved for outgoing payments), `fees` and `capital`. A posting is one row with a debit and a credit.
Each step of a transfer is posted at most once.

Each reference and each transfer id belongs to one content. Every step refuses different content with Conflict, and
posts nothing.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY, balance INTEGER NOT NULL DEFAULT 0, is_customer INTEGER NOT NULL DEFAULT 0,
    CHECK (NOT is_customer OR balance >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS posting (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, step TEXT NOT NULL, debit TEXT NOT NULL REFERENCES account,
    credit TEXT NOT NULL REFERENCES account, amount INTEGER NOT NULL CHECK (amount > 0), UNIQUE (reference, step)
) STRICT;
CREATE TABLE IF NOT EXISTS payment (           -- outgoing, by the bank's own reference
    reference TEXT PRIMARY KEY, payer TEXT NOT NULL, amount INTEGER NOT NULL, state TEXT NOT NULL,
    transfer_id TEXT UNIQUE, error_code TEXT,
    payee TEXT, currency TEXT, note TEXT,      -- NULL in payments from before they were kept
    paid INTEGER                               -- what the scheme moved, of a payment that is COMMITTED
) STRICT;
CREATE TABLE IF NOT EXISTS incoming (          -- by the hub's transfer id
    transfer_id TEXT PRIMARY KEY, payee TEXT NOT NULL, amount INTEGER NOT NULL, fee INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
"""
_ADDED = {"payee": "TEXT", "currency": "TEXT", "note": "TEXT", "paid": "INTEGER"}


class Overdrawn(Exception):
    """The error for a customer's balance that is too low."""


class Conflict(Exception):
    """The error for a reference or id that has different content in the books. Nothing was posted."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A payment that a customer wants to make."""

    payer: str
    payee: str
    amount: int
    currency: str
    note: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of an outgoing payment: HELD, COMMITTED or ABORTED."""

    state: str
    transfer_id: str | None = None
    error_code: str | None = None

    @property
    def was_never_sent(self) -> bool:
        """Whether the payment ended before the bank sent a request for it."""
        return self.state == "ABORTED" and self.transfer_id is None


@dataclass(frozen=True, slots=True)
class Incoming:
    """Money for a customer. The scheme pays `amount` to the bank, and the bank keeps `fee` of this amount."""

    transfer_id: str
    payee: str
    amount: int
    fee: int


class Books:
    """The bank's books. Every method is one transaction. A caller may repeat a call with equal arguments."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self._lock = threading.Lock()
        with self._transaction():
            there = {row[1] for row in self._db.execute("PRAGMA table_info(payment)")}
            for name in _ADDED.keys() - there:
                self._db.execute(f"ALTER TABLE payment ADD COLUMN {name} {_ADDED[name]}")
            for name in ("scheme", "held", "fees", "capital"):
                self._db.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (name,))

    def open_account(self, customer: str, balance: int) -> None:
        """Opens a customer's account with this balance, unless the account is open already."""
        with self._transaction():
            found = self._db.execute("INSERT OR IGNORE INTO account (name, is_customer) VALUES (?, 1)", (customer,))
            if found.rowcount:
                self._post(f"opening {customer}", "open", "capital", customer, balance)

    def hold(self, reference: str, wanted: Outgoing) -> Standing:
        """Reserves the money of an outgoing payment before anything is sent. Returns the state of the payment."""
        with self._transaction():
            known = self._db.execute(
                "SELECT payer, payee, amount, currency, note, state, transfer_id, error_code"
                " FROM payment WHERE reference = ?",
                (reference,),
            ).fetchone()
            if known is not None:
                self._check_same(reference, wanted, Outgoing(*known[:5]))
                return Standing(*known[5:])
            self._db.execute(
                "INSERT INTO payment (reference, payer, payee, amount, currency, note, state)"
                " VALUES (?, ?, ?, ?, ?, ?, 'HELD')",
                (reference, wanted.payer, wanted.payee, wanted.amount, wanted.currency, wanted.note),
            )
            self._post(reference, "hold", wanted.payer, "held", wanted.amount)
            return Standing("HELD")

    def settle(self, reference: str, transfer_id: str, amount: int) -> None:
        """Moves the committed amount to the scheme, and returns the rest of the held money to the payer."""
        with self._transaction():
            payer, held, state, known_id, paid = self._payment(reference)
            if state == "COMMITTED" and (known_id, held if paid is None else paid) == (transfer_id, amount):
                return
            if state != "HELD" or not 0 < amount <= held:
                raise Conflict(f"{reference} is {state} and holds {held}: it cannot be settled with {amount}")
            self._post(reference, "end", "held", "scheme", amount)
            self._post(reference, "rest", "held", payer, held - amount)
            self._db.execute(
                "UPDATE payment SET state = 'COMMITTED', transfer_id = ?, paid = ? WHERE reference = ?",
                (transfer_id, amount, reference),
            )

    def refund(self, reference: str, transfer_id: str | None, error_code: str) -> None:
        """Returns the money of a failed payment to the payer. `transfer_id` is None if no transfer was sent."""
        with self._transaction():
            payer, held, state, known_id, _ = self._payment(reference)
            if state == "ABORTED" and known_id == transfer_id:
                return
            if state != "HELD":
                raise Conflict(f"{reference} is {state} already and cannot be refunded")
            self._post(reference, "end", "held", payer, held)
            self._db.execute(
                "UPDATE payment SET state = 'ABORTED', transfer_id = ?, error_code = ? WHERE reference = ?",
                (transfer_id, error_code, reference),
            )

    def expect(self, announced: Incoming) -> None:
        """Records that money will arrive for a customer. Posts nothing yet."""
        with self._transaction():
            state = self._incoming(announced)
            if state == "ABORTED":
                raise Conflict(f"{announced.transfer_id} was aborted")
            if state is None:
                self._add(announced, "EXPECTED")

    def credit(self, committed: Incoming) -> None:
        """Posts a transfer that the hub has committed: credits the customer, and credits the bank with the fee."""
        with self._transaction():
            state = self._incoming(committed)
            if state == "COMMITTED":
                return
            if state == "ABORTED":
                raise Conflict(f"{committed.transfer_id} was aborted and cannot be credited")
            if state is None:  # restored books may lack the announcement, but the bank owes the money to the customer
                self._add(committed, "EXPECTED")
            self._post(committed.transfer_id, "credit", "scheme", committed.payee, committed.amount - committed.fee)
            self._post(committed.transfer_id, "fee", "scheme", "fees", committed.fee)
            self._db.execute("UPDATE incoming SET state = 'COMMITTED' WHERE transfer_id = ?", (committed.transfer_id,))

    def forget(self, transfer_id: str) -> None:
        """Records that the hub has aborted a transfer.

        The books never credit the transfer, and refuse a later announcement.
        """
        with self._transaction():
            known = self._db.execute("SELECT state FROM incoming WHERE transfer_id = ?", (transfer_id,)).fetchone()
            if known is None:
                self._add(Incoming(transfer_id, "", 0, 0), "ABORTED")
            elif known[0] == "COMMITTED":
                raise Conflict(f"{transfer_id} was credited and cannot be aborted")
            else:
                self._db.execute("UPDATE incoming SET state = 'ABORTED' WHERE transfer_id = ?", (transfer_id,))

    def export(self) -> dict[str, object]:
        """Returns data for comparisons: completed payments and receipts, balances, and whether the books balance."""
        with self._lock:
            rows = self._db.execute
            return {
                "sent": dict(
                    rows("SELECT transfer_id, coalesce(paid, amount) FROM payment WHERE state = 'COMMITTED'").fetchall()
                ),
                "received": dict(rows("SELECT transfer_id, amount FROM incoming WHERE state = 'COMMITTED'").fetchall()),
                "open": rows("SELECT reference FROM payment WHERE state = 'HELD'").fetchall(),
                "expected": rows("SELECT transfer_id FROM incoming WHERE state = 'EXPECTED'").fetchall(),
                "balances": dict(rows("SELECT name, balance FROM account").fetchall()),
                "faults": rows(
                    "SELECT name, balance, posted FROM (SELECT name, balance,"
                    " (SELECT coalesce(sum(amount), 0) FROM posting WHERE credit = name)"
                    " - (SELECT coalesce(sum(amount), 0) FROM posting WHERE debit = name) AS posted FROM account)"
                    " WHERE balance <> posted"
                ).fetchall(),
            }

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _payment(self, reference: str) -> tuple[str, int, str, str | None, int | None]:
        found: tuple[str, int, str, str | None, int | None] | None = self._db.execute(
            "SELECT payer, amount, state, transfer_id, paid FROM payment WHERE reference = ?", (reference,)
        ).fetchone()
        if found is None:
            raise Conflict(f"{reference} is unknown")
        return found

    def _check_same(self, reference: str, wanted: Outgoing, known: Outgoing) -> None:
        is_old = known.payee is None
        if (wanted.payer, wanted.amount) != (known.payer, known.amount) or (not is_old and wanted != known):
            raise Conflict(f"{reference} belongs to another payment")

    def _incoming(self, announced: Incoming) -> str | None:
        """Returns the state of the transfer with this id, or None if the books do not have this transfer.

        Raises Conflict if the id has different content.
        """
        known = self._db.execute(
            "SELECT payee, amount, fee, state FROM incoming WHERE transfer_id = ?", (announced.transfer_id,)
        ).fetchone()
        if known is None:
            return None
        state = str(known[3])
        if state != "ABORTED" and known[:3] != (announced.payee, announced.amount, announced.fee):
            raise Conflict(f"{announced.transfer_id} has different content")
        return state

    def _add(self, incoming: Incoming, state: str) -> None:
        self._db.execute(
            "INSERT INTO incoming VALUES (?, ?, ?, ?, ?)",
            (incoming.transfer_id, incoming.payee, incoming.amount, incoming.fee, state),
        )

    def _post(self, reference: str, step: str, debit: str, credit: str, amount: int) -> None:
        if amount == 0:
            return
        try:
            self._db.execute(
                "INSERT INTO posting (reference, step, debit, credit, amount) VALUES (?, ?, ?, ?, ?)",
                (reference, step, debit, credit, amount),
            )
        except sqlite3.IntegrityError as error:  # a repetition, an unknown account, or a negative balance
            raise Conflict(f"{reference} cannot be posted: {error}") from None
        try:
            self._db.execute("UPDATE account SET balance = balance - ? WHERE name = ?", (amount, debit))
        except sqlite3.IntegrityError:
            raise Overdrawn(debit) from None
        self._db.execute("UPDATE account SET balance = balance + ? WHERE name = ?", (amount, credit))
