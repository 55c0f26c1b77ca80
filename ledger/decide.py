"""The rules of the ledger. Decides the commands of a batch one after another, from one snapshot.

This module uses no I/O, no clock and no Django. Each decision changes the positions in the snapshot, and the next
decision of the batch reads the changed positions. So the commands of a batch cannot together exceed a limit.
"""

from collections.abc import Sequence

from fspiop import ilp
from hub.test_currency import is_test_payment
from ledger.commands_and_outcomes import (
    Aborted,
    Command,
    Committed,
    Expire,
    Fulfil,
    Ignored,
    Implausible,
    NotObeyed,
    Outcome,
    Prepare,
    Refusal,
    Refused,
    RefuseHeld,
    Reject,
    Repeated,
    Reserved,
    Unknown,
    words_of,
    words_of_rule,
)
from ledger.fx import decide as fx
from ledger.fx.commands_and_outcomes import FxCommand, FxOutcome
from ledger.held_transfers.whether_to_hold import verdict_and_hold
from ledger.hold_and_post import HOLD_IS_REFUSED_BY, hold, post, release
from ledger.snapshot import Posting, Snapshot, TransferState
from ledger.states import NEXT, Move, State
from rules.decide import Verdict
from rules.language.refusal_codes import text_of


def decide(batch: Sequence[Command | FxCommand], snapshot: Snapshot) -> list[Outcome | FxOutcome]:
    """Returns one outcome for each command, in the order in which the commands arrived."""
    return [_decide_one(command, snapshot) for command in batch]


def _decide_one(command: Command | FxCommand, snapshot: Snapshot) -> Outcome | FxOutcome:
    match command:
        case Prepare():
            return decide_prepare(command, snapshot)
        case Fulfil():
            return decide_fulfil(command, snapshot)
        case Reject():
            return decide_reject(command, snapshot)
        case RefuseHeld():
            return decide_refuse_held(command, snapshot)
        case Expire():
            return decide_expire(command, snapshot)
        case _:
            return fx.decide_fx(command, snapshot)


PREPARE_IS_REFUSED_BY: Sequence[Refusal] = (
    Refusal.ID_IS_OF_BOTH,
    Refusal.PAYER_IS_NOT_ACTIVE,
    Refusal.PAYER_MAY_NOT_SEND,
    Refusal.PAYEE_IS_UNKNOWN,
    Refusal.PAYEE_IS_NOT_ACTIVE,
    Refusal.PAYEE_MAY_NOT_RECEIVE,
    Refusal.PAYER_AND_PAYEE_ARE_THE_SAME,
    Refusal.DESTINATION_IS_NOT_THE_PAYEE,
    Refusal.EXPIRED_ON_ARRIVAL,
    Refusal.EXPIRES_TOO_LATE,
    Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE,
    Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT,
    *fx.CONVERSION_IS_REFUSED_BY,
    Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT,
    Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT,
    Refusal.REFUSED_BY_RULE,
    *HOLD_IS_REFUSED_BY,
)
"""The refusals in the order in which `decide_prepare` checks for them.

If a check refuses a transfer, the transfer has passed all earlier checks, and the later checks were not made. Each
stored refused transfer has one of these refusals.
"""


def decide_prepare(p: Prepare, s: Snapshot) -> Outcome:
    """Reserves or refuses a transfer (FSPIOP API v1.1, section 6.7.1). The id of a transfer is permanently the
    transfer's idempotency key.

    If a conversion exchanges the payer's money, the hub reserves the transfer's amount on the FXP's position, and not
    on the payer's position. The payer's debt to the FXP is already reserved by the conversion.
    """
    seen = s.transfers.get(p.transfer_id)
    if seen is not None:
        if seen.digest == p.digest and seen.payer_id == p.source_id:
            return Repeated(p, seen)
        return NotObeyed(p, seen, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT, fx.abort_for_taken_id(p, seen, s))

    if p.transfer_id in s.conversions:
        return _refuse(p, s, Refusal.ID_IS_OF_BOTH)
    payer = s.participants.get(p.payer)
    if payer is None or not payer.is_active:
        return _refuse(p, s, Refusal.PAYER_IS_NOT_ACTIVE)
    payee = s.participants.get(p.payee)
    if not (payer.may_send or (payee and is_test_payment(payer.tested_by, payee.id, (p.currency,)))):
        return _refuse(p, s, Refusal.PAYER_MAY_NOT_SEND)
    if payee is None:
        return _refuse(p, s, Refusal.PAYEE_IS_UNKNOWN)
    if not payee.is_active:
        return _refuse(p, s, Refusal.PAYEE_IS_NOT_ACTIVE)
    if not (payee.may_receive or is_test_payment(payee.tested_by, payer.id, (p.currency,))):
        return _refuse(p, s, Refusal.PAYEE_MAY_NOT_RECEIVE)
    if payee.id == payer.id:
        return _refuse(p, s, Refusal.PAYER_AND_PAYEE_ARE_THE_SAME)
    if p.destination not in (None, p.payee):
        return _refuse(p, s, Refusal.DESTINATION_IS_NOT_THE_PAYEE)
    if p.expires_at <= s.now:
        return _refuse(p, s, Refusal.EXPIRED_ON_ARRIVAL)
    if p.expires_at > s.latest_expiry:
        return _refuse(p, s, Refusal.EXPIRES_TOO_LATE)
    if p.digest in s.not_as_quoted:
        return _refuse(p, s, Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE)
    payee_account, payee_account_is_active = payee.accounts.get(p.currency, (None, False))
    if not payee_account_is_active:
        return _refuse(p, s, Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT)
    conversion = fx.conversion_for(p, s)
    if conversion is not None:
        refusal = fx.why_not(conversion, p, payee.id, s)
        if refusal is not None:
            return _refuse(p, s, refusal)
    account_id = conversion.bridge_account_id if conversion else payer.accounts.get(p.currency, (0, False))[0]
    account = s.accounts.get(account_id or 0)
    if account is None or not account.is_active or account.ndc is None:
        return _refuse(p, s, Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT if conversion else Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT)
    verdict, held = verdict_and_hold(p, s)
    if verdict is not None and verdict.outcome == "REFUSE":
        return _refuse(p, s, Refusal.REFUSED_BY_RULE, verdict)
    refusal = hold(account, p.amount)
    if refusal is not None:
        return _refuse(p, s, refusal)
    # After this line the reservation succeeds.
    if s.gate is not None:
        s.gate.count(p.digest, s.now)
    transfer = _transfer(p, Move.RESERVE)
    transfer.payee_id, transfer.payer_account_id, transfer.payee_account_id = payee.id, account.id, payee_account
    transfer.payer_conversion_id = conversion.commit_request_id if conversion else None
    transfer.hold, transfer.is_held = held, held is not None
    s.transfers[p.transfer_id] = transfer
    return Reserved(p, transfer)


def decide_fulfil(f: Fulfil, s: Snapshot) -> Outcome:
    """Commits a transfer (FSPIOP API v1.1, section 6.7.4). Only the payee may fulfil a transfer. A late fulfilment
    never commits a transfer.

    If a fulfilment has an FSPIOP-Destination with a name other than the payer's name, the hub does not commit the
    transfer. The payer would have to refuse such a fulfilment.
    """
    t = s.transfers.get(f.transfer_id)
    if t is None or t.payee_id != f.source_id or t.is_held:
        return Unknown(f)
    if t.bulk_id != f.bulk_id:
        return NotObeyed(f, t, Refusal.ENDS_WITH_ITS_BULK)
    if t.fulfil_digest == f.digest:
        return Repeated(f, t)
    if t.state is not State.RESERVED:
        return _too_late(f, t)
    if f.moment_fault is not None:
        return Implausible(f)
    if t.expires_at <= s.now:
        t.wants_patch = f.wants_patch
        return _abort(f, t, s, Move.EXPIRE, Refusal.EXPIRED)
    if f.wants_patch and f.message.version == "1.0":
        # RESERVED is allowed only from API version 1.1 on; after a RESERVED of version 1.0, the transfer stays reserved
        # until it expires
        return Ignored(f)
    if f.destination not in (None, t.payer):
        return _abort_by_answer(f, t, s, Refusal.FULFILMENT_NAMES_ANOTHER_PAYER)
    if f.fulfilment is None or not ilp.fulfils(f.fulfilment, t.condition):
        return _abort_by_answer(f, t, s, Refusal.FULFILMENT_DOES_NOT_MATCH)
    refusal = fx.why_not_yet(t, s)
    if refusal is not None:
        return NotObeyed(f, t, refusal)
    # After this line the transfer commits together with its conversions.
    assert t.payer_account_id is not None
    assert t.payee_account_id is not None
    release(s.accounts[t.payer_account_id], t.amount)
    credit_account_id = fx.bridge_of(t, s) or t.payee_account_id
    post(s, Posting("TRANSFER", t.transfer_id, t.payer_account_id, credit_account_id, t.currency, t.amount))
    t.state = NEXT[t.state, Move.FULFIL]
    t.fulfilment, t.fulfil_digest, t.fulfil_version = f.fulfilment, f.digest, f.message.version
    t.wants_patch = f.wants_patch
    t.completed_at = s.now
    return Committed(f, t, fx.commit_with(t, s))


def decide_reject(r: Reject, s: Snapshot) -> Outcome:
    """Aborts a transfer that the payee rejects (FSPIOP API v1.1, section 6.7.5). Only the payee may reject a
    transfer."""
    t = s.transfers.get(r.transfer_id)
    if t is None or t.payee_id != r.source_id or t.is_held:
        return Unknown(r)
    if t.bulk_id != r.bulk_id:
        return NotObeyed(r, t, Refusal.ENDS_WITH_ITS_BULK)
    if t.fulfil_digest == r.digest:
        return Repeated(r, t)
    if t.state is not State.RESERVED:
        return _too_late(r, t)
    t.fulfil_digest, t.fulfil_version = r.digest, r.message.version
    _end(t, s, Move.REJECT, Refusal.REJECTED_BY_PAYEE)
    t.error_code, t.error_description = r.error_code, r.error_description
    return Aborted(r, t, fx.abort_with(t, s))


def decide_expire(e: Expire, s: Snapshot) -> Outcome:
    """Aborts a transfer that was not fulfilled in time (FSPIOP API v1.1, section 6.7.2.2)."""
    t = s.transfers.get(e.transfer_id)
    if t is None or t.bulk_id != e.bulk_id or t.state is not State.RESERVED or t.expires_at > s.now:
        return Ignored(e)
    return _abort(e, t, s, Move.EXPIRE, Refusal.EXPIRED)


def decide_refuse_held(r: RefuseHeld, s: Snapshot) -> Outcome:
    """Aborts a held transfer that people or the scheme's rules have refused. Does nothing if the transfer was released
    meanwhile.
    """
    t = s.transfers.get(r.transfer_id)
    if t is None or t.state is not State.RESERVED or not t.is_held:
        return Ignored(r)
    if t.expires_at <= s.now:
        return _abort(r, t, s, Move.EXPIRE, Refusal.EXPIRED)
    _end(t, s, Move.INVALIDATE, Refusal.REFUSED_WHILE_HELD)
    t.error_code, t.error_description = r.error_code, text_of(r.error_code)
    return Aborted(r, t, fx.abort_with(t, s))


def _too_late(command: Fulfil | Reject, t: TransferState) -> Outcome:
    if t.fulfil_digest is not None:
        return NotObeyed(command, t, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)
    if t.reason == Refusal.EXPIRED.value:
        return NotObeyed(command, t, Refusal.EXPIRED)
    return NotObeyed(command, t, Refusal.ALREADY_ENDED)


def _abort_by_answer(f: Fulfil, t: TransferState, s: Snapshot, refusal: Refusal) -> Outcome:
    t.fulfil_digest, t.fulfil_version, t.wants_patch = f.digest, f.message.version, f.wants_patch
    return _abort(f, t, s, Move.INVALIDATE, refusal)


def _abort(command: Fulfil | Expire, t: TransferState, s: Snapshot, move: Move, refusal: Refusal) -> Outcome:
    _end(t, s, move, refusal)
    return Aborted(command, t, fx.abort_with(t, s))


def _end(t: TransferState, s: Snapshot, move: Move, refusal: Refusal) -> None:
    assert t.payer_account_id is not None
    release(s.accounts[t.payer_account_id], t.amount)
    if s.gate is not None:
        s.gate.uncount(t.transfer_id)
    t.state = NEXT[t.state, move]
    t.reason = refusal.value
    t.error_code, t.error_description = words_of(refusal)
    t.completed_at = s.now


def _refuse(p: Prepare, s: Snapshot, refusal: Refusal, verdict: Verdict | None = None) -> Outcome:
    transfer = _transfer(p, Move.REFUSE)
    payee = s.participants.get(p.payee)
    transfer.payee_id = payee.id if payee else None
    transfer.reason = refusal.value
    transfer.error_code, transfer.error_description = words_of(refusal, of_bulk=p.bulk_id is not None)
    if verdict is not None:
        transfer.error_code, transfer.error_description = words_of_rule(verdict)
    transfer.completed_at = s.now
    s.transfers[p.transfer_id] = transfer
    # From now on, no other transfer can use this id. So if a conversion waited for a transfer with this id, the
    # conversion must end too.
    return Refused(p, transfer, fx.abort_without(p, transfer, s))


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
        version=p.message.version,
        payer_account_id=None,
        payee_account_id=None,
        bulk_id=p.bulk_id,
    )
