"""The rules of conversions (fxTransfers, FSPIOP API v2.0). Pure.

`ledger.decide` decides the whole batch and calls these rules. When a conversion arrives, the hub reserves the amount of
the conversion's own leg. A conversion ends together with its determining transfer. A conversion and its determining
transfer both commit, or both abort.
"""

from collections.abc import Iterator, Sequence

from fspiop import ilp
from ledger.commands_and_outcomes import Prepare, Refusal, words_of, words_of_rule
from ledger.fx.commands_and_outcomes import (
    FxAborted,
    FxAgreed,
    FxCommand,
    FxExpire,
    FxFulfil,
    FxIgnored,
    FxImplausible,
    FxNotObeyed,
    FxOutcome,
    FxPrepare,
    FxRefused,
    FxReject,
    FxRepeated,
    FxReserved,
    FxUnknown,
)
from ledger.fx.snapshot import ConversionState, Side
from ledger.fx.states import FX_NEXT, LIVE, FxMove, FxState
from ledger.hold_and_post import hold, post, release
from ledger.snapshot import ParticipantState, Posting, Snapshot, TransferState
from ledger.states import State
from rules.decide import Verdict


def decide_fx(command: FxCommand, s: Snapshot) -> FxOutcome:
    match command:
        case FxPrepare():
            return decide_fx_prepare(command, s)
        case FxFulfil():
            return decide_fx_fulfil(command, s)
        case FxReject():
            return decide_fx_reject(command, s)
        case FxExpire():
            return decide_fx_expire(command, s)


# --- a conversion by itself -----------------------------------------------------------------------------------------


def decide_fx_prepare(p: FxPrepare, s: Snapshot) -> FxOutcome:
    """Reserves or refuses a conversion.

    If a conversion arrives before its determining transfer, the payer's money is converted. If the transfer arrives
    first, the payee's money is converted.
    """
    seen = s.conversions.get(p.commit_request_id)
    if seen is not None:
        if seen.digest == p.digest and seen.initiator_id == p.source_id:
            return FxRepeated(p, seen)
        return FxNotObeyed(p, seen, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)

    transfer = s.transfers.get(p.determining_transfer_id)
    c = _conversion(p, Side.PAYER if transfer is None else Side.PAYEE)
    initiator, fxp = s.participants.get(p.initiator), s.participants.get(p.fxp)
    c.fxp_id = fxp.id if fxp else None
    if initiator is None or not initiator.is_active:
        return _refuse(p, c, s, Refusal.INITIATOR_IS_NOT_ACTIVE)
    if fxp is None:
        return _refuse(p, c, s, Refusal.FXP_IS_UNKNOWN)
    if not fxp.is_active:
        return _refuse(p, c, s, Refusal.FXP_IS_NOT_ACTIVE)
    # A payee can have lost the right to receive transfers. This payee can still convert money that the hub has already
    # reserved for the payee.
    if c.side is Side.PAYER and not initiator.may_send:
        return _refuse(p, c, s, Refusal.INITIATOR_MAY_NOT_SEND)
    if not (fxp.may_send and fxp.may_receive):
        return _refuse(p, c, s, Refusal.FXP_MAY_NOT_CONVERT)
    if fxp.id == initiator.id:
        return _refuse(p, c, s, Refusal.INITIATOR_AND_FXP_ARE_THE_SAME)
    if p.destination not in (None, p.fxp):
        return _refuse(p, c, s, Refusal.DESTINATION_IS_NOT_THE_FXP)
    if p.expires_at <= s.now:
        return _refuse(p, c, s, Refusal.EXPIRED_ON_ARRIVAL)
    if p.expires_at > s.latest_expiry:
        return _refuse(p, c, s, Refusal.EXPIRES_TOO_LATE)
    if p.commit_request_id in s.transfers:
        return _refuse(p, c, s, Refusal.ID_IS_OF_BOTH)
    if transfer is not None:
        is_open = transfer.state is State.RESERVED and transfer.payee_id == initiator.id
        if not is_open or transfer.is_held or transfer.bulk_id is not None:
            return _refuse(p, c, s, Refusal.TRANSFER_IS_NOT_OPEN)
        if (transfer.currency, transfer.amount) != c.bridge:
            return _refuse(p, c, s, Refusal.TRANSFER_IS_OF_OTHER_MONEY)
        if fxp.id in (transfer.payer_id, _debtor_id(transfer, s)):
            return _refuse(p, c, s, Refusal.FXP_IS_PARTY_OF_THE_TRANSFER)
    if _is_converted(p, s):
        return _refuse(p, c, s, Refusal.TRANSFER_IS_CONVERTED_ALREADY)
    refusal = _open_accounts(c, initiator, fxp) or _no_account_to_hold(c, s)
    if refusal is not None:
        return _refuse(p, c, s, refusal)
    verdict = s.gate.judge(p.digest, s.now) if s.gate else None
    if verdict is not None and verdict.outcome == "REFUSE":
        return _refuse(p, c, s, Refusal.REFUSED_BY_RULE, verdict)
    refusal = _hold(c, s)
    if refusal is not None:
        return _refuse(p, c, s, refusal)
    c.state = FX_NEXT[c.state, FxMove.RESERVE]
    s.conversions[c.commit_request_id] = c
    if transfer is not None:
        transfer.payee_conversion_id = c.commit_request_id
    return FxReserved(p, c)


def decide_fx_fulfil(f: FxFulfil, s: Snapshot) -> FxOutcome:
    """Marks a conversion as agreed, because the FXP has fulfilled it. Only the FXP may fulfil a conversion. A late
    fulfilment of a conversion has no effect.
    """
    c = s.conversions.get(f.commit_request_id)
    if c is None or c.fxp_id != f.source_id:
        return FxUnknown(f)
    if c.fulfil_digest == f.digest:
        return FxRepeated(f, c)
    if c.state is not FxState.RESERVED:
        return _too_late(f, c)
    if f.moment_fault is not None:
        return FxImplausible(f)
    if c.expires_at <= s.now:
        return _abort_by_answer(f, c, s, Refusal.EXPIRED)
    if f.destination not in (None, c.initiator):
        return _abort_by_answer(f, c, s, Refusal.FULFILMENT_NAMES_ANOTHER_PAYER)
    if f.fulfilment is None or not ilp.fulfils(f.fulfilment, c.condition):
        return _abort_by_answer(f, c, s, Refusal.FULFILMENT_DOES_NOT_MATCH)
    c.state = FX_NEXT[c.state, FxMove.AGREE]
    c.fulfilment, c.fulfil_digest, c.fulfil_version = f.fulfilment, f.digest, f.message.version
    c.agreed_at = s.now
    c.held_until = c.expires_at + s.fx_wait
    return FxAgreed(f, c)


def decide_fx_reject(r: FxReject, s: Snapshot) -> FxOutcome:
    """Aborts a conversion that the FXP has rejected. Only the FXP may reject a conversion."""
    c = s.conversions.get(r.commit_request_id)
    if c is None or c.fxp_id != r.source_id:
        return FxUnknown(r)
    if c.fulfil_digest == r.digest:
        return FxRepeated(r, c)
    if c.state is not FxState.RESERVED:
        return _too_late(r, c)
    c.fulfil_digest, c.fulfil_version = r.digest, r.message.version
    _abort(c, s, Refusal.REJECTED_BY_FXP)
    c.error_code, c.error_description = r.error_code, r.error_description
    return FxAborted(r, c)


def decide_fx_expire(e: FxExpire, s: Snapshot) -> FxOutcome:
    """Aborts a conversion that was reserved for too long, unless the conversion waits for the end of a reserved
    transfer.
    """
    c = s.conversions.get(e.commit_request_id)
    if c is None or c.state not in LIVE or c.held_until > s.now or _is_awaited(c, s):
        return FxIgnored(e)
    _abort(c, s, Refusal.EXPIRED if c.state is FxState.RESERVED else Refusal.TRANSFER_DID_NOT_COME)
    return FxAborted(e, c)


def _is_awaited(c: ConversionState, s: Snapshot) -> bool:
    """Returns whether the conversion is agreed and its determining transfer is reserved.

    An agreed conversion with a reserved transfer does not expire. The conversion ends together with this transfer.
    """
    t = s.transfers.get(c.determining_transfer_id)
    return (
        c.state is FxState.AGREED
        and t is not None
        and t.state is State.RESERVED
        and c.commit_request_id in (t.payer_conversion_id, t.payee_conversion_id)
    )


def _is_converted(p: FxPrepare, s: Snapshot) -> bool:
    return any(
        c.determining_transfer_id == p.determining_transfer_id and c.initiator_id == p.source_id and c.state in LIVE
        for c in s.conversions.values()
    )


def _debtor_id(t: TransferState, s: Snapshot) -> int | None:
    """Returns the participant that is debited by the transfer: the FXP if the payer's money is converted, and otherwise
    the payer.
    """
    conversion = s.conversions.get(t.payer_conversion_id or "")
    return conversion.fxp_id if conversion else t.payer_id


def _open_accounts(c: ConversionState, initiator: ParticipantState, fxp: ParticipantState) -> Refusal | None:
    source, target = c.source_currency, c.target_currency
    own = initiator.accounts.get(source if c.side is Side.PAYER else target, (None, False))
    fxp_source, fxp_target = fxp.accounts.get(source, (None, False)), fxp.accounts.get(target, (None, False))
    if not own[1]:
        return Refusal.INITIATOR_HAS_NO_ACTIVE_ACCOUNT
    if not fxp_source[1] or not fxp_target[1]:
        return Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT
    if c.side is Side.PAYER:
        c.debit_account_id, c.credit_account_id, c.bridge_account_id = own[0], fxp_source[0], fxp_target[0]
    else:
        c.debit_account_id, c.credit_account_id, c.bridge_account_id = fxp_target[0], own[0], fxp_source[0]
    return None


def _no_account_to_hold(c: ConversionState, s: Snapshot) -> Refusal | None:
    account = s.accounts.get(c.debit_account_id or 0)
    if account is None or not account.is_active or account.ndc is None:
        is_payers = c.side is Side.PAYER
        return Refusal.INITIATOR_HAS_NO_ACTIVE_ACCOUNT if is_payers else Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT
    return None


def _hold(c: ConversionState, s: Snapshot) -> Refusal | None:
    assert c.debit_account_id is not None
    return hold(s.accounts[c.debit_account_id], c.leg[1])


def _too_late(command: FxFulfil | FxReject, c: ConversionState) -> FxOutcome:
    if c.fulfil_digest is not None:
        return FxNotObeyed(command, c, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)
    if c.reason == Refusal.EXPIRED.value:
        return FxNotObeyed(command, c, Refusal.EXPIRED)
    return FxNotObeyed(command, c, Refusal.ALREADY_ENDED)


def _abort_by_answer(f: FxFulfil, c: ConversionState, s: Snapshot, refusal: Refusal) -> FxOutcome:
    if refusal is not Refusal.EXPIRED:
        c.fulfil_digest, c.fulfil_version = f.digest, f.message.version
    _abort(c, s, refusal)
    return FxAborted(f, c)


def _abort(c: ConversionState, s: Snapshot, refusal: Refusal) -> None:
    assert c.debit_account_id is not None
    release(s.accounts[c.debit_account_id], c.leg[1])
    c.state = FX_NEXT[c.state, FxMove.ABORT]
    c.reason = refusal.value
    c.error_code, c.error_description = words_of(refusal)
    c.completed_at = s.now


def _refuse(
    p: FxPrepare, c: ConversionState, s: Snapshot, refusal: Refusal, verdict: Verdict | None = None
) -> FxOutcome:
    c.debit_account_id = c.credit_account_id = c.bridge_account_id = None
    c.state = FX_NEXT[c.state, FxMove.REFUSE]
    c.reason = refusal.value
    c.error_code, c.error_description = words_of_rule(verdict) if verdict else words_of(refusal)
    c.completed_at = s.now
    s.conversions[c.commit_request_id] = c
    return FxRefused(p, c)


def _conversion(p: FxPrepare, side: Side) -> ConversionState:
    return ConversionState(
        commit_request_id=p.commit_request_id,
        determining_transfer_id=p.determining_transfer_id,
        side=side,
        initiator_id=p.source_id,
        fxp_id=None,
        initiator=p.initiator,
        fxp=p.fxp,
        source_currency=p.source_currency,
        source_amount=p.source_amount,
        target_currency=p.target_currency,
        target_amount=p.target_amount,
        state=FxState.RECEIVED,
        condition=p.condition,
        expires_at=p.expires_at,
        held_until=p.expires_at,
        digest=p.digest,
        version=p.message.version,
    )


# --- together with the determining transfer -------------------------------------------------------------------------


def conversion_for(p: Prepare, s: Snapshot) -> ConversionState | None:
    """Returns the conversion that the payer has requested for this transfer, or None.

    If the payer has several conversions for the transfer, prefers an open conversion to an ended conversion.

    Returns None for an item of a bulk, because a payer's conversion never belongs to an item of a bulk.
    """
    if p.bulk_id is not None:
        return None
    own = [
        c
        for c in s.conversions.values()
        if c.determining_transfer_id == p.transfer_id and c.initiator_id == p.source_id and c.side is Side.PAYER
    ]
    return next((c for c in own if c.state in LIVE), own[0] if own else None)


CONVERSION_IS_REFUSED_BY: Sequence[Refusal] = (
    Refusal.CONVERSION_HAS_ENDED,
    Refusal.CONVERSION_IS_NOT_AGREED,
    Refusal.CONVERSION_EXPIRED,
    Refusal.CONVERSION_IS_OF_OTHER_MONEY,
    Refusal.FXP_IS_PARTY_OF_THE_TRANSFER,
    Refusal.FXP_MAY_NOT_CONVERT,
)
"""The refusals of a transfer's conversion, in the order in which `why_not` checks for them."""


def why_not(c: ConversionState, p: Prepare, payee_id: int, s: Snapshot) -> Refusal | None:
    """Returns the reason why the transfer cannot use this conversion, or None if there is no such reason.

    If the transfer's conversion has ended, the hub refuses the transfer. The payer wanted to pay in another currency.
    So the hub must not debit the payer in the target currency.
    """
    if c.state not in LIVE:
        return Refusal.CONVERSION_HAS_ENDED
    if c.state is not FxState.AGREED:
        return Refusal.CONVERSION_IS_NOT_AGREED
    if c.held_until <= s.now:
        return Refusal.CONVERSION_EXPIRED
    if c.bridge != (p.currency, p.amount):
        return Refusal.CONVERSION_IS_OF_OTHER_MONEY
    if c.fxp_id == payee_id:
        return Refusal.FXP_IS_PARTY_OF_THE_TRANSFER
    bridge = s.accounts.get(c.bridge_account_id or 0)
    if bridge is not None and not bridge.may_send:
        return Refusal.FXP_MAY_NOT_CONVERT  # after its agreement, the FXP may have lost the right to send or receive
    return None


def why_not_yet(t: TransferState, s: Snapshot) -> Refusal | None:
    """Returns a refusal of the fulfilment if the FXP has not yet agreed to the transfer's conversion."""
    if any(c.state is FxState.RESERVED for c in _conversions_of(t, s)):
        return Refusal.CONVERSION_IS_NOT_AGREED
    return None


def bridge_of(t: TransferState, s: Snapshot) -> int | None:
    """Returns the FXP's account that is credited by the transfer, or None if the payee's money is not converted."""
    c = s.conversions.get(t.payee_conversion_id or "")
    return c.bridge_account_id if c is not None and c.state is FxState.AGREED else None


def commit_with(t: TransferState, s: Snapshot) -> list[ConversionState]:
    """When a transfer commits, posts the legs of its conversions."""
    committed = [c for c in _conversions_of(t, s) if c.state is FxState.AGREED]
    for c in committed:
        assert c.debit_account_id is not None
        assert c.credit_account_id is not None
        currency, amount = c.leg
        release(s.accounts[c.debit_account_id], amount)
        post(s, Posting("FX_TRANSFER", c.commit_request_id, c.debit_account_id, c.credit_account_id, currency, amount))
        c.state = FX_NEXT[c.state, FxMove.COMMIT]
        c.completed_at = s.now
    return committed


def abort_with(t: TransferState, s: Snapshot) -> list[ConversionState]:
    """Aborts the conversions of an aborted transfer, with the same error code as the transfer."""
    aborted = [c for c in _conversions_of(t, s) if c.state in LIVE]
    for c in aborted:
        _abort(c, s, Refusal.TRANSFER_WAS_ABORTED)
        c.error_code, c.error_description = t.error_code, t.error_description
    return aborted


def abort_without(p: Prepare, t: TransferState, s: Snapshot) -> list[ConversionState]:
    """Aborts the payer's conversion after the hub has refused the conversion's determining transfer on arrival."""
    return _abort_own(p, s, t.error_code, t.error_description)


def abort_for_taken_id(p: Prepare, t: TransferState, s: Snapshot) -> list[ConversionState]:
    """Aborts the payer's conversion if another participant has used the ID of the determining transfer."""
    if t.payer_id == p.source_id:
        return []
    return _abort_own(p, s, *words_of(Refusal.ID_WAS_USED_WITH_OTHER_CONTENT))


def _abort_own(p: Prepare, s: Snapshot, code: str | None, description: str | None) -> list[ConversionState]:
    c = conversion_for(p, s)
    if c is None or c.state not in LIVE:
        return []
    _abort(c, s, Refusal.TRANSFER_WAS_ABORTED)
    c.error_code, c.error_description = code, description
    return [c]


def _conversions_of(t: TransferState, s: Snapshot) -> Iterator[ConversionState]:
    for commit_request_id in (t.payer_conversion_id, t.payee_conversion_id):
        if commit_request_id is not None:
            yield s.conversions[commit_request_id]
