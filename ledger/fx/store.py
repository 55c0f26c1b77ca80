"""The SQL statements about conversions. These statements run only in batches that contain a conversion.

A transaction locks transfers first, then conversions, then accounts. The docstring of `ledger.store` describes the
order of all locks.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
from psycopg.rows import TupleRow

from hub import fair_overdue_rows
from hub.group_commit import LostRace
from hub.sql_execution import execute
from ledger.commands_and_outcomes import Aborted, Committed, NotObeyed, Outcome, PaymentMessage, Refused
from ledger.fx.commands_and_outcomes import (
    FxAborted,
    FxAgreed,
    FxCommand,
    FxExpire,
    FxOutcome,
    FxPrepare,
    FxRefused,
    FxReserved,
)
from ledger.fx.snapshot import ConversionState, Side
from ledger.fx.states import FxState
from ledger.snapshot import ParticipantState, Snapshot, TransferState
from ledger.states import State

# --- load -----------------------------------------------------------------------------------------------------------

_CONVERSIONS = """
    SELECT f.commit_request_id, f.determining_transfer_id, f.side, f.initiator_id, f.fxp_id, initiator.name,
           f.fxp_name, f.source_currency, f.source_amount, f.target_currency, f.target_amount, f.state, f.condition,
           f.expires_at, f.held_until, f.digest, f.version, f.debit_account_id, f.credit_account_id,
           f.bridge_account_id, f.reason, f.error_code, f.error_description, f.fulfilment, f.fulfil_digest,
           f.fulfil_version, f.agreed_at, f.completed_at
    FROM ledger_fxtransfer f JOIN participants_participant initiator ON initiator.id = f.initiator_id
"""
_BY_ID = _CONVERSIONS + " WHERE f.commit_request_id = ANY(%s::text[])"
_LOCK = (
    _CONVERSIONS
    + """
    WHERE f.commit_request_id = ANY(%s::text[]) OR f.determining_transfer_id = ANY(%s::text[])
    ORDER BY f.commit_request_id FOR NO KEY UPDATE OF f
"""
)


def _as_conversion(row: TupleRow) -> ConversionState:
    conversion = ConversionState(*row)
    conversion.side, conversion.state = Side(conversion.side), FxState(conversion.state)
    return conversion


def lock_conversions(
    commands: Sequence[FxCommand], transfers: Iterable[TransferState], awaited_by: Collection[str]
) -> dict[str, ConversionState]:
    """Locks and reads these conversions:

    - the conversions of the commands
    - the conversions of the transfers
    - the conversions whose own ID, or whose determining transfer's ID, is in `awaited_by`
    """
    ids = {command.commit_request_id for command in commands if not isinstance(command, FxPrepare)}
    for transfer in transfers:
        ids |= {transfer.payer_conversion_id, transfer.payee_conversion_id} - {None}  # type: ignore[arg-type]
    determining = {command.determining_transfer_id for command in commands if isinstance(command, FxPrepare)}
    ids |= set(awaited_by)
    determining |= set(awaited_by)
    if not ids and not determining:
        return {}
    rows = execute(_LOCK, [sorted(ids), sorted(determining)]).fetchall()
    return {row[0]: _as_conversion(row) for row in rows}


def awaited_transfers(commands: Sequence[FxCommand], conversions: dict[str, ConversionState]) -> list[str]:
    """Some of these commands expire conversions. Returns the determining transfers of these conversions."""
    expiring = [command.commit_request_id for command in commands if isinstance(command, FxExpire)]
    return sorted({conversions[id].determining_transfer_id for id in expiring if id in conversions})


def account_ids(
    commands: Sequence[FxCommand],
    conversions: Iterable[ConversionState],
    participants: dict[str, ParticipantState],
    transfers: dict[str, TransferState],
) -> set[int]:
    """Returns the accounts whose balances can change: the accounts of stored conversions, and the accounts that will be
    debited for new conversions.
    """
    ids: set[int | None] = set()
    for conversion in conversions:
        ids |= {conversion.debit_account_id, conversion.credit_account_id, conversion.bridge_account_id}
    for command in commands:
        if isinstance(command, FxPrepare):
            is_payers = command.determining_transfer_id not in transfers
            debtor = participants.get(command.initiator if is_payers else command.fxp)
            currency = command.source_currency if is_payers else command.target_currency
            if debtor is not None and currency in debtor.accounts:
                ids.add(debtor.accounts[currency][0])
    return {id for id in ids if id is not None}


def conversions_by_id(commit_request_ids: Collection[str]) -> dict[str, ConversionState]:
    """Returns these conversions in their present state, without a lock."""
    return {row[0]: _as_conversion(row) for row in execute(_BY_ID, [sorted(commit_request_ids)])}


def known(commands: Sequence[FxCommand]) -> dict[str, ConversionState]:
    """Returns the stored conversions whose ids are in the prepare commands."""
    ids = {command.commit_request_id for command in commands if isinstance(command, FxPrepare)}
    return conversions_by_id(ids) if ids else {}


# --- save -----------------------------------------------------------------------------------------------------------


def insert(outcomes: Sequence[Outcome | FxOutcome], snapshot: Snapshot) -> None:
    """Inserts the new conversions, before the transfers that reference them."""
    new = sorted((o for o in outcomes if isinstance(o, FxReserved | FxRefused)), key=_id)
    if not new:
        return
    _insert_conversions([outcome.conversion for outcome in new], snapshot)
    _insert_events(
        [(outcome.conversion, outcome.conversion.state, outcome.command.message) for outcome in new], snapshot
    )
    _link([o.conversion for o in new if isinstance(o, FxReserved) and o.conversion.side is Side.PAYEE])


def move(outcomes: Sequence[Outcome | FxOutcome], snapshot: Snapshot) -> None:
    """Writes the new states of stored conversions. The database also checks each of these changes."""
    agreed = sorted((o for o in outcomes if isinstance(o, FxAgreed)), key=_id)
    ended: list[tuple[ConversionState, FxState, PaymentMessage | None]] = []
    for outcome in outcomes:
        if isinstance(outcome, FxAborted):
            ended.append((outcome.conversion, FxState.ABORTED, getattr(outcome.command, "message", None)))
        elif isinstance(outcome, Committed | Aborted | Refused | NotObeyed):
            ended += [(conversion, conversion.state, None) for conversion in outcome.conversions]
    ended.sort(key=lambda end: end[0].commit_request_id)
    if agreed:
        _agree([outcome.conversion for outcome in agreed])
    if ended:
        _end([conversion for conversion, _, _ in ended])
    if agreed or ended:
        _insert_events([*((o.conversion, FxState.AGREED, o.command.message) for o in agreed), *ended], snapshot)


def _id(outcome: FxReserved | FxRefused | FxAgreed) -> str:
    return outcome.conversion.commit_request_id


_INSERT = """
    INSERT INTO ledger_fxtransfer (
        commit_request_id, determining_transfer_id, side, initiator_id, fxp_id, fxp_name, source_currency,
        source_amount, target_currency, target_amount, state, reason, error_code, error_description, condition,
        expires_at, held_until, version, digest, debit_account_id, credit_account_id, bridge_account_id, received_at,
        completed_at)
    SELECT *, %s, CASE WHEN state = 'RESERVED' THEN NULL ELSE %s END
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[],
                %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
                %s::timestamptz[], %s::timestamptz[], %s::text[], %s::bytea[], %s::bigint[], %s::bigint[],
                %s::bigint[])
         AS t (commit_request_id, determining_transfer_id, side, initiator_id, fxp_id, fxp_name, source_currency,
               source_amount, target_currency, target_amount, state, reason, error_code, error_description, condition,
               expires_at, held_until, version, digest, debit_account_id, credit_account_id, bridge_account_id)
    ON CONFLICT DO NOTHING
"""


def _insert_conversions(conversions: list[ConversionState], snapshot: Snapshot) -> None:
    columns: list[list[Any]] = [
        [c.commit_request_id for c in conversions],
        [c.determining_transfer_id for c in conversions],
        [c.side.value for c in conversions],
        [c.initiator_id for c in conversions],
        [c.fxp_id for c in conversions],
        [c.fxp for c in conversions],
        [c.source_currency for c in conversions],
        [c.source_amount for c in conversions],
        [c.target_currency for c in conversions],
        [c.target_amount for c in conversions],
        [c.state.value for c in conversions],
        [c.reason for c in conversions],
        [c.error_code for c in conversions],
        [c.error_description for c in conversions],
        [c.condition for c in conversions],
        [c.expires_at for c in conversions],
        [c.held_until for c in conversions],
        [c.version for c in conversions],
        [c.digest for c in conversions],
        [c.debit_account_id for c in conversions],
        [c.credit_account_id for c in conversions],
        [c.bridge_account_id for c in conversions],
    ]
    if execute(_INSERT, [snapshot.now, snapshot.now, *columns]).rowcount != len(conversions):
        raise LostRace(
            "another process has already stored one of these conversions, or a conversion for the same transfer"
        )


_LINK = """
    UPDATE ledger_transfer t SET payee_conversion_id = c.commit_request_id
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS c (transfer_id, commit_request_id, state_before)
    WHERE t.transfer_id = c.transfer_id AND t.state = c.state_before
"""


def _link(conversions: list[ConversionState]) -> None:
    if not conversions:
        return
    columns: list[list[Any]] = [
        [c.determining_transfer_id for c in conversions],
        [c.commit_request_id for c in conversions],
        [State.RESERVED.value] * len(conversions),
    ]
    if execute(_LINK, columns).rowcount != len(conversions):
        raise LostRace("a transfer ended before the payee's conversion for it was stored")


# The statement reads the clock again, because time has passed since the decision. A late fulfilment must have no
# effect.
_AGREE = """
    UPDATE ledger_fxtransfer f
    SET state = 'AGREED', fulfilment = c.fulfilment, fulfil_digest = c.fulfil_digest,
        fulfil_version = c.fulfil_version, agreed_at = c.agreed_at, held_until = c.held_until
    FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::text[], %s::timestamptz[], %s::timestamptz[])
         AS c (commit_request_id, fulfilment, fulfil_digest, fulfil_version, agreed_at, held_until)
    WHERE f.commit_request_id = c.commit_request_id AND f.state = 'RESERVED' AND f.expires_at > clock_timestamp()
"""


def _agree(conversions: list[ConversionState]) -> None:
    columns: list[list[Any]] = [
        [c.commit_request_id for c in conversions],
        [c.fulfilment for c in conversions],
        [c.fulfil_digest for c in conversions],
        [c.fulfil_version for c in conversions],
        [c.agreed_at for c in conversions],
        [c.held_until for c in conversions],
    ]
    if execute(_AGREE, columns).rowcount != len(conversions):
        raise LostRace("a conversion ended, or passed its expiration, while the batch was decided")


_END = """
    UPDATE ledger_fxtransfer f
    SET state = c.state, reason = c.reason, error_code = c.error_code, error_description = c.error_description,
        fulfil_digest = c.fulfil_digest, fulfil_version = c.fulfil_version, completed_at = c.completed_at
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[],
                %s::timestamptz[])
         AS c (commit_request_id, state, reason, error_code, error_description, fulfil_digest, fulfil_version,
               completed_at)
    WHERE f.commit_request_id = c.commit_request_id AND f.state IN ('RESERVED', 'AGREED')
"""


def _end(conversions: list[ConversionState]) -> None:
    columns: list[list[Any]] = [
        [c.commit_request_id for c in conversions],
        [c.state.value for c in conversions],
        [c.reason for c in conversions],
        [c.error_code for c in conversions],
        [c.error_description for c in conversions],
        [c.fulfil_digest for c in conversions],
        [c.fulfil_version for c in conversions],
        [c.completed_at for c in conversions],
    ]
    if execute(_END, columns).rowcount != len(conversions):
        raise LostRace("a conversion ended while the batch was decided")


_INSERT_EVENTS = """
    INSERT INTO ledger_fxtransferevent (fx_transfer_id, state, reason, body, headers, at)
    SELECT fx_transfer_id, state, reason, body, headers::jsonb, %s
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[])
         AS e (fx_transfer_id, state, reason, body, headers)
"""


def _insert_events(moves: Sequence[tuple[ConversionState, FxState, PaymentMessage | None]], snapshot: Snapshot) -> None:
    columns: list[list[Any]] = [
        [conversion.commit_request_id for conversion, _, _ in moves],
        [state.value for _, state, _ in moves],
        [conversion.reason if state is FxState.ABORTED else None for conversion, state, _ in moves],
        [message.body if message else None for _, _, message in moves],
        [orjson.dumps(message.headers).decode() if message else None for _, _, message in moves],
    ]
    execute(_INSERT_EVENTS, [snapshot.now, *columns])


# --- the sweep ------------------------------------------------------------------------------------------------------

EXPIRY = "conversions"  # the name of the batch

_PAST_END = fair_overdue_rows.Way(
    """
    state IN ('RESERVED', 'AGREED') AND held_until <= statement_timestamp()
    AND NOT EXISTS (SELECT FROM ledger_transfer t
                    WHERE ledger_fxtransfer.state = 'AGREED' AND t.transfer_id = determining_transfer_id
                      AND t.state = 'RESERVED' AND commit_request_id IN (t.payer_conversion_id, t.payee_conversion_id))
    """,
    "held_until",
    "held_until",
)


def past_end(limit: int) -> list[str]:
    """Returns conversions that were reserved for too long, without the conversions that the batch now skips.

    Takes the initiators in turn, and each initiator's conversions in the order of their age, the oldest first. Leaves
    out a conversion whose determining transfer is reserved, because the conversion ends with this transfer.
    """
    table, key = "ledger_fxtransfer", "commit_request_id"
    return fair_overdue_rows.overdue(EXPIRY, table, key, of="initiator_id", ways=[_PAST_END], most=limit)
