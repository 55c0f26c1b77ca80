"""The bank's own double-entry books in SQLite. Each amount is a whole number of ten-thousandths of the currency.

Each customer has an account. The bank's own accounts are `fees`, `capital`, `scheme` (the money that the payment scheme
and the bank owe each other), `held` (money reserved for outgoing payments) and `cash` (the tellers' notes and coins).
For each further currency, the bank has further accounts, such as `scheme KES`. A posting is one row with a debit and a
credit. The books post each step of a transfer at most once. The database itself updates the balances. The database
refuses an overdraft of a customer's account, and a posting between accounts in different currencies. The database also
refuses to change a posting, or the final state of a payment.

The content that the books have under a reference or a transfer id never changes. If a later step has different content
under the same reference or id, the step raises Conflict and posts nothing.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY, balance INTEGER NOT NULL DEFAULT 0, is_customer INTEGER NOT NULL DEFAULT 0,
    currency TEXT NOT NULL DEFAULT 'TZS', CHECK (NOT is_customer OR balance >= 0)
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
_ADDED = {
    # `own`: the payment is between two customers of this bank, so the scheme has no record of it
    "payment": {
        "payee": "TEXT",
        "currency": "TEXT",
        "note": "TEXT",
        "paid": "INTEGER",
        "own": "INTEGER NOT NULL DEFAULT 0",
    },
    "incoming": {"own": "INTEGER NOT NULL DEFAULT 0"},
    "account": {"currency": "TEXT NOT NULL DEFAULT 'TZS'"},
}
_GUARDS = """
CREATE TRIGGER IF NOT EXISTS posting_in_one_currency BEFORE INSERT ON posting
WHEN (SELECT currency FROM account WHERE name = NEW.debit) <> (SELECT currency FROM account WHERE name = NEW.credit)
BEGIN SELECT RAISE(ABORT, 'the accounts have different currencies'); END;
CREATE TRIGGER IF NOT EXISTS posting_moves_money AFTER INSERT ON posting BEGIN
    UPDATE account SET balance = balance - NEW.amount WHERE name = NEW.debit;
    UPDATE account SET balance = balance + NEW.amount WHERE name = NEW.credit;
END;
CREATE TRIGGER IF NOT EXISTS posting_is_never_changed BEFORE UPDATE ON posting
BEGIN SELECT RAISE(ABORT, 'a posting is final'); END;
CREATE TRIGGER IF NOT EXISTS posting_is_never_deleted BEFORE DELETE ON posting
BEGIN SELECT RAISE(ABORT, 'a posting is final'); END;
CREATE TRIGGER IF NOT EXISTS payment_ends_once BEFORE UPDATE ON payment
WHEN OLD.state IN ('COMMITTED', 'ABORTED') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'the end of a payment is final'); END;
CREATE TRIGGER IF NOT EXISTS incoming_ends_once BEFORE UPDATE ON incoming
WHEN OLD.state IN ('COMMITTED', 'ABORTED') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'the end of a transfer is final'); END;
"""


_UNEQUAL = """
SELECT name, balance, posted FROM (
    SELECT name, balance, coalesce(credited, 0) - coalesce(debited, 0) AS posted FROM account
    LEFT JOIN (SELECT credit, sum(amount) AS credited FROM posting GROUP BY credit) ON credit = name
    LEFT JOIN (SELECT debit, sum(amount) AS debited FROM posting GROUP BY debit) ON debit = name
) WHERE balance <> posted
"""

NO_LIMIT = -1
"""As the limit of an SQL query: the query returns all rows."""


class Overdrawn(Exception):
    """Raised if a customer's balance is too low."""


class Conflict(Exception):
    """Raised if the books already have different content under the same reference or id. Nothing was posted."""


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
        """Whether the payment ended before the connector began a transfer for the payment."""
        return self.state == "ABORTED" and self.transfer_id is None


@dataclass(frozen=True, slots=True)
class Incoming:
    """An incoming transfer to a customer.

    The scheme pays `amount` to the bank. Of this amount, the bank keeps `fee`.
    """

    transfer_id: str
    payee: str
    amount: int
    fee: int


class Books:
    """The bank's books. Every method uses one database transaction. A caller can safely repeat a call with equal
    arguments."""

    def __init__(self, path: Path, currency: str = "TZS") -> None:
        """Opens the books. `currency` is the bank's own currency. The names of accounts in this currency do not contain
        the currency."""
        self.currency = currency
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self._lock = threading.RLock()
        self._depth = 0
        for table, columns in _ADDED.items():
            self.add_columns(table, columns)
        self._db.executescript(_GUARDS)
        for name in ("scheme", "held", "fees", "capital"):
            self._own(name, currency)

    def add_columns(self, table: str, columns: Mapping[str, str]) -> None:
        """Adds the columns that a table of an older file lacks. A column's name leads to its definition."""
        with self.transaction():
            there = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for name in columns.keys() - there:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")

    def open_account(self, customer: str, balance: int, currency: str | None = None) -> None:
        """Opens a customer's account with this balance, unless the account is open already."""
        currency = currency or self.currency
        with self.transaction():
            found = self._db.execute(
                "INSERT OR IGNORE INTO account (name, is_customer, currency) VALUES (?, 1, ?)", (customer, currency)
            )
            if found.rowcount:
                self._post(f"opening {customer}", "open", self._own("capital", currency), customer, balance)

    def hold(self, reference: str, wanted: Outgoing) -> Standing:
        """Reserves the money of an outgoing payment before the bank sends any request. Returns the state of the
        payment."""
        with self.transaction():
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
            self._post(reference, "hold", wanted.payer, self._own("held", wanted.currency), wanted.amount)
            return Standing("HELD")

    def settle(self, reference: str, transfer_id: str, amount: int, fee: int = 0) -> None:
        """Moves the committed amount to `scheme`, and the bank's fee to `fees`.

        Gives the rest of the reserved money back to the payer.
        """
        with self.transaction():
            payer, held, state, known_id, paid, currency = self._payment(reference)
            if state == "COMMITTED" and (known_id, held if paid is None else paid) == (transfer_id, amount):
                return
            if state != "HELD" or not 0 < amount <= amount + fee <= held:
                raise Conflict(f"{reference} is {state} and holds {held}: it cannot be settled with {amount}")
            account = self._own("held", currency)
            self._post(reference, "end", account, self._own("scheme", currency), amount)
            self._post(reference, "fee", account, self._own("fees", currency), fee)
            self._post(reference, "rest", account, payer, held - amount - fee)
            self._db.execute(
                "UPDATE payment SET state = 'COMMITTED', transfer_id = ?, paid = ? WHERE reference = ?",
                (transfer_id, amount, reference),
            )

    def settle_own(self, reference: str, credited: Incoming, fee: int = 0) -> None:
        """Moves a payer's held money to the account of a payee at this bank. The payer's fee and the payee's fee go to
        `fees`."""
        with self.transaction():
            payer, held, state, known_id, _, currency = self._payment(reference)
            if state == "COMMITTED" and known_id == credited.transfer_id:
                return
            if state != "HELD" or not 0 < credited.amount <= credited.amount + fee <= held:
                raise Conflict(f"{reference} is {state} and holds {held}: it cannot be settled with {credited.amount}")
            account = self._own("held", currency)
            self._post(reference, "end", account, credited.payee, credited.amount - credited.fee)
            self._post(reference, "fee", account, self._own("fees", currency), fee + credited.fee)
            self._post(reference, "rest", account, payer, held - credited.amount - fee)
            self._db.execute(
                "UPDATE payment SET state = 'COMMITTED', transfer_id = ?, paid = ?, own = 1 WHERE reference = ?",
                (credited.transfer_id, credited.amount, reference),
            )
            self._add(credited, "COMMITTED", is_own=True)

    def refund(self, reference: str, transfer_id: str | None, error_code: str) -> None:
        """Gives the money of a failed payment back to the payer. `transfer_id` is None if no transfer was sent."""
        with self.transaction():
            payer, held, state, known_id, _, currency = self._payment(reference)
            if state == "ABORTED" and known_id == transfer_id:
                return
            if state != "HELD":
                raise Conflict(f"{reference} is {state} already and cannot be refunded")
            self._post(reference, "end", self._own("held", currency), payer, held)
            self._db.execute(
                "UPDATE payment SET state = 'ABORTED', transfer_id = ?, error_code = ? WHERE reference = ?",
                (transfer_id, error_code, reference),
            )

    def expect(self, announced: Incoming) -> None:
        """Records the announcement of a transfer to a customer. Posts nothing yet."""
        with self.transaction():
            state = self._incoming(announced)
            if state == "ABORTED":
                raise Conflict(f"{announced.transfer_id} was aborted")
            if state is None:
                self._add(announced, "EXPECTED")

    def credit(self, committed: Incoming) -> None:
        """Posts a transfer that the hub has committed: credits the customer, and credits the bank with the fee."""
        with self.transaction():
            state = self._incoming(committed)
            if state == "COMMITTED":
                return
            if state == "ABORTED":
                raise Conflict(f"{committed.transfer_id} was aborted and cannot be credited")
            if state is None:  # a restored backup can lack the announcement, but the bank owes the money
                self._add(committed, "EXPECTED")
            currency = self.currency_of(committed.payee) or self.currency
            scheme, fees = self._own("scheme", currency), self._own("fees", currency)
            self._post(committed.transfer_id, "credit", scheme, committed.payee, committed.amount - committed.fee)
            self._post(committed.transfer_id, "fee", scheme, fees, committed.fee)
            self._db.execute("UPDATE incoming SET state = 'COMMITTED' WHERE transfer_id = ?", (committed.transfer_id,))

    def forget(self, transfer_id: str) -> None:
        """Records that the hub has aborted a transfer.

        After an abort, the books never credit the customer. The books also refuse a later announcement of the transfer.
        """
        with self.transaction():
            known = self._db.execute("SELECT state FROM incoming WHERE transfer_id = ?", (transfer_id,)).fetchone()
            if known is None:
                self._add(Incoming(transfer_id, "", 0, 0), "ABORTED")
            elif known[0] == "COMMITTED":
                raise Conflict(f"{transfer_id} was credited and cannot be aborted")
            else:
                self._db.execute("UPDATE incoming SET state = 'ABORTED' WHERE transfer_id = ?", (transfer_id,))

    def move(self, reference: str, step: str, names: tuple[str, str], currency: str, amount: int) -> None:
        """Moves money between two of the bank's own accounts, such as from `scheme` to `stock`."""
        with self.transaction():
            debit, credit = (self._own(name, currency) for name in names)
            self._post(reference, step, debit, credit, amount)

    def pay_in(self, reference: str, customer: str, amount: int) -> None:
        """Posts cash that a customer gives to a teller."""
        with self.transaction():
            self._post(reference, "cash", self._cash_of(customer), customer, amount)

    def pay_out(self, reference: str, customer: str, amount: int) -> None:
        """Posts cash that a customer gets from a teller. Raises Overdrawn if the balance is too low."""
        with self.transaction():
            self._post(reference, "cash", customer, self._cash_of(customer), amount)

    def balance_of(self, account: str) -> int:
        """Returns the balance of an account, or 0 if the account does not exist."""
        found = self.row("SELECT balance FROM account WHERE name = ?", account)
        return int(found[0]) if found else 0

    def currency_of(self, account: str) -> str | None:
        """Returns the currency of an account, or None if the account does not exist."""
        found = self.row("SELECT currency FROM account WHERE name = ?", account)
        return str(found[0]) if found else None

    def faults(self) -> list[str]:
        """Returns a sentence for each broken rule of the books. The list is empty if no rule is broken."""
        faults = [
            f"account {name} has {balance}, and its postings make {posted}"
            for name, balance, posted in self.rows(_UNEQUAL)
        ]
        for currency, total in self.rows("SELECT currency, sum(balance) FROM account GROUP BY currency"):
            if total != 0:
                faults.append(f"the accounts in {currency} make {total} together, and not 0")
        held: dict[str, int] = dict(
            self.rows("SELECT coalesce(currency, 'TZS'), sum(amount) FROM payment WHERE state = 'HELD' GROUP BY 1")
        )
        for name, currency, balance in self.rows(
            "SELECT name, currency, balance FROM account WHERE NOT is_customer AND name LIKE 'held%'"
        ):
            if balance != held.get(currency, 0):
                faults.append(f"account {name} has {balance}, and open payments hold {held.get(currency, 0)}")
        return faults

    def export(self) -> dict[str, object]:
        """Returns data for comparisons: completed outgoing and incoming payments, account balances, and whether the
        books balance."""
        with self._lock:
            rows = self._db.execute
            return {
                "sent": dict(
                    rows(
                        "SELECT transfer_id, coalesce(paid, amount) FROM payment WHERE state = 'COMMITTED' AND NOT own"
                    ).fetchall()
                ),
                "received": dict(
                    rows("SELECT transfer_id, amount FROM incoming WHERE state = 'COMMITTED' AND NOT own").fetchall()
                ),
                "open": rows("SELECT reference FROM payment WHERE state = 'HELD'").fetchall(),
                "expected": rows("SELECT transfer_id FROM incoming WHERE state = 'EXPECTED'").fetchall(),
                "balances": dict(rows("SELECT name, balance FROM account").fetchall()),
                "faults": self.faults(),
            }

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Runs the SQL statements of the `with` block in one database transaction.

        A nested call uses the database transaction of the outer call, and does not begin a second database transaction.
        """
        with self._lock:
            if self._depth:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # after some errors, SQLite has rolled back already
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def define(self, schema: str) -> None:
        """Adds the tables that another module of the bank needs."""
        with self._lock:
            self._db.executescript(schema)

    def run(self, statement: str, *values: object) -> int:
        """Runs an SQL statement in the open database transaction. If no transaction is open, begins one for this
        statement alone. Returns the number of changed rows.
        """
        with self.transaction():
            return self._db.execute(statement, values).rowcount

    def run_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Runs an SQL statement once for each row, in the open database transaction. If no transaction is open, begins
        one transaction for all rows together.
        """
        with self.transaction():
            self._db.executemany(statement, rows)

    def rows(self, query: str, *values: object) -> list[Any]:
        """Returns all rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> Any | None:
        """Returns the first row of a query, or None."""
        with self._lock:
            found: Any | None = self._db.execute(query, values).fetchone()
            return found

    def _own(self, name: str, currency: str) -> str:
        """Returns the name of one of the bank's own accounts, and opens the account if it does not exist."""
        account = name if currency == self.currency else f"{name} {currency}"
        self.run("INSERT OR IGNORE INTO account (name, currency) VALUES (?, ?)", account, currency)
        return account

    def _cash_of(self, customer: str) -> str:
        return self._own("cash", self.currency_of(customer) or self.currency)

    def _payment(self, reference: str) -> tuple[str, int, str, str | None, int | None, str]:
        found: tuple[str, int, str, str | None, int | None, str] | None = self._db.execute(
            "SELECT payer, amount, state, transfer_id, paid, coalesce(currency, ?) FROM payment WHERE reference = ?",
            (self.currency, reference),
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

        Raises Conflict if the books already have different content under this id.
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

    def _add(self, incoming: Incoming, state: str, *, is_own: bool = False) -> None:
        self._db.execute(
            "INSERT INTO incoming (transfer_id, payee, amount, fee, state, own) VALUES (?, ?, ?, ?, ?, ?)",
            (incoming.transfer_id, incoming.payee, incoming.amount, incoming.fee, state, int(is_own)),
        )

    def _post(self, reference: str, step: str, debit: str, credit: str, amount: int) -> None:
        if amount == 0:
            return
        try:
            self._db.execute(
                "INSERT INTO posting (reference, step, debit, credit, amount) VALUES (?, ?, ?, ?, ?)",
                (reference, step, debit, credit, amount),
            )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname == "SQLITE_CONSTRAINT_CHECK" and amount > 0:
                raise Overdrawn(debit) from None
            # There are three possible reasons: the step was posted before, an account does not exist, or the two
            # accounts have different currencies.
            raise Conflict(f"{reference} cannot be posted: {error}") from None
