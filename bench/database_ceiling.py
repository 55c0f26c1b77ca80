"""Measures how fast the database alone can write the rows of transfers with psycopg (`python -m
bench.database_ceiling`).

This program writes the same rows as the engine, with the same constraints, triggers and batches, and two commits per
batch. The program reads no rows and makes no decisions. The program locks only the rows that its statements need.
"""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg

from bench import transfers_for_engine_benches
from bench.messages import CURRENCY
from bench.transfers_for_engine_benches import Row

_TRANSFERS = """
    INSERT INTO ledger_transfer (transfer_id, payer_id, payee_id, payee_name, currency, amount, state, condition,
                                 expires_at, version, digest, payer_account_id, payee_account_id, received_at,
                                 wants_patch)
    SELECT id, %s, %s, %s, %s, %s, 'RESERVED', condition, expires_at, '1.1', digest, %s, %s, %s, false
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bytea[]) AS t (id, condition, expires_at, digest)
"""
_RESERVE = "UPDATE ledger_account SET pending_debits = pending_debits + %s, changed_at = %s WHERE id = %s"
_EVENTS = """
    INSERT INTO ledger_transferevent (transfer_id, state, body, headers, at)
    SELECT id, %s, body, %s::jsonb, %s FROM unnest(%s::text[], %s::bytea[]) AS e (id, body)
"""
_MESSAGES = """
    INSERT INTO outbox_message (destination_id, method, path, headers, body, subject, kind, signed_by_hub)
    SELECT %s, %s, path, %s::jsonb, body, id, %s, false
    FROM unnest(%s::text[], %s::text[], %s::bytea[]) AS m (id, path, body)
"""
_COMMIT = """
    UPDATE ledger_transfer t
    SET state = 'COMMITTED', fulfilment = c.fulfilment, fulfil_digest = c.digest, fulfil_version = '1.1',
        completed_at = %s
    FROM unnest(%s::text[], %s::text[], %s::bytea[]) AS c (id, fulfilment, digest) WHERE t.transfer_id = c.id
"""
_POST = """
    UPDATE ledger_account
    SET posted_debits = posted_debits + CASE WHEN id = %s THEN %s ELSE 0 END,
        posted_credits = posted_credits + CASE WHEN id = %s THEN 0 ELSE %s END,
        pending_debits = pending_debits - CASE WHEN id = %s THEN %s ELSE 0 END, changed_at = %s
    WHERE id = ANY(%s)
"""
_ENTRIES = """
    INSERT INTO ledger_entry (kind, transfer_id, debit_account_id, credit_account_id, currency, amount, window_id,
                              created_at)
    SELECT 'TRANSFER', id, %s, %s, %s, %s, (SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN'), %s
    FROM unnest(%s::text[]) AS t (id)
"""
_DIGEST = b"\0" * 32


class Writer:
    def __init__(self, url: str, parties: dict[str, tuple[int, int]]) -> None:
        self._connection = psycopg.connect(url)
        self._payer, self._payee = (
            parties[transfers_for_engine_benches.PAYER],
            parties[transfers_for_engine_benches.PAYEE],
        )
        self._there = orjson.dumps(
            transfers_for_engine_benches.headers(transfers_for_engine_benches.PAYER, transfers_for_engine_benches.PAYEE)
        ).decode()
        self._back = orjson.dumps(
            transfers_for_engine_benches.headers(transfers_for_engine_benches.PAYEE, transfers_for_engine_benches.PAYER)
        ).decode()

    def reserve(self, batch: list[Row]) -> None:
        """Writes the rows of a batch of prepares."""
        now = datetime.now(UTC)
        ids, bodies = [row.transfer_id for row in batch], [row.prepare for row in batch]
        (payer, payer_account), (payee, payee_account) = self._payer, self._payee
        terms = (
            payer,
            payee,
            transfers_for_engine_benches.PAYEE,
            CURRENCY,
            transfers_for_engine_benches.AMOUNT,
            payer_account,
            payee_account,
            now,
        )
        arrays = ([row.condition for row in batch], [row.expires_at for row in batch], [_DIGEST for _ in batch])
        self._run(_TRANSFERS, *terms, ids, *arrays)
        self._run(_RESERVE, transfers_for_engine_benches.AMOUNT * len(batch), now, payer_account)
        self._run(_EVENTS, "RESERVED", self._there, now, ids, bodies)
        self._run(_MESSAGES, payee, "POST", self._there, "prepare", ids, ["/transfers"] * len(batch), bodies)
        self._connection.commit()

    def commit(self, batch: list[Row]) -> None:
        """Writes the rows of a batch of fulfils."""
        now = datetime.now(UTC)
        ids, bodies = [row.transfer_id for row in batch], [row.fulfil for row in batch]
        payer, payee = self._payer[1], self._payee[1]
        total = transfers_for_engine_benches.AMOUNT * len(batch)
        self._run(_COMMIT, now, ids, [row.fulfilment for row in batch], [_DIGEST for _ in batch])
        self._run(_POST, payer, total, payer, total, payer, total, now, [payer, payee])
        self._run(_ENTRIES, payer, payee, CURRENCY, transfers_for_engine_benches.AMOUNT, now, ids)
        self._run(_EVENTS, "COMMITTED", self._back, now, ids, bodies)
        paths = [f"/transfers/{transfer_id}" for transfer_id in ids]
        self._run(_MESSAGES, self._payer[0], "PUT", self._back, "end-to-payer", ids, paths, bodies)
        self._connection.commit()

    def _run(self, statement: str, *parameters: Any) -> None:
        psycopg.Cursor(self._connection).execute(statement, parameters, prepare=True)


def main(count: int, size: int, postgres_pid: int) -> None:
    """Measures the writes, and prints the figures as one JSON line."""
    import django

    django.setup()
    from bench.engine_vs_database_ceiling import measure

    writer = Writer(os.environ["DATABASE_URL"], transfers_for_engine_benches.onboard())
    found = transfers_for_engine_benches.batches(transfers_for_engine_benches.rows(count), size)
    steps: list[Callable[[], None]] = []
    for batch in found:
        steps += [lambda batch=batch: writer.reserve(batch), lambda batch=batch: writer.commit(batch)]  # type: ignore[misc]
    measure(steps, count, postgres_pid)


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:4]))
