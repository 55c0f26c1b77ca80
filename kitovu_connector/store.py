"""The SQLite tables of the connector: outgoing payments, given quotes, incoming transfers."""

import sqlite3
import time
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from kitovu_connector.config import StartError
from kitovu_connector.group_commit import Database
from kitovu_connector.payment_order import spelled
from kitovu_connector.payment_states import ENDS, Payment
from kitovu_connector.state_lock import StateLock

SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (
    home_id     TEXT PRIMARY KEY,           -- the core's own id: one payment for ever
    transfer_id TEXT NOT NULL UNIQUE,
    quote_id    TEXT NOT NULL UNIQUE,
    digest      BLOB NOT NULL,              -- unused: the record holds the core's whole request
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    record      BLOB NOT NULL,              -- kitovu_connector.payment_states.Payment
    changed_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS payment_unfinished ON payment (home_id) WHERE is_open = 1;   -- read at start
CREATE INDEX IF NOT EXISTS payment_by_change ON payment (changed_at);                   -- lists
CREATE INDEX IF NOT EXISTS payment_by_state ON payment (state, changed_at);             -- lists, counts

CREATE TABLE IF NOT EXISTS quote (
    quote_id    TEXT PRIMARY KEY,
    digest      BLOB NOT NULL,
    condition   TEXT UNIQUE,                -- by which an incoming transfer finds its terms
    is_open     INTEGER NOT NULL,           -- the hub has not taken our answer yet
    record      BLOB NOT NULL,
    changed_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quote_unfinished ON quote (quote_id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS quote_by_age ON quote (changed_at) WHERE is_open = 0;        -- old ones are deleted

CREATE TABLE IF NOT EXISTS incoming (
    transfer_id TEXT PRIMARY KEY,
    digest      BLOB NOT NULL,
    quote_id    TEXT UNIQUE,                -- terms pay once
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    record      BLOB NOT NULL,
    changed_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incoming_unfinished ON incoming (transfer_id) WHERE is_open = 1;
CREATE INDEX IF NOT EXISTS incoming_by_change ON incoming (changed_at);
CREATE INDEX IF NOT EXISTS incoming_by_state ON incoming (state);

CREATE TABLE IF NOT EXISTS exchange (        -- requests to pay, bulks and conversions: kitovu_connector.records
    kind        TEXT NOT NULL,
    id          TEXT NOT NULL,
    alias       TEXT,                       -- another id of the same record: the core's own, or a condition
    digest      BLOB NOT NULL,
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    record      BLOB NOT NULL,
    changed_at  REAL NOT NULL,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS exchange_unfinished ON exchange (kind, id) WHERE is_open = 1;

-- An end is never left, whatever the program thinks.
CREATE TRIGGER IF NOT EXISTS exchange_end_is_final BEFORE UPDATE ON exchange
    WHEN OLD.is_open = 0 AND NEW.state <> OLD.state BEGIN SELECT RAISE(ABORT, 'the exchange has ended'); END;
CREATE TRIGGER IF NOT EXISTS payment_end_is_final BEFORE UPDATE ON payment
    WHEN OLD.is_open = 0 AND NEW.state <> OLD.state BEGIN SELECT RAISE(ABORT, 'the payment has ended'); END;
CREATE TRIGGER IF NOT EXISTS incoming_end_is_final BEFORE UPDATE ON incoming
    WHEN OLD.state IN ('COMMITTED', 'ABORTED') AND NEW.state <> OLD.state
    BEGIN SELECT RAISE(ABORT, 'the transfer has ended'); END;
"""


class QuoteGiven(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Terms that a payer DFSP requested, and the answer."""

    quote_id: str
    digest: bytes
    request: bytes
    payer_fsp: str
    answer: bytes = b""  # the body of PUT /quotes/{id} or PUT /quotes/{id}/error
    is_refusal: bool = False
    is_taken: bool = False  # whether the hub has accepted the answer
    packet: str = ""
    condition: str | None = None
    amount: int = 0
    receive_amount: int = 0
    fee: int = 0
    currency: str = ""
    expires_at: float = 0.0
    core_answer: bytes = b""  # the core's own answer, for a core that receives this answer with the transfer
    home_request_id: str | None = None  # the core's own id of the request to pay that these terms answer


class Stage(StrEnum):
    """The stage of an incoming transfer."""

    IN_BULK = "IN_BULK"  # stored as an item of a bulk; next: reserve the bulk at the core
    RECEIVED = "RECEIVED"  # stored, and the hub has received the 202; next: reserve at the core
    FULFILLING = "FULFILLING"  # reserved; next: send the fulfilment to the hub
    FULFILLED = "FULFILLED"  # the hub has the fulfilment; the hub's report is pending
    REJECTING = "REJECTING"  # the core refused; next: send the error to the hub
    REJECTED = "REJECTED"  # the hub has the error
    COMMITTING = "COMMITTING"  # the hub has committed; next: credit the customer
    RELEASING = "RELEASING"  # the hub has aborted; next: release the reservation
    COMMITTED = "COMMITTED"  # the end: credited
    ABORTED = "ABORTED"  # the end: nothing is reserved


DONE = frozenset({Stage.COMMITTED, Stage.ABORTED, Stage.REJECTED})


class Incoming(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A transfer to a customer of this DFSP."""

    transfer_id: str
    digest: bytes
    payer_fsp: str
    body: bytes
    expires_at: float
    quote_id: str | None = None
    bulk_id: str | None = None
    stage: Stage = Stage.RECEIVED
    answer: bytes = b""  # the body of PUT /transfers/{id} or PUT /transfers/{id}/error
    is_refusal: bool = False
    error_code: str | None = None
    completed_at: str | None = None  # the end that the hub reported
    is_perhaps_reserved: bool = False  # refused, but the core may have reserved the money and must release the money
    transaction_request_id: str | None = None  # the request to pay of this DFSP that the transfer answers
    home_request_id: str | None = None  # the core's own id of this request


class Conflict(Exception):
    """The error for an id that belongs to different content."""


Record = TypeVar("Record")


class Store:
    """Typed access to the three tables. A write returns when the data is durable. Records are immutable values."""

    def __init__(self, directory: Path) -> None:
        self._lock = StateLock(directory)
        try:
            self._db = Database(directory / "connector.sqlite3", SCHEMA)
        except sqlite3.Error as error:
            self._lock.release()
            raise StartError(f"state: {directory}: {error}") from None

    @property
    def database(self) -> Database:
        """The database, for access to records of other kinds."""
        return self._db

    async def close(self) -> None:
        """Finishes the waiting writes and closes the file."""
        await self._db.close()
        self._lock.release()

    # ---- outgoing payments

    async def add_payment(self, payment: Payment) -> Payment:
        """Stores a new payment, or returns the existing equal payment.

        Raises Conflict if the existing payment differs.
        """

        def job(conn: sqlite3.Connection) -> Payment:
            row = conn.execute("SELECT record FROM payment WHERE home_id = ?", (payment.order.home_id,)).fetchone()
            if row is not None:
                found = _decode(row["record"], Payment)
                if spelled(found.order) != spelled(payment.order):
                    raise Conflict
                return found
            values = (payment.order.home_id, payment.transfer_id, payment.quote_id, b"", payment.state)
            try:
                conn.execute(
                    "INSERT INTO payment VALUES (?, ?, ?, ?, ?, 1, ?, ?)", (*values, _encode(payment), time.time())
                )
            except sqlite3.IntegrityError:  # another payment has the transfer's id
                raise Conflict from None
            return payment

        return await self._db.write(job)

    async def save_payment(self, payment: Payment) -> None:
        """Stores the payment's new state."""
        record = _encode(payment)

        def job(conn: sqlite3.Connection) -> None:
            changed = conn.execute(
                "UPDATE payment SET state = ?, is_open = ?, record = ?, changed_at = ? WHERE home_id = ?",
                (payment.state, payment.state not in ENDS, record, time.time(), payment.order.home_id),
            )
            assert changed.rowcount == 1
            self._db.note(conn, "payment", payment)

        await self._db.write(job)

    def payment(self, home_id: str) -> Payment | None:
        """Returns the payment with this id of the core, or None."""
        return self._one("SELECT record FROM payment WHERE home_id = ?", home_id, Payment)

    def payment_of_transfer(self, transfer_id: str) -> Payment | None:
        """Returns the payment with this transfer id, or None."""
        return self._one("SELECT record FROM payment WHERE transfer_id = ?", transfer_id, Payment)

    def payment_of_quote(self, quote_id: str) -> Payment | None:
        """Returns the payment with this quote id, or None."""
        return self._one("SELECT record FROM payment WHERE quote_id = ?", quote_id, Payment)

    def unfinished_payments(self) -> list[Payment]:
        """Returns every payment that has not ended."""
        rows = self._db.reader.execute("SELECT record FROM payment WHERE is_open = 1").fetchall()
        return [_decode(row["record"], Payment) for row in rows]

    # ---- quotes given

    async def add_quote(self, quote: QuoteGiven) -> tuple[QuoteGiven, bool]:
        """Stores a request for terms. Returns the stored record, and whether it is new.

        Raises Conflict if the id belongs to a different request.
        """

        def job(conn: sqlite3.Connection) -> tuple[QuoteGiven, bool]:
            row = conn.execute("SELECT digest, record FROM quote WHERE quote_id = ?", (quote.quote_id,)).fetchone()
            if row is not None:
                found = _decode(row["record"], QuoteGiven)
                if (row["digest"], found.payer_fsp) != (quote.digest, quote.payer_fsp):
                    raise Conflict
                return found, False
            conn.execute(
                "INSERT INTO quote VALUES (?, ?, NULL, 1, ?, ?)",
                (quote.quote_id, quote.digest, _encode(quote), time.time()),
            )
            return quote, True

        return await self._db.write(job)

    async def save_quote(self, quote: QuoteGiven) -> None:
        """Stores the answer to a quote, or the hub's acceptance of the answer."""
        record = _encode(quote)

        def job(conn: sqlite3.Connection) -> None:
            conn.execute(
                "UPDATE quote SET condition = ?, is_open = ?, record = ?, changed_at = ? WHERE quote_id = ?",
                (quote.condition, not quote.is_taken, record, time.time(), quote.quote_id),
            )

        await self._db.write(job)

    def quote(self, quote_id: str) -> QuoteGiven | None:
        """Returns the quote with this id, or None."""
        return self._one("SELECT record FROM quote WHERE quote_id = ?", quote_id, QuoteGiven)

    def quote_of_condition(self, condition: str) -> QuoteGiven | None:
        """Returns the quote with this condition, or None."""
        return self._one("SELECT record FROM quote WHERE condition = ?", condition, QuoteGiven)

    def unfinished_quotes(self) -> list[QuoteGiven]:
        """Returns every quote whose answer the hub has not accepted."""
        rows = self._db.reader.execute("SELECT record FROM quote WHERE is_open = 1").fetchall()
        return [_decode(row["record"], QuoteGiven) for row in rows]

    async def delete_old_quotes(self, changed_before: float, at_most: int) -> int:
        """Deletes quotes that were last changed before this time. Keeps quotes that an open transfer needs."""

        def job(conn: sqlite3.Connection) -> int:
            return conn.execute(
                "DELETE FROM quote WHERE quote_id IN (SELECT quote_id FROM quote WHERE is_open = 0 AND changed_at < ?"
                " AND NOT EXISTS (SELECT 1 FROM incoming WHERE incoming.quote_id = quote.quote_id AND incoming.is_open)"
                " ORDER BY changed_at LIMIT ?)",
                (changed_before, at_most),
            ).rowcount

        return await self._db.write(job)

    # ---- incoming transfers

    async def add_incoming(self, incoming: Incoming) -> tuple[Incoming, bool]:
        """Stores a transfer. Returns the stored record, and whether it is new.

        Raises Conflict if the id belongs to a different transfer.
        """

        def job(conn: sqlite3.Connection) -> tuple[Incoming, bool]:
            row = conn.execute(
                "SELECT digest, record FROM incoming WHERE transfer_id = ?", (incoming.transfer_id,)
            ).fetchone()
            if row is not None:
                if row["digest"] != incoming.digest:
                    raise Conflict
                return _decode(row["record"], Incoming), False
            conn.execute(
                "INSERT INTO incoming VALUES (?, ?, NULL, ?, 1, ?, ?)",
                (incoming.transfer_id, incoming.digest, incoming.stage, _encode(incoming), time.time()),
            )
            return incoming, True

        return await self._db.write(job)

    async def claim_quote(self, transfer_id: str, quote_id: str) -> bool:
        """Reserves the terms for the transfer. Returns False if another transfer has reserved the terms."""

        def job(conn: sqlite3.Connection) -> bool:
            try:
                conn.execute("UPDATE incoming SET quote_id = ? WHERE transfer_id = ?", (quote_id, transfer_id))
            except sqlite3.IntegrityError:
                return False
            return True

        return await self._db.write(job)

    async def save_incoming(self, before: Incoming, after: Incoming) -> bool:
        """Stores a transfer's new stage.

        If another task has changed the stage first, changes nothing and returns False.
        """
        record = _encode(after)

        def job(conn: sqlite3.Connection) -> bool:
            changed = conn.execute(
                "UPDATE incoming SET state = ?, is_open = ?, record = ?, changed_at = ?"
                " WHERE transfer_id = ? AND state = ?",
                (after.stage, after.stage not in DONE, record, time.time(), after.transfer_id, before.stage),
            )
            if changed.rowcount == 1:
                self._db.note(conn, "incoming", after)
            return changed.rowcount == 1

        return await self._db.write(job)

    def incoming(self, transfer_id: str) -> Incoming | None:
        """Returns the transfer with this id, or None."""
        return self._one("SELECT record FROM incoming WHERE transfer_id = ?", transfer_id, Incoming)

    def unfinished_incoming(self) -> list[Incoming]:
        """Returns every transfer that still needs an action of this DFSP or of the hub."""
        rows = self._db.reader.execute("SELECT record FROM incoming WHERE is_open = 1").fetchall()
        return [_decode(row["record"], Incoming) for row in rows]

    # ---- lists: in the order of the last change, after a place in this order

    def payments(self, since: float, after: str, *, state: str | None, limit: int) -> list[tuple[float, Payment]]:
        """Returns payments with the times of their last changes. `after` is a time and the core's id of a payment."""
        where, given = ("state = ? AND ", [state]) if state is not None else ("", [])
        return self._listed(
            "payment", Payment, f"{where}(changed_at, home_id) > (?, ?)", "home_id", given, since, after, limit
        )

    def sent_payments(self, since: float, after: str, *, limit: int) -> list[tuple[float, Payment]]:
        """Returns payments that have ended or have a prepared transfer.

        `after` is a time, a transfer id and a direction.
        """
        order = "transfer_id || '/OUT'"
        where = f"state NOT IN ('LOOKUP', 'QUOTE', 'AGREED') AND (changed_at, {order}) > (?, ?)"
        return self._listed("payment", Payment, where, order, [], since, after, limit)

    def received_transfers(self, since: float, after: str, *, limit: int) -> list[tuple[float, Incoming]]:
        """Returns incoming transfers, in the same way as `sent_payments` returns outgoing transfers."""
        order = "transfer_id || '/IN'"
        return self._listed("incoming", Incoming, f"(changed_at, {order}) > (?, ?)", order, [], since, after, limit)

    def counts(self) -> list[tuple[str, str, int]]:
        """Returns the number of payments and of incoming transfers in each state: direction, state, number."""
        return [
            (direction, state, count)
            for direction, table in (("out", "payment"), ("in", "incoming"))
            for state, count in self._db.reader.execute(f"SELECT state, count(*) FROM {table} GROUP BY state")  # noqa: S608
        ]

    # ---- helpers

    def _listed(
        self,
        table: str,
        kind: type[Record],
        where: str,
        order: str,
        given: list[str],
        since: float,
        after: str,
        limit: int,
    ) -> list[tuple[float, Record]]:
        statement = f"SELECT changed_at, record FROM {table} WHERE {where} AND changed_at >= ?"  # noqa: S608
        statement += f" ORDER BY changed_at, {order} LIMIT ?"
        rows = self._db.reader.execute(statement, [*given, since, after, since, limit]).fetchall()
        return [(row["changed_at"], _decode(row["record"], kind)) for row in rows]

    def _one(self, sql: str, key: str, kind: type[Record]) -> Record | None:
        row = self._db.reader.execute(sql, (key,)).fetchone()
        return None if row is None else _decode(row["record"], kind)


def _encode(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record)


def _decode(raw: bytes, kind: type[Record]) -> Record:
    return msgspec.json.decode(raw, type=kind)
