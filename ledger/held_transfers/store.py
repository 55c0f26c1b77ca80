"""The SQL statements on held transfers. Each statement processes any number of transfers.

Before a statement changes a hold, its caller must lock the row of the held transfer. The docstring of `ledger.store`
describes the order of all locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from hub.group_commit import LostRace
from hub.outbox.messages import ReceivedMessage, Recipient
from hub.sql_execution import execute
from hub.sweeps.store import not_skipped
from ledger.snapshot import TransferState
from ledger.states import State

RELEASES, REFUSALS = "held-transfers", "refused-holds"  # the names under which the hub records skipped rows

_HOLD = """
    INSERT INTO ledger_heldtransfer (transfer_id, state, until, rules_version, quote_id, held_at)
    SELECT n.transfer_id, 'HELD', n.until, n.version, n.quote_id, %s
    FROM unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::text[]) AS n (transfer_id, until, version, quote_id)
"""


def insert(transfers: Sequence[TransferState], now: datetime) -> None:
    """Stores the holds of the new transfers of a batch. Runs no SQL statement if the batch has no holds."""
    held = [(t.transfer_id, t.hold) for t in transfers if t.hold is not None and t.state is State.RESERVED]
    if held:
        columns: list[list[Any]] = [
            [transfer_id for transfer_id, _ in held],
            [hold.until for _, hold in held],
            [hold.rules_version for _, hold in held],
            [hold.quote_id for _, hold in held],
        ]
        execute(_HOLD, [now, *columns])


_END = """
    UPDATE ledger_heldtransfer h
    SET state = CASE WHEN n.is_refused THEN 'REFUSED' ELSE 'ENDED' END, ended_at = %s
    FROM unnest(%s::text[], %s::boolean[]) AS n (transfer_id, is_refused)
    WHERE h.transfer_id = n.transfer_id AND h.state = 'HELD' AND (h.refusal_code IS NOT NULL OR NOT n.is_refused)
"""


def end(ended: Sequence[tuple[TransferState, bool]], now: datetime) -> None:
    """Ends the holds of these ended transfers. For each transfer, `ended` also shows whether the transfer was refused.

    Runs no SQL statement if no transfer is held. Raises LostRace if one of the transfers was released meanwhile.
    """
    held = [(t.transfer_id, is_refused) for t, is_refused in ended if t.is_held]
    if held:
        columns: list[list[Any]] = [[each[0] for each in held], [each[1] for each in held]]
        if execute(_END, [now, *columns]).rowcount != len(held):
            raise LostRace("a held transfer was released while the hub was deciding its end")


_DUE = f"""
    SELECT h.transfer_id FROM ledger_heldtransfer h
    WHERE h.state = 'HELD' AND h.until <= statement_timestamp() AND h.refusal_code IS NULL
      AND {not_skipped(RELEASES, "h.transfer_id")}
    ORDER BY h.until LIMIT %s
"""  # noqa: S608 (put together from constants)


def due(most: int) -> list[str]:
    """Returns held transfers whose hold is over. The hold with the earliest end comes first. Leaves out transfers that
    background work skips now."""
    return [row[0] for row in execute(_DUE, [most])]


_REFUSED = f"""
    SELECT h.transfer_id FROM ledger_heldtransfer h
    WHERE h.state = 'HELD' AND h.refusal_code IS NOT NULL AND {not_skipped(REFUSALS, "h.transfer_id")}
    ORDER BY h.transfer_id LIMIT %s
"""  # noqa: S608


def refused(most: int) -> list[str]:
    """Returns held transfers that were refused. Leaves out transfers that background work skips now."""
    return [row[0] for row in execute(_REFUSED, [most])]


_CODES = "SELECT transfer_id, refusal_code FROM ledger_heldtransfer WHERE transfer_id = ANY(%s::text[])"


def refusal_codes(transfer_ids: Sequence[str]) -> dict[str, str]:
    """Returns the error codes with which these held transfers were refused."""
    return {row[0]: row[1] for row in execute(_CODES, [list(transfer_ids)]) if row[1] is not None}


_LOCK = """
    SELECT t.transfer_id FROM ledger_transfer t
    WHERE t.transfer_id = ANY(%s::text[]) AND t.state = 'RESERVED' AND t.expires_at > clock_timestamp()
    ORDER BY t.transfer_id FOR NO KEY UPDATE
"""
_RELEASE = """
    UPDATE ledger_heldtransfer h SET state = 'RELEASED', ended_at = clock_timestamp(), actor = %s
    WHERE h.transfer_id = ANY(%s::text[]) AND h.state = 'HELD' AND h.refusal_code IS NULL
      AND (h.until <= clock_timestamp() OR %s <> '')
    RETURNING h.transfer_id
"""
_PREPARES = """
    SELECT t.transfer_id, t.payer_id, t.payee_id, t.payee_name, t.version, e.body, e.headers
    FROM ledger_transfer t JOIN ledger_transferevent e ON e.transfer_id = t.transfer_id AND e.state = 'RESERVED'
    WHERE t.transfer_id = ANY(%s::text[])
    ORDER BY t.transfer_id
"""


@dataclass(frozen=True, slots=True)
class Released:
    """A released transfer: the payer's stored request, and the payee to which the hub now sends this request."""

    transfer_id: str
    payer_id: int
    payee: Recipient
    request: ReceivedMessage


def lock(transfer_ids: Sequence[str]) -> list[str]:
    """Locks the rows of these transfers, ordered by id. Returns those transfers that the hub can still release or
    abort.

    Call this function in a database transaction, before any SQL statement that changes the hold of one of these
    transfers.
    """
    return [row[0] for row in execute(_LOCK, [sorted(transfer_ids)])]


def release(locked_ids: Sequence[str], *, actor: str = "") -> list[Released]:
    """Releases each of these locked transfers whose hold allows a release now.

    If `actor` is empty, releases only transfers whose hold is over.
    """
    released = [row[0] for row in execute(_RELEASE, [actor, list(locked_ids), actor])] if locked_ids else []
    if not released:
        return []
    return [
        Released(id, payer_id, Recipient(payee_id, payee, version), ReceivedMessage(body, _headers(headers)))
        for id, payer_id, payee_id, payee, version, body, headers in execute(_PREPARES, [released])
    ]


def _headers(stored: Any) -> dict[str, str]:
    found: dict[str, str] = orjson.loads(stored) if isinstance(stored, str | bytes) else stored
    return found
