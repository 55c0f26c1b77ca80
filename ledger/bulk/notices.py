"""The callbacks that the hub sends after each outcome of a bulk. Pure.

The payee receives only the reserved items of a bulk. If all items are reserved, the hub forwards the payer's own
message. If some items are refused, the hub creates a message that contains only the reserved items. If the payee's own
answer has the right outcome of every item, the payer receives this answer. Otherwise the payer receives a message that
the hub creates. The hub checks the fulfilment of each item. The hub also sends the payee a message with the outcome of
each item. If `in_hub_name` is set, the hub sends all messages about a bulk in its own name. The reference hub also
sends these messages in its own name.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from fspiop import strictjson, time
from fspiop.errors import ErrorCode, error_body
from hub.outbox.messages import HubMessages, Outgoing, Recipient, as_answer, forward
from ledger.bulk.commands_and_outcomes import (
    Bulk,
    BulkAccepted,
    BulkEnded,
    BulkExpire,
    BulkNotObeyed,
    BulkOutcome,
    BulkPrepare,
    BulkRefused,
    BulkReject,
    BulkRepeated,
)
from ledger.bulk.states import TERMINAL
from ledger.commands_and_outcomes import Refusal, error_of, words_of
from ledger.snapshot import TransferState
from ledger.states import State

_TOLD_BY_RESULTS = (None, Refusal.REJECTED_BY_PAYEE.value)


def notices_for(outcome: BulkOutcome, *, hub_name: str, now: datetime, in_hub_name: bool = False) -> list[Outgoing]:
    """Returns the messages that this outcome causes."""
    hub = HubMessages(hub_name, now)
    match outcome:
        case BulkAccepted(command, bulk, items, _):
            return [_prepare(hub, command, bulk, items, in_hub_name=in_hub_name)]
        case BulkRefused(_, bulk, items, _, refusal):
            if refusal is not None:
                return [_error(hub, bulk, _payer(bulk), *words_of(refusal, of_bulk=True), kind="bulk-end-to-payer")]
            return [_result_to_payer(hub, bulk, items)]
        case BulkEnded():
            return _ended(hub, outcome, in_hub_name=in_hub_name)
        case BulkRepeated(BulkPrepare(), bulk, items):
            return [as_answer(_result_to_payer(hub, bulk, items))]
        case BulkRepeated(_, bulk, items):
            return [as_answer(_result_to_payee(hub, bulk, items))]
        case BulkNotObeyed(command, bulk, refusal):
            sender = command.payer if isinstance(command, BulkPrepare) else bulk.payee
            to = Recipient(command.source_id, sender, command.message.version)
            return [as_answer(_error(hub, bulk, to, *words_of(refusal), kind="bulk-refusal"))]
        case _:
            return []


def _prepare(
    hub: HubMessages, command: BulkPrepare, bulk: Bulk, items: Sequence[TransferState], *, in_hub_name: bool
) -> Outgoing:
    message, to, path = command.message, _payee(bulk), "/bulkTransfers"
    subject, kind, source_id = bulk.bulk_id, "bulk-prepare", command.source_id
    if bulk.reserved_items == bulk.item_count and not in_hub_name:
        return forward(message, to, "POST", path, subject=subject, kind=kind, source_id=source_id)
    # The payee must not receive refused items, because the payee could credit money that no payer pays.
    reserved = {item.transfer_id for item in items if item.state is State.RESERVED}
    body: Any = strictjson.loads(message.body)
    body["individualTransfers"] = [item for item in body["individualTransfers"] if item["transferId"] in reserved]
    prepare = hub.callback(to, path, body, subject=subject, kind=kind, method="POST", source_id=source_id)
    prepare.headers["accept"] = message.headers["accept"]  # the API version of answers that the payer accepts
    return prepare


def _ended(hub: HubMessages, ended: BulkEnded, *, in_hub_name: bool) -> list[Outgoing]:
    bulk, items = ended.bulk, ended.items
    if bulk.reason not in _TOLD_BY_RESULTS:
        return [
            _error(hub, bulk, _payer(bulk), *error_of(bulk), kind="bulk-end-to-payer"),
            _error(hub, bulk, _payee(bulk), *error_of(bulk), kind="bulk-end-to-payee"),
        ]
    assert not isinstance(ended.command, BulkExpire)
    message, to, kind = ended.command.message, _payer(bulk), "bulk-end-to-payer"
    is_forwarded = ended.is_as_answered and not in_hub_name
    if isinstance(ended.command, BulkReject):
        if is_forwarded:
            return [forward(message, to, "PUT", _path(bulk) + "/error", subject=bulk.bulk_id, kind=kind)]
        return [_error(hub, bulk, to, *error_of(bulk), kind=kind)]
    to_payer = (
        forward(message, to, "PUT", _path(bulk), subject=bulk.bulk_id, kind=kind)
        if is_forwarded
        else _result_to_payer(hub, bulk, items)
    )
    return [to_payer, _result_to_payee(hub, bulk, items)]


def _payer(bulk: Bulk) -> Recipient:
    return Recipient(bulk.payer_id, bulk.payer, bulk.version)


def _payee(bulk: Bulk) -> Recipient:
    assert bulk.payee_id is not None
    return Recipient(bulk.payee_id, bulk.payee, bulk.answer_version or bulk.version)


def _path(bulk: Bulk) -> str:
    return f"/bulkTransfers/{bulk.bulk_id}"


def _result_to_payer(hub: HubMessages, bulk: Bulk, items: Iterable[TransferState]) -> Outgoing:
    body = result_body(bulk, items)
    return hub.callback(_payer(bulk), _path(bulk), body, subject=bulk.bulk_id, kind="bulk-end-to-payer")


def _result_to_payee(hub: HubMessages, bulk: Bulk, items: Iterable[TransferState]) -> Outgoing:
    body = payees_result_body(bulk, items)
    return hub.callback(_payee(bulk), _path(bulk), body, subject=bulk.bulk_id, kind="bulk-end-to-payee")


def _error(hub: HubMessages, bulk: Bulk, to: Recipient, code: str, text: str, *, kind: str) -> Outgoing:
    return hub.error(to, _path(bulk) + "/error", code, text, subject=bulk.bulk_id, kind=kind)


def result_body(bulk: Bulk, items: Iterable[TransferState]) -> dict[str, object]:
    """Returns the body of PUT /bulkTransfers/{ID} for the payer (FSPIOP API v1.1, table 43), with all results."""
    code, description = words_of(Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)
    others = [{"transferId": item_id, **error_body(code, description)} for item_id in bulk.ids_used_before]
    return _body(bulk, [*map(_result, items), *others])


def payees_result_body(bulk: Bulk, items: Iterable[TransferState]) -> dict[str, object]:
    """Returns the body of PUT /bulkTransfers/{ID} for the payee, with only the reserved items."""
    return _body(bulk, [_result(item) for item in items if item.payer_account_id is not None])


def _body(bulk: Bulk, results: list[dict[str, Any]]) -> dict[str, object]:
    body: dict[str, object] = {"bulkTransferState": bulk.state.value, "individualTransferResults": results}
    if bulk.state in TERMINAL:
        assert bulk.completed_at is not None
        body["completedTimestamp"] = time.format_datetime(bulk.completed_at)
    return body


def _result(item: TransferState) -> dict[str, Any]:
    if item.state is State.COMMITTED:
        return {"transferId": item.transfer_id, "fulfilment": item.fulfilment}
    if item.state is State.ABORTED:
        code, description = item.error_code or "", item.error_description or ""
        return {"transferId": item.transfer_id, **error_body(code, description)}
    return {"transferId": item.transfer_id}  # a reserved item has no result yet


def state_answer(hub: HubMessages, bulk: Bulk, items: Iterable[TransferState], requester: Recipient) -> Outgoing:
    """Returns the hub's answer to a GET /bulkTransfers/{ID} from the bulk's payer or payee."""
    body = result_body(bulk, items) if requester.id == bulk.payer_id else payees_result_body(bulk, items)
    return as_answer(hub.callback(requester, _path(bulk), body, subject=bulk.bulk_id, kind="bulk-state"))


def unknown_answer(hub: HubMessages, bulk_id: str, requester: Recipient) -> Outgoing:
    """Returns the answer to GET /bulkTransfers/{ID} if the requester takes part in no bulk with this ID."""
    error, path = ErrorCode.BULK_TRANSFER_ID_NOT_FOUND, f"/bulkTransfers/{bulk_id}/error"
    return as_answer(hub.error(requester, path, error.code, error.text, subject=bulk_id, kind="bulk-state"))
