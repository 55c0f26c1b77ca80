"""The connector's state: outgoing payments, quotes that this DFSP has answered, and incoming transfers."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from kitovu_connector import own_ids_closed_to_others, stored_octets
from kitovu_connector.conflicts import Conflict
from kitovu_connector.group_commit import Connection, Database, Duplicate, Row
from kitovu_connector.payment_order import spelled
from kitovu_connector.payment_states import ENDS, Payment
from kitovu_connector.sqlite_state import SqliteDatabase

log = structlog.get_logger(__name__)

_AT_ONCE = 200  # the largest number of values in one SQL statement
_QUOTES = "/quotes"  # follows the DFSP's name in `stored_octets`, because quotes have their own limit


class QuoteGiven(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payer DFSP's request for terms, and the answer to this request."""

    quote_id: str
    digest: bytes
    request: bytes
    payer_fsp: str
    answer: bytes = b""  # the body of PUT /quotes/{id} or PUT /quotes/{id}/error
    is_refusal: bool = False
    is_taken: bool = False  # True after the hub has accepted the answer
    packet: str = ""
    condition: str | None = None
    amount: int = 0
    receive_amount: int = 0
    fee: int = 0
    currency: str = ""
    expires_at: float = 0.0
    core_answer: bytes = b""  # the core's own answer, if the core wants to get this answer back with the transfer
    home_request_id: str | None = None  # if these terms answer a request to pay: the core's own id of it


class Stage(StrEnum):
    """The stage that an incoming transfer has reached."""

    IN_BULK = "IN_BULK"  # stored as an item of a bulk; the core must reserve the bulk next
    RECEIVED = "RECEIVED"  # stored, and the hub has received the 202; the core must reserve the money next
    FULFILLING = "FULFILLING"  # reserved; the connector must send the fulfilment to the hub next
    FULFILLED = "FULFILLED"  # the hub has the fulfilment; the hub's report is pending
    REJECTING = "REJECTING"  # the core refused; the connector must send the error to the hub next
    REJECTED = "REJECTED"  # the hub has the error
    COMMITTING = "COMMITTING"  # the hub has committed; the core must credit the customer next
    RELEASING = "RELEASING"  # the hub has aborted; the core must release the reservation next
    COMMITTED = "COMMITTED"  # final: the core has credited the customer
    ABORTED = "ABORTED"  # final: the core has no reservation


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
    completed_at: str | None = None  # the time of the commit, as the hub reported it
    # the core refused, but the core may have reserved the money, and must then release the money
    is_perhaps_reserved: bool = False
    transaction_request_id: str | None = None  # if the transfer answers a request to pay: the request's id
    home_request_id: str | None = None  # if the transfer answers a request to pay: the core's own id of it
    received_at: float = 0.0  # 0 in a record of an earlier version


Record = TypeVar("Record")


class Store:
    """Typed access to three tables of the connector's database. A write returns when the data is durable. Records are
    immutable values.

    Several instances can share one database. Each open record has one owner: the instance that continues the work on
    this record. A report from the hub can arrive at any instance.
    """

    def __init__(self, state: Path | Database) -> None:
        self._db = SqliteDatabase(state) if isinstance(state, Path) else state

    @property
    def database(self) -> Database:
        """The database, which other modules also use for their records."""
        return self._db

    @property
    def is_shared(self) -> bool:
        """True if other instances can also change the records."""
        return self._db.is_shared

    async def close(self) -> None:
        """Finishes the waiting writes and closes the database."""
        await self._db.close()

    # ---- outgoing payments

    async def add_payment(self, payment: Payment) -> Payment:
        """Stores a new payment. If the same order is already stored, returns the stored payment.

        Raises Conflict if the stored payment differs.
        """

        def job(conn: Connection) -> Payment:
            order = payment.order
            added = conn.execute(
                "INSERT INTO payment"
                " (home_id, transfer_id, quote_id, digest, state, is_open, record, changed_at, owner, version)"
                " VALUES (?, ?, ?, ?, ?, 1, ?, seconds_now(), ?, ?) ON CONFLICT DO NOTHING",
                (
                    *(order.home_id, payment.transfer_id, payment.quote_id, b"", payment.state, _encode(payment)),
                    *(self._db.instance, payment.version),
                ),
            )
            if added.rowcount == 1:
                own_ids_closed_to_others.check_is_free(conn, [payment.transfer_id])
                if payment.fx_commit_id is not None:
                    own_ids_closed_to_others.claim(conn, [payment.fx_commit_id], self._db.instance)
                return payment
            row = conn.execute("SELECT record FROM payment WHERE home_id = ?", (order.home_id,)).fetchone()
            if row is None:  # the transfer's id belongs to another payment
                raise Conflict
            found = _decode(row["record"], Payment)
            if spelled(found.order) != spelled(order):
                raise Conflict
            return found

        return await self._db.write(job)

    async def save_payment(self, before: Payment, after: Payment) -> Payment | None:
        """Stores the payment's new state, and makes this instance the payment's owner. Returns the stored payment.

        `before` is the payment as the caller has read it. If another instance has changed the payment since then,
        returns None and changes nothing.
        """
        stored = msgspec.structs.replace(after, version=before.version + 1)
        home_id, record = stored.order.home_id, _encode(stored)

        def job(conn: Connection) -> Payment | None:
            changed = conn.execute(
                "UPDATE payment SET state = ?, is_open = ?, record = ?, changed_at = seconds_now(), owner = ?,"
                " version = ? WHERE home_id = ? AND version = ?",
                (
                    *(stored.state, int(stored.state not in ENDS), record, self._db.instance),
                    *(stored.version, home_id, before.version),
                ),
            )
            if changed.rowcount != 1:
                return None
            self._db.note(conn, "payment", stored)
            self._db.tell(conn, "payment", home_id)
            return stored

        return await self._db.write(job)

    async def payment(self, home_id: str) -> Payment | None:
        """Returns the payment to which the core has given this id, or None."""
        return await self._one("SELECT record FROM payment WHERE home_id = ?", home_id, Payment)

    async def payment_and_time(self, home_id: str) -> tuple[Payment, float] | None:
        """Returns the payment to which the core has given this id, and the time of its last change, or None."""

        def job(conn: Connection) -> tuple[Payment, float] | None:
            row = conn.execute("SELECT record, changed_at FROM payment WHERE home_id = ?", (home_id,)).fetchone()
            return None if row is None else (_decode(row["record"], Payment), row["changed_at"])

        return await self._db.read(job)

    async def payments_of(self, home_ids: Sequence[str]) -> list[Payment]:
        """Returns the payments to which the core has given these ids, in the order of the ids. Leaves out ids without a
        payment.
        """

        def job(conn: Connection) -> list[Payment]:
            found: dict[str, bytes] = {}
            for part in _parts(home_ids):
                places = ", ".join("?" * len(part))
                sql = f"SELECT home_id, record FROM payment WHERE home_id IN ({places})"  # noqa: S608
                found |= {row["home_id"]: row["record"] for row in conn.execute(sql, part).fetchall()}
            return [_decode(found[home_id], Payment) for home_id in home_ids if home_id in found]

        return await self._db.read(job)

    async def payment_of_transfer(self, transfer_id: str) -> Payment | None:
        """Returns the payment with this transfer id, or None."""
        return await self._one("SELECT record FROM payment WHERE transfer_id = ?", transfer_id, Payment)

    async def payment_of_quote(self, quote_id: str) -> Payment | None:
        """Returns the payment with this quote id, or None."""
        return await self._one("SELECT record FROM payment WHERE quote_id = ?", quote_id, Payment)

    async def own_payment(self, home_id: str) -> Payment | None:
        """Returns this instance's payment to which the core has given this id, or None."""
        return await self._own("SELECT record FROM payment WHERE home_id = ? AND owner = ?", home_id, Payment)

    async def unfinished_payments(self) -> list[Payment]:
        """Returns this instance's payments that have not ended."""
        return await self._unfinished("SELECT record FROM payment WHERE is_open = 1 AND owner = ?", Payment)

    # ---- quotes given

    async def add_quote(self, quote: QuoteGiven, *, most: int | None = None) -> tuple[QuoteGiven, bool]:
        """Stores a request for terms. Returns the stored record, and whether this call has stored it as a new record.

        Raises Conflict if the id belongs to a different request. Raises FspiopError 2005 if the requests of the payer
        DFSP would together have more than `most` octets. Each request counts until it is deleted. If `most` is None,
        the request does not count.
        """
        sender = quote.payer_fsp + _QUOTES
        counted = (None, 0) if most is None else (sender, len(quote.request))

        def job(conn: Connection) -> tuple[QuoteGiven, bool]:
            added = conn.execute(
                "INSERT INTO quote (quote_id, digest, is_open, record, changed_at, owner, sender, octets)"
                " VALUES (?, ?, ?, ?, seconds_now(), ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    *(quote.quote_id, quote.digest, int(not quote.is_taken), _encode(quote), self._db.instance),
                    *counted,
                ),
            )
            if added.rowcount == 1:
                if most is not None:
                    stored_octets.check_room(conn, sender, most)
                return quote, True
            row = conn.execute("SELECT digest, record FROM quote WHERE quote_id = ?", (quote.quote_id,)).fetchone()
            assert row is not None
            found = _decode(row["record"], QuoteGiven)
            if (row["digest"], found.payer_fsp) != (quote.digest, quote.payer_fsp):
                raise Conflict
            return found, False

        return await self._db.write(job)

    async def save_quote(self, quote: QuoteGiven) -> bool:
        """Stores that the quote has an answer, or that the hub has accepted the answer.

        If another instance continues the quote, returns False and changes nothing.
        """
        record = _encode(quote)

        def job(conn: Connection) -> bool:
            changed = conn.execute(
                "UPDATE quote SET condition = ?, is_open = ?, record = ?, changed_at = seconds_now()"
                " WHERE quote_id = ? AND (owner = ? OR is_open = 0)",
                (quote.condition, int(not quote.is_taken), record, quote.quote_id, self._db.instance),
            )
            return changed.rowcount == 1

        return await self._db.write(job)

    async def quote(self, quote_id: str) -> QuoteGiven | None:
        """Returns the quote with this id, or None."""
        return await self._one("SELECT record FROM quote WHERE quote_id = ?", quote_id, QuoteGiven)

    async def quote_of_condition(self, condition: str) -> QuoteGiven | None:
        """Returns the quote with this condition, or None."""
        return await self._one("SELECT record FROM quote WHERE condition = ?", condition, QuoteGiven)

    async def has_usable_terms(self, conditions: Sequence[str], payer_fsp: str) -> bool:
        """Returns True if this DFSP has given `payer_fsp` terms with one of these conditions, and if no transfer has
        used these terms.
        """

        def job(conn: Connection) -> bool:
            return any(
                _decode(row["record"], QuoteGiven).payer_fsp == payer_fsp
                for part in _parts(conditions)
                for row in _usable_terms(conn, part)
            )

        return await self._db.read(job)

    async def unfinished_quotes(self) -> list[QuoteGiven]:
        """Returns this instance's quotes whose answers the hub has not yet accepted."""
        return await self._unfinished("SELECT record FROM quote WHERE is_open = 1 AND owner = ?", QuoteGiven)

    async def delete_old_quotes(self, changed_before: float, at_most: int) -> int:
        """Deletes the quotes whose last change was before this time. Keeps a quote as long as an open transfer needs
        it.
        """

        def job(conn: Connection) -> int:
            return conn.execute(
                "DELETE FROM quote WHERE quote_id IN (SELECT quote_id FROM quote WHERE is_open = 0 AND changed_at < ?"
                " AND NOT EXISTS (SELECT 1 FROM incoming"
                " WHERE incoming.quote_id = quote.quote_id AND incoming.is_open = 1)"
                " ORDER BY changed_at LIMIT ?)",
                (changed_before, at_most),
            ).rowcount

        return await self._db.write(job)

    # ---- incoming transfers

    async def check_is_not_own(self, *ids: str) -> None:
        """Raises Conflict if one of these ids belongs to a transfer, a bulk or a conversion that this DFSP has sent."""
        await self._db.read(partial(own_ids_closed_to_others.check_is_not_own, ids=ids))

    async def add_incoming(self, incoming: Incoming, *, may_be_own: bool = False) -> tuple[Incoming, bool]:
        """Stores a transfer. Returns the stored record, and whether this call has stored it as a new record.

        Raises Conflict if the id belongs to a different transfer. `may_be_own` is true for a transfer that this DFSP
        sends to itself.
        """

        def job(conn: Connection) -> tuple[Incoming, bool]:
            if not may_be_own:
                own_ids_closed_to_others.check_is_not_own(conn, [incoming.transfer_id])
            added = conn.execute(
                "INSERT INTO incoming (transfer_id, digest, state, is_open, record, changed_at, owner)"
                " VALUES (?, ?, ?, 1, ?, seconds_now(), ?) ON CONFLICT DO NOTHING",
                (incoming.transfer_id, incoming.digest, incoming.stage, _encode(incoming), self._db.instance),
            )
            if added.rowcount == 1:
                return incoming, True
            row = conn.execute(
                "SELECT digest, record FROM incoming WHERE transfer_id = ?", (incoming.transfer_id,)
            ).fetchone()
            assert row is not None
            if row["digest"] != incoming.digest:
                raise Conflict
            return _decode(row["record"], Incoming), False

        return await self._db.write(job)

    async def claim_quote(self, transfer_id: str, quote_id: str) -> bool:
        """Reserves the terms for the transfer, so that no other transfer can use them. Returns False if another
        transfer has already reserved them.
        """

        def job(conn: Connection) -> None:
            conn.execute("UPDATE incoming SET quote_id = ? WHERE transfer_id = ?", (quote_id, transfer_id))

        try:
            await self._db.write(job)
        except Duplicate:
            return False
        return True

    async def save_incoming(self, before: Incoming, after: Incoming) -> bool:
        """Stores the new stage of a transfer. The transfer keeps its owner, and the owner gets a notification.

        If another task or instance has already changed the stage, returns False and changes nothing.
        """
        record = _encode(after)

        def job(conn: Connection) -> bool:
            changed = conn.execute(
                "UPDATE incoming SET state = ?, is_open = ?, record = ?, changed_at = seconds_now()"
                " WHERE transfer_id = ? AND state = ?",
                (after.stage, int(after.stage not in DONE), record, after.transfer_id, before.stage),
            )
            if changed.rowcount != 1:
                return False
            self._db.note(conn, "incoming", after)
            self._db.tell(conn, "incoming", after.transfer_id)
            return True

        return await self._db.write(job)

    async def incoming(self, transfer_id: str) -> Incoming | None:
        """Returns the transfer with this id, or None."""
        return await self._one("SELECT record FROM incoming WHERE transfer_id = ?", transfer_id, Incoming)

    async def own_incoming(self, transfer_id: str) -> Incoming | None:
        """Returns the transfer with this id if this instance is the transfer's owner, and otherwise None."""
        return await self._own("SELECT record FROM incoming WHERE transfer_id = ? AND owner = ?", transfer_id, Incoming)

    async def unfinished_incoming(self) -> list[Incoming]:
        """Returns this instance's open transfers, on which this DFSP or the hub still has to act."""
        return await self._unfinished("SELECT record FROM incoming WHERE is_open = 1 AND owner = ?", Incoming)

    # ---- lists: in the order of the last change, after the end of the previous page

    async def payments(self, since: float, after: str, *, state: str | None, limit: int) -> list[tuple[float, Payment]]:
        """Returns payments, each with the time of its last change. `after` is the end of the previous page: a time, and
        the id that the core gave to a payment.
        """
        where, given = ("state = ? AND ", [state]) if state is not None else ("", [])
        return await self._listed(
            "payment", Payment, f"{where}(changed_at, home_id) > (?, ?)", "home_id", given, since, after, limit
        )

    async def sent_payments(self, since: float, after: str, *, limit: int) -> list[tuple[float, Payment]]:
        """Returns only the payments that have ended or whose transfer has been prepared.

        `after` is the end of the previous page: a time, a transfer id and a direction.
        """
        order = "transfer_id || '/OUT'"
        where = f"state NOT IN ('LOOKUP', 'QUOTE', 'AGREED') AND (changed_at, {order}) > (?, ?)"
        return await self._listed("payment", Payment, where, order, [], since, after, limit)

    async def received_transfers(self, since: float, after: str, *, limit: int) -> list[tuple[float, Incoming]]:
        """Returns incoming transfers, in the same way as `sent_payments` returns outgoing transfers."""
        order = "transfer_id || '/IN'"
        return await self._listed(
            "incoming", Incoming, f"(changed_at, {order}) > (?, ?)", order, [], since, after, limit
        )

    async def counts(self) -> list[tuple[str, str, int]]:
        """Returns the numbers of payments and of incoming transfers in each state. Each result has a direction, a state
        and a number.
        """
        return await self._db.read_many(_counts)

    async def waiting_events(self) -> int:
        """Counts the events that the core has not yet accepted, including other instances' events."""

        def job(conn: Connection) -> int:
            row = conn.execute(
                "SELECT count(*) AS number FROM exchange WHERE kind = 'event' AND is_open = 1"
            ).fetchone()
            assert row is not None
            return int(row["number"])

        return await self._db.read_many(job)

    # ---- helpers

    async def _listed(
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

        def job(conn: Connection) -> list[tuple[float, Record]]:
            rows = conn.execute(statement, [*given, since, after, since, limit]).fetchall()
            return [(row["changed_at"], _decode(row["record"], kind)) for row in rows]

        return await self._db.read_many(job)

    async def _own(self, sql: str, key: str, kind: type[Record]) -> Record | None:
        return await self._found(sql, (key, self._db.instance), kind)

    async def _unfinished(self, sql: str, kind: type[Record]) -> list[Record]:
        def job(conn: Connection) -> list[Record]:
            rows = conn.execute(sql, (self._db.instance,)).fetchall()
            return readable([row["record"] for row in rows], kind)

        return await self._db.read_many(job)

    async def _one(self, sql: str, key: str, kind: type[Record]) -> Record | None:
        return await self._found(sql, (key,), kind)

    async def _found(self, sql: str, values: Sequence[str], kind: type[Record]) -> Record | None:
        def job(conn: Connection) -> Record | None:
            row = conn.execute(sql, values).fetchone()
            return None if row is None else _decode(row["record"], kind)

        return await self._db.read(job)


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[begin : begin + _AT_ONCE] for begin in range(0, len(values), _AT_ONCE))


def _usable_terms(conn: Connection, conditions: Sequence[str]) -> list[Row]:
    places = ", ".join("?" * len(conditions))
    sql = f"SELECT record FROM quote WHERE condition IN ({places})"  # noqa: S608
    sql += " AND NOT EXISTS (SELECT 1 FROM incoming WHERE incoming.quote_id = quote.quote_id)"
    return conn.execute(sql, conditions).fetchall()


def _counts(conn: Connection) -> list[tuple[str, str, int]]:
    return [
        (direction, row["state"], row["number"])
        for direction, table in (("out", "payment"), ("in", "incoming"))
        for row in conn.execute(f"SELECT state, count(*) AS number FROM {table} GROUP BY state").fetchall()  # noqa: S608
    ]


def readable(stored: Iterable[bytes], kind: type[Record]) -> list[Record]:
    """Returns only the records that can be read. A record that cannot be read must not stop the processing of other
    records.

    For example, a newer connector can store a record with a state that this version does not have.
    """
    found = []
    for raw in stored:
        try:
            found.append(_decode(raw, kind))
        except msgspec.MsgspecError as error:
            log.error("record_not_read", kind=kind.__name__, why=str(error))
    return found


def _encode(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record)


def _decode(raw: bytes, kind: type[Record]) -> Record:
    return msgspec.json.decode(raw, type=kind)
