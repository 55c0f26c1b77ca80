"""Reads the judged transfers and their ends, the quotes and the lookups, each with its stored decision.

Reads the rows in the order in which the hub decided about them, from one snapshot of the database. Reads a fixed number
of rows at once, so the memory use is bounded. A thread reads the next rows while the caller uses the present rows.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from operator import attrgetter
from typing import Any

import psycopg
from django.db import connection, transaction

from hub.sql_execution import execute
from rules.profiles.counted_payments import COLUMNS, CountedPayment, Keys

_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """The fields of `rules.rulesets.models.Decision` about one payment."""

    version: int
    outcome: str
    code: str | None
    hits: list[dict[str, Any]]
    facts: bytes | None


@dataclass(frozen=True, slots=True)
class StoredTransfer:
    """A transfer at its arrival, or a reserved transfer at its abort (`is_end`)."""

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
    was_reserved: bool
    reason: str | None
    is_in_bulk: bool
    counted: CountedPayment | None
    decision: StoredDecision | None
    quote_id: str | None
    kept: bytes | None  # of the quote (`rules.kept_verdicts`)
    quoted_amount: int | None
    quoted_currency: str | None


@dataclass(frozen=True, slots=True)
class StoredQuote:
    """A quote that the rules allowed, or a quote that was counted while no rules were active."""

    at: datetime
    quote_id: str
    kept: bytes
    decision: StoredDecision | None


@dataclass(frozen=True, slots=True)
class DecisionOnly:
    """A decision without a stored payment: about a lookup, a refused quote, or a quote of a bulk or of an FXP."""

    at: datetime
    gate: str
    subject: str
    decision: StoredDecision


Stored = StoredTransfer | StoredQuote | DecisionOnly

_DECISION = "d.version_id, d.outcome, d.code, d.hits, d.facts"
_TRANSFERS = f"""
    SELECT e.at, e.state = 'ABORTED' AND t.payer_account_id IS NOT NULL, t.transfer_id, payer.name, t.payee_name,
           t.currency, t.amount, t.received_at, t.expires_at, t.state = 'ABORTED',
           t.payer_account_id IS NOT NULL, t.reason, t.bulk_id IS NOT NULL,
           c.served_by, c.is_refund, {", ".join(f"c.{name}" for name in COLUMNS.values())}, {_DECISION},
           q.quote_id, q.rule_facts, q.transfer_amount, q.transfer_currency
    FROM ledger_transferevent e JOIN ledger_transfer t ON t.transfer_id = e.transfer_id
    JOIN participants_participant payer ON payer.id = t.payer_id
    LEFT JOIN rules_profiles_countedtransfer c ON c.transfer_id = t.transfer_id
    LEFT JOIN LATERAL (SELECT * FROM rules_rulesets_decision d
                       WHERE d.subject = t.transfer_id AND d.gate = 'transfer' LIMIT 1) d ON true
    LEFT JOIN LATERAL (SELECT q.quote_id, q.rule_facts, q.transfer_amount, q.transfer_currency FROM quotes_quote q
                       WHERE q.payer_id = t.payer_id AND q.payee_id = t.payee_id AND q.condition = t.condition
                         AND q.packet_sha256 IS NOT NULL AND q.rule_facts IS NOT NULL LIMIT 1) q ON true
    WHERE e.state <> 'COMMITTED' ORDER BY e.id
"""  # noqa: S608 (the columns)
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
          ELSE true END
    ORDER BY d.at, d.id
"""  # noqa: S608


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Reads inside this context see one snapshot of the database. The hub may process payments meanwhile."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def number() -> int:
    """Returns the approximate number of rows that `read` will yield."""
    row = execute(
        """SELECT (SELECT count(*) FROM ledger_transfer) + (SELECT count(*) FROM quotes_quote
                   WHERE rule_facts IS NOT NULL) + (SELECT count(*) FROM ledger_transfer
                   WHERE state = 'ABORTED' AND payer_account_id IS NOT NULL)"""
    ).fetchone()
    assert row is not None
    return int(row[0])


def read(*, with_quotes: bool = True) -> Iterator[Stored]:
    """Yields all rows in the order of their decisions. Must be called inside `one_snapshot`."""
    with ThreadPoolExecutor(1, "stored-payments") as reader:
        streams: list[Iterator[Stored]] = [
            map(_transfer, _rows(reader, "transfers", _TRANSFERS)),
            map(_quote, _rows(reader, "quotes", _QUOTES) if with_quotes else iter(())),
            map(_decision_only, _rows(reader, "decisions", _DECISIONS_ONLY)),
        ]
        yield from merge(*streams, key=attrgetter("at"))


def _rows(reader: ThreadPoolExecutor, name: str, sql: str) -> Iterator[Sequence[Any]]:
    with psycopg.ServerCursor(connection.connection, f"replay_{name}") as cursor:
        cursor.execute(sql, binary=True)
        coming = reader.submit(cursor.fetchmany, _CHUNK)
        while rows := coming.result():
            coming = reader.submit(cursor.fetchmany, _CHUNK)
            yield from rows


def _transfer(row: Sequence[Any]) -> StoredTransfer:
    head, (served_by, is_refund), rest = row[:13], row[13:15], row[15:]
    keys, decision, quote = rest[: len(COLUMNS)], rest[len(COLUMNS) : -4], rest[-4:]
    counted = None
    if served_by is not None:
        transfer_id, currency, amount, received_at = head[2], head[5], head[6], head[7]
        counted = CountedPayment(transfer_id, Keys(*keys), served_by, is_refund, currency, amount, received_at)
    return StoredTransfer(*(*head, counted, _decision(decision), *quote))


def _quote(row: Sequence[Any]) -> StoredQuote:
    at, quote_id, kept, *decision = row
    return StoredQuote(at, quote_id, kept, _decision(decision))


def _decision_only(row: Sequence[Any]) -> DecisionOnly:
    at, gate, subject, *decision = row
    found = _decision(decision)
    assert found is not None
    return DecisionOnly(at, gate, subject, found)


def _decision(columns: Sequence[Any]) -> StoredDecision | None:
    version, outcome, code, hits, facts = columns
    return None if version is None else StoredDecision(version, outcome, code, hits, facts)
