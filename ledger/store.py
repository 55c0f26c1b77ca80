"""All SQL statements that run for every transfer.

Each statement takes lists as parameters. So the number of statements does not depend on the lengths of these lists.

If a database transaction needs several of the following locks, it acquires the locks in this order:

  0. the row of a bulk (`ledger.bulk.store`), then the lock of the active rules (shared for groups with a prepare,
     exclusive for an activation: `rules.rulesets`)
  1. the settlement-window lock (shared for commits, exclusive for closing: `ledger.window_lock`)
  2. transfer rows, by id, then conversions, by id (`ledger.fx.store`), then profiles, by key (`ledger.rules_gate`)
  3. account rows, by id
  4. inserts, in the order of transfer ids

The hub first locks the rows of a decision, and then reads the rows with a separate statement. Under READ COMMITTED, if
a statement has waited for a row's lock, the statement reads the new version of this row. The same statement reads all
other rows as they were before the wait.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import orjson
from psycopg.rows import TupleRow

from hub import fair_overdue_rows
from hub.group_commit import LostRace
from hub.sql_execution import execute
from ledger import position_limit, quote_terms, rules_gate
from ledger.commands_and_outcomes import (
    Aborted,
    Command,
    Committed,
    Expire,
    Fulfil,
    Outcome,
    PaymentMessage,
    Prepare,
    Refusal,
    Refused,
    Reject,
    Reserved,
)
from ledger.fx import store as fx
from ledger.fx.commands_and_outcomes import FxCommand, FxOutcome, FxPrepare
from ledger.held_transfers import store as held_transfers
from ledger.snapshot import AccountState, ParticipantState, Posting, Snapshot, TransferState
from ledger.states import State
from ledger.window_lock import WINDOW_LOCK

# --- load -----------------------------------------------------------------------------------------------------------


def load(
    batch: Sequence[Command | FxCommand],
    *,
    hub_name: str,
    max_validity: timedelta,
    fx_wait: timedelta = timedelta(0),
) -> Snapshot:
    """Locks and reads the rows that affect the batch's decisions. Call this function inside a database transaction."""
    prepares = [command for command in batch if isinstance(command, Prepare)]
    others = [command for command in batch if not isinstance(command, Prepare | FxCommand)]
    fx_commands = [command for command in batch if isinstance(command, FxCommand)]
    fx_prepares = [command for command in fx_commands if isinstance(command, FxPrepare)]

    # The hub compares transfers with their quotes before it locks any row, so that no other database transaction waits
    # for the comparison. A payee's answer to a quote never changes.
    not_as_quoted = quote_terms.at_odds(prepares)
    at_gate = rules_gate.of(prepares, fx_prepares)
    window_id = _open_window() if others else None
    determining = {prepare.determining_transfer_id for prepare in fx_prepares}
    transfers = _lock_transfers(others, determining) if others or determining else {}
    participants, awaited_by = _participants(prepares, fx_prepares) if prepares or fx_prepares else ({}, set())
    conversions = fx.lock_conversions(fx_commands, transfers.values(), awaited_by)
    # The hub reads these transfers while their conversions are locked, because a prepare of one of these transfers
    # locks the same rows.
    awaited = fx.awaited_transfers(fx_commands, conversions)
    if awaited:
        transfers = transfers_by_id(awaited) | transfers
    gate = rules_gate.open_gate(at_gate, [other.transfer_id for other in others], transfers) if at_gate else None
    accounts = _lock_accounts(
        sorted(
            _account_ids(prepares, participants, transfers.values())
            | fx.account_ids(fx_commands, conversions.values(), participants, transfers)
        )
    )
    if prepares or fx_prepares:
        _read_covers(accounts)
    # The hub reads known transfers while the debtors' accounts are locked. So the second of two equal prepares reads
    # the row that the first prepare has stored. For a locked transfer, the hub keeps the row that it has already read.
    new_ids = {prepare.transfer_id for prepare in prepares} | {prepare.commit_request_id for prepare in fx_prepares}
    if new_ids:
        transfers = transfers_by_id(sorted(new_ids)) | transfers
    if fx_prepares:
        conversions = fx.known(fx_prepares) | conversions
    now = execute("SELECT clock_timestamp()", []).fetchone()
    assert now is not None
    return Snapshot(
        now=now[0],
        window_id=window_id,
        hub_name=hub_name,
        latest_expiry=now[0] + max_validity,
        participants=participants,
        accounts=accounts,
        transfers=transfers,
        conversions=conversions,
        fx_wait=fx_wait,
        not_as_quoted=not_as_quoted,
        gate=gate,
        rules_version=at_gate.rules.version if at_gate and at_gate.rules else None,
        kept=at_gate.kept if at_gate else {},
        terms_expire_at=at_gate.terms_expire_at if at_gate else {},
        quote_ids=at_gate.quote_ids if at_gate else {},
    )


def _open_window() -> int:
    execute("SELECT pg_advisory_xact_lock_shared(%s)", [WINDOW_LOCK])
    row = execute("SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN'", []).fetchone()
    assert row is not None, "there is no open settlement window; run manage.py migrate"
    window_id: int = row[0]
    return window_id


_TRANSFER_COLUMNS = """
    t.transfer_id, t.payer_id, t.payee_id, payer.name, t.payee_name, t.currency, t.amount, t.state, t.condition,
    t.expires_at, t.digest, t.version, t.payer_account_id, t.payee_account_id, t.reason, t.error_code,
    t.error_description, t.fulfilment, t.fulfil_digest, t.fulfil_version, t.wants_patch, t.completed_at,
    t.bulk_id, t.payer_conversion_id, t.payee_conversion_id,
    EXISTS (SELECT FROM ledger_heldtransfer h WHERE h.transfer_id = t.transfer_id AND h.state <> 'RELEASED')
"""
_TRANSFERS = f"""
    SELECT {_TRANSFER_COLUMNS}
    FROM ledger_transfer t JOIN participants_participant payer ON payer.id = t.payer_id
    WHERE t.transfer_id = ANY(%s::text[])
"""  # noqa: S608 (the columns above)


def _as_transfer(row: TupleRow) -> TransferState:
    transfer = TransferState(*row)
    transfer.state = State(transfer.state)
    return transfer


# A payee's message finds only transfers to that payee. A message from any other sender locks no row, so the response
# time does not show whether the transfer exists. NO KEY lets other database transactions add history rows that
# reference the transfer.
_LOCK_TRANSFERS = f"""
    {_TRANSFERS}
      AND (t.transfer_id = ANY(%s::text[])
           OR (t.transfer_id, t.payee_id) IN (SELECT * FROM unnest(%s::text[], %s::bigint[])))
    ORDER BY t.transfer_id FOR NO KEY UPDATE OF t
"""  # noqa: S608 (the columns above)


def _lock_transfers(answers: Sequence[Fulfil | Reject | Expire], determining: set[str]) -> dict[str, TransferState]:
    by_payee = [answer for answer in answers if not isinstance(answer, Expire)]
    by_hub = sorted({answer.transfer_id for answer in answers if isinstance(answer, Expire)} | determining)
    ids = [answer.transfer_id for answer in by_payee]
    payees = [answer.source_id for answer in by_payee]
    rows = execute(_LOCK_TRANSFERS, [sorted({*ids, *by_hub}), by_hub, ids, payees]).fetchall()
    return {row[0]: _as_transfer(row) for row in rows}


def transfers_by_id(transfer_ids: list[str]) -> dict[str, TransferState]:
    """Returns these transfers in their present state, without a lock."""
    return {row[0]: _as_transfer(row) for row in execute(_TRANSFERS, [transfer_ids]).fetchall()}


def transfer_by_id(transfer_id: str) -> TransferState | None:
    """Returns one transfer in its present state, without a lock."""
    return transfers_by_id([transfer_id]).get(transfer_id)


# This statement also reads whether a conversion names these transfers or has their ids, so no second statement is
# needed.
_PARTICIPANTS = """
    SELECT p.id, p.name, p.is_active, p.may_send, p.may_receive, p.tested_by_id, a.currency, a.id, a.is_active,
           EXISTS (SELECT FROM ledger_fxtransfer f WHERE f.determining_transfer_id = ANY(%s::text[]))
           OR EXISTS (SELECT FROM ledger_fxtransfer f WHERE f.commit_request_id = ANY(%s::text[]))
    FROM participants_participant p
    LEFT JOIN ledger_account a ON a.participant_id = p.id AND a.type = 'POSITION'
    WHERE p.name = ANY(%s::text[]) AND NOT p.is_hub
"""


def _participants(
    prepares: list[Prepare], fx_prepares: list[FxPrepare]
) -> tuple[dict[str, ParticipantState], set[str]]:
    """Returns the payers and payees of the commands, by name. Also returns the ids of those transfers that can have
    conversions."""
    transfer_ids = {prepare.transfer_id for prepare in prepares}
    names = {name for prepare in prepares for name in (prepare.payer, prepare.payee)}
    names |= {name for prepare in fx_prepares for name in (prepare.initiator, prepare.fxp)}
    participants: dict[str, ParticipantState] = {}
    is_awaited = False
    rows = execute(_PARTICIPANTS, [sorted(transfer_ids), sorted(transfer_ids), sorted(names)])
    for id, name, is_active, may_send, may_receive, tested_by, *account, is_awaited in rows:  # noqa: B007
        currency, account_id, account_is_active = account
        participant = participants.get(name)
        if participant is None:
            participant = ParticipantState(
                id, name, is_active, may_send=may_send, may_receive=may_receive, tested_by=tested_by
            )
            participants[name] = participant
        if account_id is not None:
            participant.accounts[currency] = (account_id, account_is_active)
    return participants, transfer_ids if is_awaited else set()


def _account_ids(
    prepares: Iterable[Prepare],
    participants: dict[str, ParticipantState],
    transfers: Iterable[TransferState],
) -> set[int]:
    ids = set()
    for prepare in prepares:
        payer = participants.get(prepare.payer)
        if payer is not None and prepare.currency in payer.accounts:
            ids.add(payer.accounts[prepare.currency][0])
    for transfer in transfers:
        if transfer.state is State.RESERVED:
            assert transfer.payer_account_id is not None
            assert transfer.payee_account_id is not None
            ids |= {transfer.payer_account_id, transfer.payee_account_id}
    return ids


_LOCK_ACCOUNTS = """
    SELECT a.id, a.participant_id, a.currency, a.is_active AND p.is_active, a.posted_debits - a.posted_credits,
           a.pending_debits, a.net_debit_cap, p.may_send
    FROM ledger_account a JOIN participants_participant p ON p.id = a.participant_id
    WHERE a.id = ANY(%s::bigint[])
    ORDER BY a.id FOR NO KEY UPDATE OF a
"""


def _lock_accounts(account_ids: list[int]) -> dict[int, AccountState]:
    if not account_ids:
        return {}
    return {
        row[0]: AccountState(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]), row[6], may_send=row[7])
        for row in execute(_LOCK_ACCOUNTS, [account_ids]).fetchall()
    }


_COVERS = f"""
    SELECT a.id, {position_limit.COVER}
    FROM ledger_account a JOIN ledger_account s ON {position_limit.S_COVERS_A}
    WHERE a.id = ANY(%s::bigint[])
"""  # noqa: S608 (the rule's own words)


def _read_covers(accounts: dict[int, AccountState]) -> None:
    # A SETTLEMENT account changes only while the POSITION account is locked, and this database transaction has locked
    # the POSITION account.
    for account_id, cover in execute(_COVERS, [list(accounts)]):
        accounts[account_id].cover = int(cover)


# --- save -----------------------------------------------------------------------------------------------------------


def save(outcomes: Sequence[Outcome | FxOutcome], snapshot: Snapshot) -> None:
    """Stores the decisions of a batch.

    The database also checks each decision. Raises LostRace if one of the database's checks refuses a change.
    """
    new = sorted((o for o in outcomes if isinstance(o, Reserved | Refused)), key=lambda o: o.transfer.transfer_id)
    ended = sorted((o for o in outcomes if isinstance(o, Committed | Aborted)), key=lambda o: o.transfer.transfer_id)
    fx.insert(outcomes, snapshot)
    if new:
        _insert_transfers([outcome.transfer for outcome in new], snapshot)
        held_transfers.insert([outcome.transfer for outcome in new], snapshot.now)
    if ended:
        _end_transfers([outcome.transfer for outcome in ended])
        held_transfers.end([(o.transfer, _is_refused(o.transfer)) for o in ended], snapshot.now)
    fx.move(outcomes, snapshot)
    _move_accounts([account for account in snapshot.accounts.values() if _is_changed(account)])
    if snapshot.postings:
        _insert_entries(snapshot.postings, snapshot)
    if new or ended:
        # stored in the order of the decisions, because a replay of the rules repeats this order
        _insert_events([o for o in outcomes if isinstance(o, Reserved | Refused | Committed | Aborted)], snapshot)
    if snapshot.gate is not None:
        snapshot.gate.save()


def _is_refused(transfer: TransferState) -> bool:
    return transfer.reason == Refusal.REFUSED_WHILE_HELD.value


_INSERT_TRANSFERS = """
    INSERT INTO ledger_transfer (
        transfer_id, payer_id, payee_id, payee_name, currency, amount, state, reason, error_code, error_description,
        condition, expires_at, version, digest, payer_account_id, payee_account_id, bulk_id, payer_conversion_id,
        received_at, completed_at, wants_patch)
    SELECT *, %s, CASE WHEN state = 'RESERVED' THEN NULL ELSE %s END, false
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
                %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::bytea[], %s::bigint[],
                %s::bigint[], %s::text[], %s::text[])
         AS t (transfer_id, payer_id, payee_id, payee_name, currency, amount, state, reason, error_code,
               error_description, condition, expires_at, version, digest, payer_account_id, payee_account_id, bulk_id,
               payer_conversion_id)
    ON CONFLICT (transfer_id) DO NOTHING
"""


def _insert_transfers(transfers: list[TransferState], snapshot: Snapshot) -> None:
    columns: list[list[Any]] = [
        [t.transfer_id for t in transfers],
        [t.payer_id for t in transfers],
        [t.payee_id for t in transfers],
        [t.payee for t in transfers],
        [t.currency for t in transfers],
        [t.amount for t in transfers],
        [t.state.value for t in transfers],
        [t.reason for t in transfers],
        [t.error_code for t in transfers],
        [t.error_description for t in transfers],
        [t.condition for t in transfers],
        [t.expires_at for t in transfers],
        [t.version for t in transfers],
        [t.digest for t in transfers],
        [t.payer_account_id for t in transfers],
        [t.payee_account_id for t in transfers],
        [t.bulk_id for t in transfers],
        [t.payer_conversion_id for t in transfers],
    ]
    cursor = execute(_INSERT_TRANSFERS, [snapshot.now, snapshot.now, *columns])
    if cursor.rowcount != len(transfers):
        raise LostRace("another process stored one of these transfers first")


# The statement reads the clock again, because time has passed since the decision, and a late fulfilment must never
# commit a transfer. The WHERE clause compares the old state with a column, not with a constant. For a constant,
# PostgreSQL could read all reservations instead of only these ids.
_END_TRANSFERS = """
    UPDATE ledger_transfer t
    SET state = c.state, reason = c.reason, error_code = c.error_code, error_description = c.error_description,
        fulfilment = c.fulfilment, fulfil_digest = c.fulfil_digest, fulfil_version = c.fulfil_version,
        wants_patch = c.wants_patch, completed_at = c.completed_at
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[],
                %s::boolean[], %s::timestamptz[], %s::text[])
         AS c (transfer_id, state, reason, error_code, error_description, fulfilment, fulfil_digest, fulfil_version,
               wants_patch, completed_at, state_before)
    WHERE t.transfer_id = c.transfer_id AND t.state = c.state_before
      AND (c.state <> 'COMMITTED' OR t.expires_at > clock_timestamp())
"""


def _end_transfers(transfers: list[TransferState]) -> None:
    columns: list[list[Any]] = [
        [t.transfer_id for t in transfers],
        [t.state.value for t in transfers],
        [t.reason for t in transfers],
        [t.error_code for t in transfers],
        [t.error_description for t in transfers],
        [t.fulfilment for t in transfers],
        [t.fulfil_digest for t in transfers],
        [t.fulfil_version for t in transfers],
        [t.wants_patch for t in transfers],
        [t.completed_at for t in transfers],
        [State.RESERVED.value] * len(transfers),
    ]
    if execute(_END_TRANSFERS, columns).rowcount != len(transfers):
        raise LostRace("a transfer ended, or passed its expiration, while the batch was decided")


def _is_changed(account: AccountState) -> bool:
    return bool(account.new_debits or account.new_credits or account.new_reserved or account.has_new_reservations)


# Only a reservation raises a position, and the ledger has checked each reservation against the limit. So after a batch
# with a reservation, the position does not exceed the limit. The database checks the limit again.
_MOVE_ACCOUNTS = f"""
    UPDATE ledger_account a
    SET posted_debits = a.posted_debits + c.debits, posted_credits = a.posted_credits + c.credits,
        pending_debits = a.pending_debits + c.reserved, changed_at = clock_timestamp()
    FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::boolean[])
         AS c (id, debits, credits, reserved, has_new_reservations)
    WHERE a.id = c.id
      AND (NOT c.has_new_reservations
           OR a.posted_debits + c.debits - a.posted_credits - c.credits + a.pending_debits + c.reserved
              <= {position_limit.LIMIT_OF_A})
"""  # noqa: S608 (the rule's own words)


def _move_accounts(accounts: list[AccountState]) -> None:
    if not accounts:
        return
    columns: list[list[Any]] = [
        [a.id for a in accounts],
        [a.new_debits for a in accounts],
        [a.new_credits for a in accounts],
        [a.new_reserved for a in accounts],
        [a.has_new_reservations for a in accounts],
    ]
    if execute(_MOVE_ACCOUNTS, columns).rowcount != len(accounts):
        raise LostRace("a reservation would take a position above its limit")


_INSERT_ENTRIES = """
    INSERT INTO ledger_entry (kind, transfer_id, debit_account_id, credit_account_id, currency, amount, window_id,
                              created_at)
    SELECT t.*, %s, %s
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[]) AS t
"""


def _insert_entries(postings: list[Posting], snapshot: Snapshot) -> None:
    postings = sorted(postings, key=lambda posting: posting.transfer_id)
    columns: list[list[Any]] = [
        [p.kind for p in postings],
        [p.transfer_id for p in postings],
        [p.debit_account_id for p in postings],
        [p.credit_account_id for p in postings],
        [p.currency for p in postings],
        [p.amount for p in postings],
    ]
    execute(_INSERT_ENTRIES, [snapshot.window_id, snapshot.now, *columns])


_INSERT_EVENTS = """
    INSERT INTO ledger_transferevent (transfer_id, state, reason, body, headers, at)
    SELECT transfer_id, state, reason, body, headers::jsonb, %s
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[])
         AS e (transfer_id, state, reason, body, headers)
"""


def _insert_events(outcomes: Sequence[Reserved | Refused | Committed | Aborted], snapshot: Snapshot) -> None:
    messages: list[PaymentMessage | None] = [getattr(outcome.command, "message", None) for outcome in outcomes]
    columns: list[list[Any]] = [
        [outcome.transfer.transfer_id for outcome in outcomes],
        [outcome.transfer.state.value for outcome in outcomes],
        [outcome.transfer.reason for outcome in outcomes],
        # the hub stores an item's message with the bulk
        [message.body or None if message else None for message in messages],
        [orjson.dumps(message.headers).decode() if message else None for message in messages],
    ]
    execute(_INSERT_EVENTS, [snapshot.now, *columns])


# --- the sweep ------------------------------------------------------------------------------------------------------

EXPIRY = "transfers"  # the name of the batch

_PAST_EXPIRY = fair_overdue_rows.Way(
    "state = 'RESERVED' AND bulk_id IS NULL AND expires_at <= statement_timestamp()", "expires_at", "expires_at"
)


def past_expiry(limit: int) -> list[str]:
    """Returns expired reservations, except reservations that the sweep skips at present.

    Takes one reservation of each payer in turn. For each payer, begins with the earliest expiration. Leaves out the
    items of bulks, because an item expires with its bulk.
    """
    table, key = "ledger_transfer", "transfer_id"
    return fair_overdue_rows.overdue(EXPIRY, table, key, of="payer_id", ways=[_PAST_EXPIRY], most=limit)
