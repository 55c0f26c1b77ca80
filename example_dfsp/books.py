"""The bank's own double-entry books in SQLite. Amounts are whole ten-thousandths.

Accounts: one per customer, `scheme` (what the payment scheme owes the bank, or the reverse), `held` (money on its way
out), `fees` and `capital`. A posting is one row with both legs; a transfer posts each of its steps at most once.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
    transfer_id TEXT UNIQUE, error_code TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS incoming (          -- by the hub's transfer id
    transfer_id TEXT PRIMARY KEY, payee TEXT NOT NULL, amount INTEGER NOT NULL, fee INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
"""


class Overdrawn(Exception):
    """The customer's balance does not suffice."""


class Books:
    """Every method is one transaction, and may be called again with the same arguments."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self._lock = threading.Lock()
        with self._transaction():
            for name in ("scheme", "held", "fees", "capital"):
                self._db.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (name,))

    def open_account(self, customer: str, balance: int) -> None:
        """A customer's account with an opening balance."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO account (name, is_customer) VALUES (?, 1)", (customer,))
            self._post(f"opening {customer}", "open", "capital", customer, balance)

    def hold(self, reference: str, payer: str, amount: int) -> str:
        """Takes an outgoing payment's money aside before anything is sent; returns the payment's state."""
        with self._transaction():
            known = self._db.execute("SELECT state FROM payment WHERE reference = ?", (reference,)).fetchone()
            if known is not None:
                return str(known[0])
            self._db.execute(
                "INSERT INTO payment (reference, payer, amount, state) VALUES (?, ?, ?, 'HELD')",
                (reference, payer, amount),
            )
            self._post(reference, "hold", payer, "held", amount)
            return "HELD"

    def settle(self, reference: str, transfer_id: str | None, *, is_paid: bool, error_code: str | None) -> None:
        """The end of an outgoing payment: the money goes to the scheme, or back to the payer."""
        with self._transaction():
            payer, amount, state = self._db.execute(
                "SELECT payer, amount, state FROM payment WHERE reference = ?", (reference,)
            ).fetchone()
            if state != "HELD":
                return
            self._post(reference, "end", "held", "scheme" if is_paid else payer, amount)
            self._db.execute(
                "UPDATE payment SET state = ?, transfer_id = ?, error_code = ? WHERE reference = ?",
                ("COMMITTED" if is_paid else "ABORTED", transfer_id, error_code, reference),
            )

    def expect(self, transfer_id: str, payee: str, amount: int, fee: int) -> None:
        """Money is announced for a customer; nothing is posted yet."""
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO incoming VALUES (?, ?, ?, ?, 'EXPECTED')", (transfer_id, payee, amount, fee)
            )

    def credit(self, transfer_id: str) -> None:
        """The hub has committed: the customer gets the money, the bank its fee."""
        with self._transaction():
            payee, amount, fee, state = self._db.execute(
                "SELECT payee, amount, fee, state FROM incoming WHERE transfer_id = ?", (transfer_id,)
            ).fetchone()
            if state == "COMMITTED":
                return
            self._post(transfer_id, "credit", "scheme", payee, amount - fee)
            self._post(transfer_id, "fee", "scheme", "fees", fee)
            self._db.execute("UPDATE incoming SET state = 'COMMITTED' WHERE transfer_id = ?", (transfer_id,))

    def forget(self, transfer_id: str) -> None:
        """The hub has aborted: what was announced does not come."""
        with self._transaction():
            self._db.execute(
                "UPDATE incoming SET state = 'ABORTED' WHERE transfer_id = ? AND state = 'EXPECTED'", (transfer_id,)
            )

    def export(self) -> dict[str, object]:
        """All that others may compare: completed payments and receipts, balances, and whether the books balance."""
        with self._lock:
            rows = self._db.execute
            return {
                "sent": dict(rows("SELECT transfer_id, amount FROM payment WHERE state = 'COMMITTED'").fetchall()),
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

    def _post(self, reference: str, step: str, debit: str, credit: str, amount: int) -> None:
        if amount == 0:
            return
        done = self._db.execute(
            "INSERT OR IGNORE INTO posting (reference, step, debit, credit, amount) VALUES (?, ?, ?, ?, ?)",
            (reference, step, debit, credit, amount),
        )
        if done.rowcount == 0:
            return
        try:
            self._db.execute("UPDATE account SET balance = balance - ? WHERE name = ?", (amount, debit))
        except sqlite3.IntegrityError:
            raise Overdrawn(debit) from None
        self._db.execute("UPDATE account SET balance = balance + ? WHERE name = ?", (amount, credit))
