"""The law of the ledger: walks a batch over a snapshot and says what comes of each command.

Pure: no I/O, no clock, no Django. It moves the snapshot's positions as it walks, so the next command in the batch
sees what the one before it did, and a limit can not be passed inside a batch.
"""

from collections.abc import Sequence

from fspiop import ilp
from ledger.messages import (
    Aborted,
    Command,
    Committed,
    Expire,
    Fulfil,
    Ignored,
    NotObeyed,
    Outcome,
    Prepare,
    Refusal,
    Refused,
    Reject,
    Repeated,
    Reserved,
    Unknown,
    words_of,
)
from ledger.snapshot import AccountState, Snapshot, TransferState
from ledger.states import NEXT, Move, State


def decide(batch: Sequence[Command], snapshot: Snapshot) -> list[Outcome]:
    """One outcome for each command, in the order of arrival."""
    return [_decide_one(command, snapshot) for command in batch]


def _decide_one(command: Command, snapshot: Snapshot) -> Outcome:
    match command:
        case Prepare():
            return decide_prepare(command, snapshot)
        case Fulfil():
            return decide_fulfil(command, snapshot)
        case Reject():
            return decide_reject(command, snapshot)
        case Expire():
            return decide_expire(command, snapshot)


def decide_prepare(p: Prepare, s: Snapshot) -> Outcome:
    """FSPIOP API v1.1, section 6.7.1. The id is the idempotency key for ever."""
    seen = s.transfers.get(p.transfer_id)
    if seen is not None:
        if seen.digest == p.digest and seen.payer_id == p.source_id:
            return Repeated(p, seen)
        return NotObeyed(p, seen, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)

    payer = s.participants.get(p.payer)
    if payer is None or not payer.is_active:
        return _refuse(p, s, Refusal.PAYER_IS_NOT_ACTIVE)
    payee = s.participants.get(p.payee)
    if payee is None:
        return _refuse(p, s, Refusal.PAYEE_IS_UNKNOWN)
    if not payee.is_active:
        return _refuse(p, s, Refusal.PAYEE_IS_NOT_ACTIVE)
    if payee.id == payer.id:
        return _refuse(p, s, Refusal.PAYER_AND_PAYEE_ARE_THE_SAME)
    if p.expires_at <= s.now:
        return _refuse(p, s, Refusal.EXPIRED_ON_ARRIVAL)
    if p.expires_at > s.latest_expiry:
        return _refuse(p, s, Refusal.EXPIRES_TOO_LATE)
    payee_account, payee_account_is_active = payee.accounts.get(p.currency, (None, False))
    if not payee_account_is_active:
        return _refuse(p, s, Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT)
    account = s.accounts.get(payer.accounts.get(p.currency, (0, False))[0])
    if account is None or not account.is_active or account.ndc is None:
        return _refuse(p, s, Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT)
    after = account.position + account.reserved + p.amount
    if after > account.cover:
        return _refuse(p, s, Refusal.LIQUIDITY)
    if after > account.ndc:
        return _refuse(p, s, Refusal.NDC)
    # After this line the reservation succeeds.
    account.reserved += p.amount
    account.new_reserved += p.amount
    account.has_new_reservations = True
    transfer = _transfer(p, Move.RESERVE)
    transfer.payee_id, transfer.payer_account_id, transfer.payee_account_id = payee.id, account.id, payee_account
    s.transfers[p.transfer_id] = transfer
    return Reserved(p, transfer)


def decide_fulfil(f: Fulfil, s: Snapshot) -> Outcome:
    """FSPIOP API v1.1, section 6.7.4. Only the payee is heard; a late fulfilment never commits."""
    t = s.transfers.get(f.transfer_id)
    if t is None or t.payee_id != f.source_id:
        return Unknown(f)
    if t.bulk_id != f.bulk_id:
        return NotObeyed(f, t, Refusal.ENDS_WITH_ITS_BULK)
    if t.fulfil_digest == f.digest:
        return Repeated(f, t)
    if t.state is not State.RESERVED:
        return _too_late(f, t)
    if t.expires_at <= s.now:
        t.wants_patch = f.wants_patch
        return _abort(f, t, s, Move.EXPIRE, Refusal.EXPIRED)
    if f.wants_patch and f.wire.version == "1.0":
        return Ignored(f)  # a RESERVED answer exists since 1.1 only; the transfer waits for its expiry
    if f.destination is not None and f.destination.lower() != t.payer.lower():
        return _abort_by_answer(f, t, s, Refusal.FULFILMENT_NAMES_ANOTHER_PAYER)
    if f.fulfilment is None or not ilp.fulfils(f.fulfilment, t.condition):
        return _abort_by_answer(f, t, s, Refusal.FULFILMENT_DOES_NOT_MATCH)
    # After this line the transfer commits.
    assert t.payer_account_id is not None
    assert t.payee_account_id is not None
    _release(t, s)
    payer_account, payee_account = s.accounts[t.payer_account_id], s.accounts[t.payee_account_id]
    payer_account.position += t.amount
    payer_account.new_debits += t.amount
    payee_account.position -= t.amount
    payee_account.new_credits += t.amount
    t.state = NEXT[t.state, Move.FULFIL]
    t.fulfilment, t.fulfil_digest, t.fulfil_version = f.fulfilment, f.digest, f.wire.version
    t.wants_patch = f.wants_patch
    t.completed_at = s.now
    return Committed(f, t)


def decide_reject(r: Reject, s: Snapshot) -> Outcome:
    """FSPIOP API v1.1, section 6.7.5. Only the payee is heard."""
    t = s.transfers.get(r.transfer_id)
    if t is None or t.payee_id != r.source_id:
        return Unknown(r)
    if t.bulk_id != r.bulk_id:
        return NotObeyed(r, t, Refusal.ENDS_WITH_ITS_BULK)
    if t.fulfil_digest == r.digest:
        return Repeated(r, t)
    if t.state is not State.RESERVED:
        return _too_late(r, t)
    t.fulfil_digest, t.fulfil_version = r.digest, r.wire.version
    _end(t, s, Move.REJECT, Refusal.REJECTED_BY_PAYEE)
    t.error_code, t.error_description = r.error_code, r.error_description
    return Aborted(r, t)


def decide_expire(e: Expire, s: Snapshot) -> Outcome:
    """FSPIOP API v1.1, section 6.7.2.2: what is not fulfilled in time is aborted."""
    t = s.transfers.get(e.transfer_id)
    if t is None or t.bulk_id != e.bulk_id or t.state is not State.RESERVED or t.expires_at > s.now:
        return Ignored(e)
    return _abort(e, t, s, Move.EXPIRE, Refusal.EXPIRED)


def _too_late(command: Fulfil | Reject, t: TransferState) -> Outcome:
    if t.fulfil_digest is not None:
        return NotObeyed(command, t, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)
    if t.reason == Refusal.EXPIRED.value:
        return NotObeyed(command, t, Refusal.EXPIRED)
    return NotObeyed(command, t, Refusal.ALREADY_ENDED)


def _abort_by_answer(f: Fulfil, t: TransferState, s: Snapshot, refusal: Refusal) -> Outcome:
    t.fulfil_digest, t.fulfil_version, t.wants_patch = f.digest, f.wire.version, f.wants_patch
    return _abort(f, t, s, Move.INVALIDATE, refusal)


def _abort(command: Fulfil | Expire, t: TransferState, s: Snapshot, move: Move, refusal: Refusal) -> Outcome:
    _end(t, s, move, refusal)
    return Aborted(command, t)


def _end(t: TransferState, s: Snapshot, move: Move, refusal: Refusal) -> None:
    _release(t, s)
    t.state = NEXT[t.state, move]
    t.reason = refusal.value
    t.error_code, t.error_description = words_of(refusal)
    t.completed_at = s.now


def _release(t: TransferState, s: Snapshot) -> None:
    assert t.payer_account_id is not None
    account: AccountState = s.accounts[t.payer_account_id]
    account.reserved -= t.amount
    account.new_reserved -= t.amount


def _refuse(p: Prepare, s: Snapshot, refusal: Refusal) -> Outcome:
    transfer = _transfer(p, Move.REFUSE)
    payee = s.participants.get(p.payee)
    transfer.payee_id = payee.id if payee else None
    transfer.reason = refusal.value
    transfer.error_code, transfer.error_description = words_of(refusal)
    transfer.completed_at = s.now
    s.transfers[p.transfer_id] = transfer
    return Refused(p, transfer)


def _transfer(p: Prepare, move: Move) -> TransferState:
    return TransferState(
        transfer_id=p.transfer_id,
        payer_id=p.source_id,
        payee_id=None,
        payer=p.payer,
        payee=p.payee,
        currency=p.currency,
        amount=p.amount,
        state=NEXT[State.RECEIVED, move],
        condition=p.condition,
        expires_at=p.expires_at,
        digest=p.digest,
        version=p.wire.version,
        payer_account_id=None,
        payee_account_id=None,
        bulk_id=p.bulk_id,
    )
