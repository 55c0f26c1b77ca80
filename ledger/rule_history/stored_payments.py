"""Reads the judged transfers, the aborts of transfers, the quotes and the lookups. Also reads the rules' stored
decisions about these payments.

All rows come from one snapshot of the database. The order of the rows is the order of the hub's decisions. A short
database transaction opens cursors for the rows. When this transaction commits, PostgreSQL copies the rows of the
cursors to temporary files. So no snapshot stays open while a caller reads the rows. An open snapshot would prevent
VACUUM in all tables, including the outbox.

PostgreSQL needs 10 s to copy a million transfers. So a cursor of another connection reads all transfers but the first
fifth, and PostgreSQL copies these transfers while the caller already uses the first fifth. A replay needs more time for
this fifth than PostgreSQL needs for the other transfers.

Reads a fixed number of rows at a time, so the memory use is bounded. A separate thread reads the next rows while the
caller uses the present rows.
"""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from heapq import merge
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from django.db import connection, transaction
from msgspec.structs import replace
from psycopg.sql import SQL, Literal

from hub.sql_execution import execute
from hub.sweeps.models import Erasure
from rules import facts as facts_of_payments
from rules import kept_verdicts
from rules.facts import Facts
from rules.kept_verdicts import Kept
from rules.language.counter_types import Subject
from rules.profiles.counted_payments import COLUMNS, CountedPayment, Keys
from rules.transfer_gate import TransferToJudge, facts_of

_CHUNK = 5_000
_SECOND = timedelta(seconds=1)


class StoredDecision(msgspec.Struct, frozen=True, gc=False):
    """The stored decision about one payment, with the fields of `rules.rulesets.models.Decision`."""

    version: int | None  # None if a kill switch refused the payment while no rules were active
    outcome: str
    code: str | None
    hits: list[dict[str, Any]]
    facts: bytes | None


class StoredTransfer(msgspec.Struct, frozen=True, gc=False):
    """A row of `_TRANSFERS`. A row reports the arrival of a transfer. If `is_end` is true, the row reports the abort of
    a reserved transfer."""

    at: datetime
    is_end: bool
    transfer_id: str
    payer_dfsp: str
    payee_dfsp: str
    currency: str
    amount: int
    received_at: datetime
    expires_at: datetime
    is_aborted_later: bool
    committed_at: datetime | None
    was_reserved: bool
    reason: str | None
    is_in_bulk: bool
    quote_id: str | None
    kept: bytes | None  # the verdict about the quote, from `rules.kept_verdicts`
    quoted_amount: int | None
    quoted_currency: str | None
    terms_expire_at: datetime | None
    version: int | None
    outcome: str | None
    code: str | None
    hits: list[dict[str, Any]] | None
    facts: bytes | None
    served_by: int | None
    is_refund: bool | None
    payer: int | None
    payee: int | None
    alias: int | None
    payer_dfsp_key: int | None
    payee_dfsp_key: int | None
    pair: int | None
    original: int | None

    @property
    def is_counted(self) -> bool:
        return self.served_by is not None

    def counted(self, subjects: Collection[Subject]) -> CountedPayment | None:
        """Returns the payment with the values that the hub counted.

        Leaves out the keys of the pair and of the DFSPs, unless they are among these subjects.
        """
        if self.served_by is None or self.is_refund is None:
            return None
        keys = Keys(
            payer=self.payer,
            payee=self.payee,
            alias=self.alias,
            payer_dfsp=self.payer_dfsp_key if "payer_dfsp" in subjects else None,
            payee_dfsp=self.payee_dfsp_key if "payee_dfsp" in subjects else None,
            pair=self.pair if "pair" in subjects else None,
            original=self.original,
        )
        return CountedPayment(
            self.transfer_id, keys, self.served_by, self.is_refund, self.currency, self.amount, self.received_at
        )

    @property
    def decision(self) -> StoredDecision | None:
        return _decision(self.version, self.outcome, self.code, self.hits, self.facts)


class StoredQuote(msgspec.Struct, frozen=True, gc=False):
    """A quote that the rules allowed, or a quote that the hub counted while no rules were active."""

    at: datetime
    quote_id: str
    kept: bytes
    decision: StoredDecision | None


class DecisionOnly(msgspec.Struct, frozen=True, gc=False):
    """A decision for which no payment is stored: about a lookup, a refused quote, a quote in a bulk quote, or an FX
    quote."""

    at: datetime
    gate: str
    subject: str
    decision: StoredDecision


Stored = StoredTransfer | StoredQuote | DecisionOnly

_DECISION = "d.version_id, d.outcome, d.code, d.hits, d.facts"
_TRANSFERS = f"""
    SELECT e.at, e.state = 'ABORTED' AND t.payer_account_id IS NOT NULL, t.transfer_id, payer.name, t.payee_name,
           t.currency, t.amount, t.received_at, t.expires_at, t.state = 'ABORTED',
           CASE WHEN t.state = 'COMMITTED' THEN t.completed_at END, t.payer_account_id IS NOT NULL, t.reason,
           t.bulk_id IS NOT NULL,
           q.quote_id, q.rule_facts, q.transfer_amount, q.transfer_currency, q.terms_expire_at, {_DECISION},
           c.served_by, c.is_refund, {", ".join(f"c.{name}" for name in COLUMNS.values())}
    FROM ledger_transferevent e JOIN ledger_transfer t ON t.transfer_id = e.transfer_id
    JOIN participants_participant payer ON payer.id = t.payer_id
    LEFT JOIN rules_profiles_countedtransfer c ON c.transfer_id = t.transfer_id
    LEFT JOIN LATERAL (SELECT * FROM rules_rulesets_decision d
                       WHERE d.subject = t.transfer_id AND d.gate = 'transfer' LIMIT 1) d ON true
    LEFT JOIN LATERAL (SELECT q.quote_id, q.rule_facts, q.transfer_amount, q.transfer_currency, q.terms_expire_at
                       FROM quotes_quote q
                       WHERE q.payer_id = t.payer_id AND q.payee_id = t.payee_id AND q.condition = t.condition
                         AND q.packet_sha256 IS NOT NULL AND q.rule_facts IS NOT NULL LIMIT 1) q ON true
"""  # noqa: S608 (the columns)
_FIRST_TRANSFERS = _TRANSFERS + " WHERE e.state <> 'COMMITTED' AND e.id < %s ORDER BY e.id"
_LATER_TRANSFERS = _TRANSFERS + " WHERE e.state <> 'COMMITTED' AND e.id >= %s ORDER BY e.id"
_OF_TRANSFERS = _TRANSFERS + " WHERE e.state = 'RESERVED' AND t.transfer_id = ANY(%s::text[])"
_QUOTES = f"""
    SELECT q.created_at, q.quote_id, q.rule_facts, {_DECISION} FROM quotes_quote q
    LEFT JOIN LATERAL (SELECT * FROM rules_rulesets_decision d
                       WHERE d.subject = q.quote_id AND d.gate = 'quote' LIMIT 1) d ON true
    WHERE q.rule_facts IS NOT NULL ORDER BY q.created_at, q.quote_id
"""  # noqa: S608
_DECISIONS_ONLY = f"""
    SELECT d.at, d.gate, d.subject, {_DECISION} FROM rules_rulesets_decision d
    WHERE CASE d.gate
          WHEN 'quote' THEN NOT EXISTS (SELECT FROM quotes_quote q
                                        WHERE q.quote_id = d.subject AND q.rule_facts IS NOT NULL)
          WHEN 'transfer' THEN NOT EXISTS (SELECT FROM ledger_transfer t WHERE t.transfer_id = d.subject)
          WHEN 'answer' THEN false
          WHEN 'release' THEN false
          ELSE true END
    ORDER BY d.at, d.id
"""  # noqa: S608


@contextmanager
def one_snapshot() -> Iterator[None]:
    """All reads inside this context use one snapshot of the database. The hub can process payments at the same time.

    Inside this context, a caller must do nothing except open `StoredRows`. The caller must read the rows after the
    context has ended.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")  # the COMMIT copies the rows
        yield


_NUMBER = """
    SELECT (SELECT count(*) FROM ledger_transfer)
         + (SELECT count(*) FROM ledger_transfer WHERE state = 'ABORTED' AND payer_account_id IS NOT NULL)
         + (SELECT count(*) FROM quotes_quote WHERE rule_facts IS NOT NULL AND %s)
"""


def number(*, with_quotes: bool = True) -> int:
    """Returns the number of rows that a replay will read. Does not count decisions that have no stored payment."""
    row = execute(_NUMBER, [with_quotes]).fetchone()
    assert row is not None
    return int(row[0])


class StoredRows:
    """All stored rows in the order of their decisions. Open an object of this class inside the context `one_snapshot`.
    Read the object's rows after this context has ended."""

    def __init__(self, *, with_quotes: bool = True) -> None:
        later_from = _first_event_that_is_later()
        ours = connection.connection
        self._transfers = _cursor(ours, "transfers", _FIRST_TRANSFERS, [later_from])
        self._quotes = _cursor(ours, "quotes", _QUOTES) if with_quotes else None
        self._decisions = _cursor(ours, "decisions", _DECISIONS_ONLY)
        self._later = _LaterTransfers(later_from)

    def __iter__(self) -> Iterator[Stored]:
        with ThreadPoolExecutor(1, "stored-payments") as reader:
            streams: list[Iterator[Stored]] = [
                map(_transfer, chain(_rows(reader, self._transfers), self._later)),
                map(_quote, _rows(reader, self._quotes) if self._quotes is not None else iter(())),
                map(_decision_only, _rows(reader, self._decisions)),
            ]
            yield from merge(*streams, key=attrgetter("at"))

    def close(self) -> None:
        """Closes the cursors, so that PostgreSQL deletes its temporary files."""
        for cursor in (self._transfers, self._quotes, self._decisions):
            if cursor is not None:
                cursor.close()
        self._later.close()


class _LaterTransfers:
    """All transfers from an event on. A second connection reads these transfers from the snapshot of the caller's
    transaction."""

    def __init__(self, later_from: int) -> None:
        (snapshot,) = execute("SELECT pg_export_snapshot()").fetchall()[0]
        self._django = connection.copy()
        self._django.ensure_connection()
        self._psycopg: psycopg.Connection[Any] = self._django.connection
        try:
            self._psycopg.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._psycopg.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(snapshot)))
            self._psycopg.execute("SET LOCAL statement_timeout = 0")  # the COMMIT copies the rows
        except BaseException:
            self._django.close()
            raise
        self._reader = ThreadPoolExecutor(1, "later-transfers")
        self._cursor = self._reader.submit(self._copy, later_from)

    def _copy(self, later_from: int) -> psycopg.ServerCursor[Sequence[Any]]:
        cursor = _cursor(self._psycopg, "later_transfers", _LATER_TRANSFERS, [later_from])
        self._psycopg.execute("COMMIT")
        return cursor

    def __iter__(self) -> Iterator[Sequence[Any]]:
        yield from _rows(self._reader, self._cursor.result())

    def close(self) -> None:
        """Ends the copying if it has not ended, and closes the connection."""
        if not self._cursor.done():
            self._psycopg.cancel_safe()
        self._reader.shutdown()
        self._django.close()


def _first_event_that_is_later() -> int:
    """Returns the id of the event after the first fifth of the events."""
    ((first, last),) = execute("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM ledger_transferevent").fetchall()
    return int(first + (last - first) // 5)


def _cursor(
    of: psycopg.Connection[Any], name: str, sql: str, parameters: Sequence[Any] = ()
) -> psycopg.ServerCursor[Sequence[Any]]:
    cursor = psycopg.ServerCursor(of, f"replay_{name}", withhold=True)
    cursor.execute(sql, parameters or None, binary=True)
    return cursor


def _rows(reader: ThreadPoolExecutor, cursor: psycopg.ServerCursor[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    coming = reader.submit(cursor.fetchmany, _CHUNK)
    while rows := coming.result():
        coming = reader.submit(cursor.fetchmany, _CHUNK)
        yield from rows


def _transfer(row: Sequence[Any]) -> StoredTransfer:
    return StoredTransfer(*row)


def _quote(row: Sequence[Any]) -> StoredQuote:
    at, quote_id, kept, *decision = row
    return StoredQuote(at, quote_id, kept, _decision(*decision))


def _decision_only(row: Sequence[Any]) -> DecisionOnly:
    at, gate, subject, *decision = row
    found = _decision(*decision)
    assert found is not None
    return DecisionOnly(at, gate, subject, found)


def _decision(
    version: int | None, outcome: str | None, code: str | None, hits: list[dict[str, Any]] | None, facts: bytes | None
) -> StoredDecision | None:
    return None if outcome is None else StoredDecision(version, outcome, code, hits or [], facts)


def kept_of(t: StoredTransfer) -> Kept | None:
    """Returns the facts and the verdict that the hub stored with the transfer's quote."""
    return None if t.kept is None else kept_verdicts.from_bytes(t.kept).get(t.quote_id or "")


def facts_at_transfer(
    t: StoredTransfer, kept: Kept | None, *, version: int | None = None, erased_before: datetime | None = None
) -> Facts | None:
    """Returns the facts that the rules used for the transfer, or None if the hub has erased these facts.

    `version` is the version of the rules that judged the transfer. If `version` is None, no rules judged the transfer.
    The function then returns the facts that active rules would have used. `erased_before` is the time before which the
    hub has erased the facts of quotes.
    """
    if t.facts is not None:
        return facts_of_payments.from_bytes(t.facts)
    if kept is None and (t.is_in_bulk or (t.payer is not None and _is_before(t.received_at, erased_before))):
        return None  # the hub has erased the facts of the quote, or has stored them with a bulk quote
    known: dict[str, Any] = (
        {} if kept is None else {"quoted_amount": t.quoted_amount, "quoted_currency": t.quoted_currency}
    )
    found = facts_of(
        TransferToJudge(
            digest=b"",
            transfer_id=t.transfer_id,
            payer_dfsp=t.payer_dfsp,
            payee_dfsp=t.payee_dfsp,
            currency=t.currency,
            amount=t.amount,
            expires_at=t.expires_at,
            quoted=None if kept is None else kept.facts,
            judged_by=None if kept is None or version is None else kept.version,
            bulk=t.is_in_bulk,
        ),
        version=version,
        now=t.received_at,
        expires_in_s=(t.expires_at - t.received_at) // _SECOND,
        **known,
    )
    if t.is_counted and (t.payer, t.payee) != (found.payer, found.payee):
        # There was no quote, or several quotes have these terms. So the hub counted the payment for parties that these
        # facts do not name.
        alias = t.payee if t.alias is None else t.alias
        found = replace(found, payer=t.payer, payee=t.payee, payee_alias=alias)
    return found


def _is_before(moment: datetime, other: datetime | None) -> bool:
    return other is not None and moment < other


ERASED_FACTS = "rule facts"
"""The name under which `hub.sweeps.models.Erasure` records the erasure of quotes' facts."""


def facts_erased_before() -> datetime | None:
    """Returns the time before which the facts of quotes have been erased."""
    return Erasure.objects.filter(kind=ERASED_FACTS).values_list("up_to", flat=True).first()


_QUOTES_WITH_THESE_TERMS = """
    SELECT FROM ledger_transfer t
    JOIN quotes_quote q ON q.payer_id = t.payer_id AND q.payee_id = t.payee_id AND q.condition = t.condition
                           AND q.packet_sha256 IS NOT NULL AND q.rule_facts IS NOT NULL
    WHERE t.transfer_id = %s LIMIT 2
"""


def has_several_quotes(transfer_id: str) -> bool:
    """Returns whether the payee DFSP gave the transfer's condition for several quotes of the payer DFSP.

    In this case, the hub found the transfer's quote by the ILP packet in the transfer. The hub does not keep this
    packet, so a replay can find another of these quotes.
    """
    return len(execute(_QUOTES_WITH_THESE_TERMS, [transfer_id]).fetchall()) > 1


def of_transfers(transfer_ids: Sequence[str]) -> dict[str, StoredTransfer]:
    """For each of these transfer ids, returns the row about the transfer's arrival."""
    found = (StoredTransfer(*row) for row in execute(_OF_TRANSFERS, [list(transfer_ids)]))
    return {each.transfer_id: each for each in found}
