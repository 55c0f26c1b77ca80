"""Decides each message about a bulk. Pure. `ledger.decide` decides each item by the rules of single transfers.

The module decides the items of a bulk one after another. Each decision changes the snapshot for the next decision. So
the items of a bulk cannot together exceed a limit.
"""

from collections.abc import Sequence

from fspiop.errors import ErrorCode, text_of
from ledger.bulk.commands_and_outcomes import (
    Bulk,
    BulkAccepted,
    BulkAnswer,
    BulkCommand,
    BulkEnded,
    BulkExpire,
    BulkFulfil,
    BulkIgnored,
    BulkImplausible,
    BulkNotObeyed,
    BulkOutcome,
    BulkPrepare,
    BulkRefused,
    BulkReject,
    BulkRepeated,
    BulkUnknown,
    ItemResult,
)
from ledger.bulk.states import NEXT, BulkMove, BulkState
from ledger.commands_and_outcomes import (
    Expire,
    Fulfil,
    Outcome,
    PaymentMessage,
    Refusal,
    Refused,
    Reject,
    Reserved,
    words_of,
)
from ledger.decide import decide_expire, decide_fulfil, decide_prepare, decide_reject
from ledger.snapshot import Snapshot, TransferState
from ledger.states import State

# Faults that apply to every item of a bulk. The hub reports such a fault to the payer only once.
_OF_THE_WHOLE = frozenset(
    {
        Refusal.PAYER_IS_NOT_ACTIVE.value,
        Refusal.PAYEE_IS_UNKNOWN.value,
        Refusal.PAYEE_IS_NOT_ACTIVE.value,
        Refusal.PAYER_MAY_NOT_SEND.value,
        Refusal.PAYEE_MAY_NOT_RECEIVE.value,
        Refusal.PAYER_AND_PAYEE_ARE_THE_SAME.value,
        Refusal.DESTINATION_IS_NOT_THE_PAYEE.value,
        Refusal.EXPIRED_ON_ARRIVAL.value,
        Refusal.EXPIRES_TOO_LATE.value,
    }
)


def decide(command: BulkCommand, bulk: Bulk | None, s: Snapshot) -> BulkOutcome:
    """Returns the outcome of a command about a bulk. `bulk` is the stored bulk with the command's id, or None.

    The snapshot `s` contains the bulk's items.
    """
    match command:
        case BulkPrepare():
            return decide_prepares(command, bulk, s)
        case BulkFulfil() | BulkReject():
            return decide_answer(command, bulk, s)
        case BulkExpire():
            return decide_bulk_expire(command, bulk, s)


def decide_prepares(p: BulkPrepare, seen: Bulk | None, s: Snapshot) -> BulkOutcome:
    """Reserves or refuses each item of a bulk separately (FSPIOP API v1.1, section 6.10.3.2)."""
    if seen is not None:
        if seen.digest != p.digest or seen.payer_id != p.source_id:
            return BulkNotObeyed(p, seen, Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)
        if seen.state is BulkState.ACCEPTED:
            return BulkIgnored(p)  # the payee has not answered yet; the hub will notify the payer when the bulk ends
        return BulkRepeated(p, seen, items_of(seen, s))

    outcomes = [decide_prepare(item, s) for item in p.items]
    items = [outcome.transfer for outcome in outcomes if isinstance(outcome, Reserved | Refused)]
    own_ids = {item.transfer_id for item in items}
    ids_used_before = [item.transfer_id for item in p.items if item.transfer_id not in own_ids]
    reserved_items = sum(isinstance(outcome, Reserved) for outcome in outcomes)
    bulk = _bulk(p, reserved_items, ids_used_before, s)
    if reserved_items:
        return BulkAccepted(p, bulk, items, outcomes)
    refusal = next((Refusal(item.reason) for item in items if item.reason in _OF_THE_WHOLE), None)
    _say_why(bulk, refusal or Refusal.NO_ITEM_WAS_RESERVED)
    return BulkRefused(p, bulk, items, outcomes, refusal)


def decide_answer(a: BulkAnswer, bulk: Bulk | None, s: Snapshot) -> BulkOutcome:
    """Decides the payee's only answer to the whole bulk (FSPIOP API v1.1, sections 6.10.4.1 and 6.10.5.1)."""
    if bulk is None or bulk.payee_id != a.source_id:
        return BulkUnknown(a)
    if bulk.answer_digest == a.digest:
        return BulkRepeated(a, bulk, items_of(bulk, s))
    if bulk.state is not BulkState.ACCEPTED:
        return BulkNotObeyed(a, bulk, _too_late(bulk))
    if isinstance(a, BulkFulfil) and a.moment_fault is not None:
        return BulkImplausible(a)
    if bulk.expires_at <= s.now:
        return _expire(a, bulk, s)
    # After this line the hub accepts the answer, and the bulk ends.
    bulk.answer_digest, bulk.answer_version = a.digest, a.message.version
    return _reject(a, bulk, s) if isinstance(a, BulkReject) else _fulfil(a, bulk, s)


def decide_bulk_expire(e: BulkExpire, bulk: Bulk | None, s: Snapshot) -> BulkOutcome:
    """If the payee has not answered a bulk in time, aborts the items of this bulk."""
    if bulk is None or bulk.state is not BulkState.ACCEPTED or bulk.expires_at > s.now:
        return BulkIgnored(e)
    return _expire(e, bulk, s)


def items_of(bulk: Bulk, s: Snapshot) -> list[TransferState]:
    """Returns the items that the hub has stored as transfers of this bulk, in the order of their ids."""
    items = [transfer for transfer in s.transfers.values() if transfer.bulk_id == bulk.bulk_id]
    return sorted(items, key=lambda item: item.transfer_id)


def _reject(r: BulkReject, bulk: Bulk, s: Snapshot) -> BulkOutcome:
    refused = ItemResult(error_code=r.error_code, error_description=r.error_description)
    outcomes = [decide_reject(_item_reject(r, item, refused), s) for item in _reserved(bulk, s)]
    _end(bulk, BulkMove.REJECT, Refusal.REJECTED_BY_PAYEE, s)
    bulk.error_code, bulk.error_description = r.error_code, r.error_description
    return BulkEnded(r, bulk, items_of(bulk, s), outcomes, is_as_answered=_is_to_payer(r, bulk))


def _fulfil(f: BulkFulfil, bulk: Bulk, s: Snapshot) -> BulkOutcome:
    is_misdirected = not _is_to_payer(f, bulk) and f.destination != s.hub_name
    refused = f.state is BulkState.REJECTED
    outcomes: list[Outcome] = []
    for item in _reserved(bulk, s):
        result = f.results.get(item.transfer_id, _REJECTED if refused else _NOTHING)
        if is_misdirected or result.error_code is None:
            outcomes.append(decide_fulfil(_item_fulfil(f, item, result, is_misdirected=is_misdirected), s))
        else:
            outcomes.append(decide_reject(_item_reject(f, item, result), s))
    if is_misdirected:
        _end(bulk, BulkMove.INVALIDATE, Refusal.FULFILMENT_NAMES_ANOTHER_PAYER, s)
    elif refused:
        _end(bulk, BulkMove.REJECT, Refusal.REJECTED_BY_PAYEE, s)
    else:
        _end(bulk, BulkMove.ANSWER, None, s)
    items = items_of(bulk, s)
    return BulkEnded(f, bulk, items, outcomes, is_as_answered=not is_misdirected and _says_it_all(f, bulk, items))


def _expire(command: BulkAnswer | BulkExpire, bulk: Bulk, s: Snapshot) -> BulkOutcome:
    outcomes = [decide_expire(Expire(item.transfer_id, bulk.bulk_id), s) for item in _reserved(bulk, s)]
    _end(bulk, BulkMove.EXPIRE, Refusal.EXPIRED, s)
    return BulkEnded(command, bulk, items_of(bulk, s), outcomes)


def _reserved(bulk: Bulk, s: Snapshot) -> list[TransferState]:
    return [item for item in items_of(bulk, s) if item.state is State.RESERVED]


_NOTHING = ItemResult()
_REJECTED = ItemResult(error_code=ErrorCode.PAYEE_REJECTION.code, error_description=ErrorCode.PAYEE_REJECTION.text)


def _item_fulfil(f: BulkFulfil, item: TransferState, result: ItemResult, *, is_misdirected: bool) -> Fulfil:
    return Fulfil(
        transfer_id=item.transfer_id,
        source_id=f.source_id,
        destination=f.destination if is_misdirected else None,
        fulfilment=result.fulfilment,
        moment_fault=None,
        wants_patch=False,
        digest=f.digest,
        message=_kept_with_the_bulk(f),
        bulk_id=item.bulk_id,
    )


def _item_reject(a: BulkAnswer, item: TransferState, result: ItemResult) -> Reject:
    assert result.error_code is not None
    return Reject(
        transfer_id=item.transfer_id,
        source_id=a.source_id,
        error_code=result.error_code,
        error_description=result.error_description or text_of(result.error_code),
        digest=a.digest,
        message=_kept_with_the_bulk(a),
        bulk_id=item.bulk_id,
    )


def _kept_with_the_bulk(a: BulkAnswer) -> PaymentMessage:
    # The hub stores the message once, in the row of the bulk, and not again in the rows of the items.
    return PaymentMessage(b"", {}, a.message.version)


def _is_to_payer(a: BulkAnswer, bulk: Bulk) -> bool:
    return a.destination in (None, bulk.payer)


def _says_it_all(f: BulkFulfil, bulk: Bulk, items: Sequence[TransferState]) -> bool:
    """Returns whether the payee's own message has the correct outcome of every item."""
    return (
        _is_to_payer(f, bulk)
        and len(f.results) == bulk.item_count == len(items)
        and all(_is_told(item, f.results.get(item.transfer_id, _NOTHING)) for item in items)
    )


def _is_told(item: TransferState, result: ItemResult) -> bool:
    if item.state is State.COMMITTED:
        return result.fulfilment == item.fulfilment
    return result.error_code is not None and result.error_code == item.error_code


def _too_late(bulk: Bulk) -> Refusal:
    if bulk.answer_digest is not None:
        return Refusal.ID_WAS_USED_WITH_OTHER_CONTENT
    return Refusal.EXPIRED if bulk.reason == Refusal.EXPIRED.value else Refusal.ALREADY_ENDED


def _end(bulk: Bulk, move: BulkMove, refusal: Refusal | None, s: Snapshot) -> None:
    bulk.state = NEXT[bulk.state, move]
    bulk.completed_at = s.now
    if refusal is not None:
        _say_why(bulk, refusal)


def _say_why(bulk: Bulk, refusal: Refusal) -> None:
    bulk.reason = refusal.value
    bulk.error_code, bulk.error_description = words_of(refusal, of_bulk=True)


def _bulk(p: BulkPrepare, reserved_items: int, ids_used_before: list[str], s: Snapshot) -> Bulk:
    payee = s.participants.get(p.payee)
    state = NEXT[BulkState.RECEIVED, BulkMove.RESERVE if reserved_items else BulkMove.REFUSE]
    return Bulk(
        bulk_id=p.bulk_id,
        quote_id=p.quote_id,
        payer_id=p.source_id,
        payee_id=payee.id if payee else None,
        payer=p.payer,
        payee=p.payee,
        state=state,
        expires_at=p.expires_at,
        digest=p.digest,
        version=p.message.version,
        item_count=len(p.items),
        reserved_items=reserved_items,
        ids_used_before=ids_used_before,
        completed_at=None if reserved_items else s.now,
    )
