"""The SQL statements on bulk transfers. `ledger.store` has the SQL statements on the items of a bulk.

Before the hub ends a bulk, it locks the row of the bulk, and then all other rows. The docstring of `ledger.store`
describes the order of all locks.
"""

import orjson

from hub import fair_overdue_rows
from hub.group_commit import LostRace
from hub.sql_execution import execute
from ledger.bulk.commands_and_outcomes import Bulk, BulkPrepare
from ledger.bulk.states import BulkState
from ledger.commands_and_outcomes import PaymentMessage

_BULK = """
    SELECT b.bulk_transfer_id, b.bulk_quote_id, b.payer_id, b.payee_id, payer.name, b.payee_name, b.state,
           b.expires_at, b.digest, b.version, b.item_count, b.reserved_items, b.ids_used_before, b.reason,
           b.error_code, b.error_description, b.answer_digest, b.answer_version, b.completed_at
    FROM ledger_bulktransfer b JOIN participants_participant payer ON payer.id = b.payer_id
    WHERE b.bulk_transfer_id = %s
"""


def by_id(bulk_id: str) -> Bulk | None:
    """Returns one bulk in its present state, without a lock."""
    return _read(_BULK, bulk_id)


def lock(bulk_id: str) -> Bulk | None:
    """Returns one bulk, and locks its row until the transaction ends.

    While the row is locked, other transactions can still add rows that reference the bulk.
    """
    return _read(_BULK + " FOR NO KEY UPDATE OF b", bulk_id)


def _read(statement: str, bulk_id: str) -> Bulk | None:
    row = execute(statement, [bulk_id]).fetchone()
    if row is None:
        return None
    bulk = Bulk(*row)
    bulk.state = BulkState(bulk.state)
    return bulk


def item_ids(bulk_id: str) -> list[str]:
    """Returns the ids of those items of the bulk that the hub has stored as transfers."""
    return [row[0] for row in execute("SELECT transfer_id FROM ledger_transfer WHERE bulk_id = %s", [bulk_id])]


_INSERT = """
    INSERT INTO ledger_bulktransfer (
        bulk_transfer_id, bulk_quote_id, payer_id, payee_id, payee_name, state, reason, error_code, error_description,
        expires_at, item_count, reserved_items, ids_used_before, version, digest, request, request_headers,
        completed_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text::jsonb, %s)
    ON CONFLICT (bulk_transfer_id) DO NOTHING
"""


def insert(bulk: Bulk, command: BulkPrepare) -> None:
    """Stores a new bulk. Raises LostRace if another process has already stored a bulk with this id."""
    values = [
        *(bulk.bulk_id, bulk.quote_id, bulk.payer_id, bulk.payee_id, bulk.payee, bulk.state.value),
        *(bulk.reason, bulk.error_code, bulk.error_description, bulk.expires_at),
        *(bulk.item_count, bulk.reserved_items, bulk.ids_used_before, bulk.version, bulk.digest),
        *(command.message.body, orjson.dumps(command.message.headers).decode(), bulk.completed_at),
    ]
    if execute(_INSERT, values).rowcount != 1:
        raise LostRace("another process has already stored this bulk")


_END = """
    UPDATE ledger_bulktransfer
    SET state = %s, reason = %s, error_code = %s, error_description = %s, completed_at = %s, answer_digest = %s,
        answer_version = %s, answer = %s, answer_headers = %s::text::jsonb
    WHERE bulk_transfer_id = %s AND state = 'ACCEPTED'
"""


def end(bulk: Bulk, answer: PaymentMessage | None) -> None:
    """Ends a bulk, and stores the payee's answer as evidence. Raises LostRace if the bulk has already ended."""
    headers = orjson.dumps(answer.headers).decode() if answer else None
    values = [
        *(bulk.state.value, bulk.reason, bulk.error_code, bulk.error_description, bulk.completed_at),
        *(bulk.answer_digest, bulk.answer_version, answer.body if answer else None, headers, bulk.bulk_id),
    ]
    if execute(_END, values).rowcount != 1:
        raise LostRace("the bulk ended while the batch was decided")


EXPIRY = "bulks"  # the name of the batch

_PAST_EXPIRY = fair_overdue_rows.Way(
    "state = 'ACCEPTED' AND expires_at <= statement_timestamp()", "expires_at", "expires_at"
)


def past_expiry(limit: int) -> list[str]:
    """Returns expired bulks, without the bulks that the batch now skips. Takes the payers in turn, and each payer's
    bulks in the order of their expirations.
    """
    table, key = "ledger_bulktransfer", "bulk_transfer_id"
    return fair_overdue_rows.overdue(EXPIRY, table, key, of="payer_id", ways=[_PAST_EXPIRY], most=limit)
