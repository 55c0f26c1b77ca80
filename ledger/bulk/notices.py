"""Who must be told what about a bulk. Pure.

The payee is asked for what was reserved and for nothing else: by the payer's own message where that is all of it,
else by the hub's. The payer hears the payee's own answer where that is the truth and all of it, else the hub's. And the
payee hears what came of its answer, because the hub judges each fulfilment. Where `in_hub_name` is set the hub says all
of it itself, as the reference hub does.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from fspiop import strictjson, time
from fspiop.errors import ErrorCode, error_body
from hub.outbox.messages import IfPending, Outgoing, caused_by, passed_on
from ledger.bulk.messages import (
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
from ledger.messages import Refusal, Wire, words_of
from ledger.notices import HubVoice
from ledger.snapshot import TransferState
from ledger.states import State
from ledger.voice import repeated

_TOLD_BY_RESULTS = (None, Refusal.REJECTED_BY_PAYEE.value)


def notices_for(outcome: BulkOutcome, *, hub_name: str, now: datetime, in_hub_name: bool = False) -> list[Outgoing]:
    """The messages that this outcome causes."""
    hub = _Voice(hub_name, now, says_all=in_hub_name)
    match outcome:
        case BulkAccepted(command, bulk, items, _):
            return [caused_by(command.source_id, _question(command, bulk, items, hub))]
        case BulkRefused(_, bulk, items, _, refusal):
            if refusal is not None:
                return [hub.error_to_payer(bulk, *words_of(refusal, of_bulk=True), kind="bulk-end-to-payer")]
            return [hub.result_to_payer(bulk, items)]
        case BulkEnded():
            return _ended(outcome, hub)
        case BulkRepeated(BulkPrepare(), bulk, items):
            return [repeated(bulk.payer_id, hub.result_to_payer(bulk, items))]
        case BulkRepeated(_, bulk, items):
            assert bulk.payee_id is not None
            return [repeated(bulk.payee_id, hub.result_to_payee(bulk, items))]
        case BulkNotObeyed(command, bulk, refusal):
            sender = command.payer if isinstance(command, BulkPrepare) else bulk.payee
            code, description = words_of(refusal)
            version = command.wire.version
            error = hub.error(bulk, command.source_id, sender, version, code, description, "bulk-refusal")
            return [caused_by(command.source_id, error, IfPending.RENEW)]
        case _:
            return []


def _question(command: BulkPrepare, bulk: Bulk, items: Sequence[TransferState], hub: "_Voice") -> Outgoing:
    assert bulk.payee_id is not None
    if bulk.reserved_items == bulk.item_count and not hub.says_all:
        return _forward(command.wire, bulk, bulk.payee_id, bulk.payee, "POST", "/bulkTransfers", "bulk-prepare")
    # What was refused must not reach the payee: it would credit what nobody pays.
    reserved = {item.transfer_id for item in items if item.state is State.RESERVED}
    body: Any = strictjson.loads(command.wire.body)
    body["individualTransfers"] = [item for item in body["individualTransfers"] if item["transferId"] in reserved]
    version, kind = command.wire.version, "bulk-prepare"
    question = hub.say(bulk, bulk.payee_id, bulk.payee, "POST", "/bulkTransfers", version, body, kind)
    question.headers["accept"] = command.wire.headers["accept"]  # the payer's wish for the version of the answer
    return question


def _ended(ended: BulkEnded, hub: "_Voice") -> list[Outgoing]:
    bulk, items = ended.bulk, ended.items
    if bulk.reason not in _TOLD_BY_RESULTS:
        words = _error_of(bulk)
        return [
            hub.error_to_payer(bulk, *words, kind="bulk-end-to-payer"),
            hub.error_to_payee(bulk, *words, kind="bulk-end-to-payee"),
        ]
    assert not isinstance(ended.command, BulkExpire)
    path = f"/bulkTransfers/{bulk.bulk_id}"
    wire, kind = ended.command.wire, "bulk-end-to-payer"
    in_own_words = ended.is_as_answered and not hub.says_all
    if isinstance(ended.command, BulkReject):
        if in_own_words:
            return [_forward(wire, bulk, bulk.payer_id, bulk.payer, "PUT", path + "/error", kind)]
        return [hub.error_to_payer(bulk, *_error_of(bulk), kind=kind)]
    to_payer = (
        _forward(wire, bulk, bulk.payer_id, bulk.payer, "PUT", path, kind)
        if in_own_words
        else hub.result_to_payer(bulk, items)
    )
    return [to_payer, hub.result_to_payee(bulk, items)]


def _forward(wire: Wire, bulk: Bulk, to_id: int, to: str, method: str, path: str, kind: str) -> Outgoing:
    return passed_on(
        headers=wire.headers,
        body=wire.body,
        to_id=to_id,
        to=to,
        method=method,
        path=path,
        subject=bulk.bulk_id,
        kind=kind,
    )


class _Voice:
    """What the hub says about bulks in its own name at one moment."""

    def __init__(self, hub_name: str, now: datetime, *, says_all: bool = False) -> None:
        self._hub = HubVoice(hub_name, time.http_date(now))
        self.says_all = says_all

    def result_to_payer(self, bulk: Bulk, items: Iterable[TransferState]) -> Outgoing:
        return self.result(bulk, bulk.payer_id, bulk.payer, bulk.version, result_body(bulk, items), "bulk-end-to-payer")

    def result_to_payee(self, bulk: Bulk, items: Iterable[TransferState]) -> Outgoing:
        assert bulk.payee_id is not None
        body = payees_result_body(bulk, items)
        version = bulk.answer_version or bulk.version
        return self.result(bulk, bulk.payee_id, bulk.payee, version, body, "bulk-end-to-payee")

    def result(self, bulk: Bulk, to_id: int, to: str, version: str, body: dict[str, object], kind: str) -> Outgoing:
        return self.say(bulk, to_id, to, "PUT", f"/bulkTransfers/{bulk.bulk_id}", version, body, kind)

    def error_to_payer(self, bulk: Bulk, code: str, description: str, *, kind: str) -> Outgoing:
        return self.error(bulk, bulk.payer_id, bulk.payer, bulk.version, code, description, kind)

    def error_to_payee(self, bulk: Bulk, code: str, description: str, *, kind: str) -> Outgoing:
        assert bulk.payee_id is not None
        version = bulk.answer_version or bulk.version
        return self.error(bulk, bulk.payee_id, bulk.payee, version, code, description, kind)

    def error(self, bulk: Bulk, to_id: int, to: str, version: str, code: str, description: str, kind: str) -> Outgoing:
        body: dict[str, object] = dict(error_body(code, description))
        return self.say(bulk, to_id, to, "PUT", f"/bulkTransfers/{bulk.bulk_id}/error", version, body, kind)

    def say(
        self, bulk: Bulk, to_id: int, to: str, method: str, path: str, version: str, body: dict[str, object], kind: str
    ) -> Outgoing:
        return self._hub.say(bulk.bulk_id, to_id, to, method, path, version, body, kind)


def result_body(bulk: Bulk, items: Iterable[TransferState]) -> dict[str, object]:
    """The body of PUT /bulkTransfers/{ID} (FSPIOP API v1.1, table 43) for the payer: a result for every item."""
    code, description = words_of(Refusal.ID_WAS_USED_WITH_OTHER_CONTENT)
    others = [{"transferId": item_id, **error_body(code, description)} for item_id in bulk.ids_used_before]
    return _body(bulk, [*map(_result, items), *others])


def payees_result_body(bulk: Bulk, items: Iterable[TransferState]) -> dict[str, object]:
    """The same for the payee: it was asked for what was reserved, and hears of nothing else."""
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
    return {"transferId": item.transfer_id}  # reserved: it has no result yet


def _error_of(bulk: Bulk) -> tuple[str, str]:
    return bulk.error_code or ErrorCode.SERVER_ERROR.code, bulk.error_description or ErrorCode.SERVER_ERROR.text


def state_answer(
    bulk: Bulk,
    items: Iterable[TransferState],
    *,
    asker_id: int,
    asker: str,
    version: str,
    hub_name: str,
    now: datetime,
) -> Outgoing:
    """The answer to GET /bulkTransfers/{ID} by its payer or payee."""
    body = result_body(bulk, items) if asker_id == bulk.payer_id else payees_result_body(bulk, items)
    return repeated(asker_id, _Voice(hub_name, now).result(bulk, asker_id, asker, version, body, "bulk-state"))


def unknown_answer(bulk_id: str, *, asker_id: int, asker: str, version: str, hub_name: str, now: datetime) -> Outgoing:
    """The answer to GET /bulkTransfers/{ID} of a bulk that is not there, or is none of the asker's business."""
    error = ErrorCode.BULK_TRANSFER_ID_NOT_FOUND
    body: dict[str, object] = dict(error_body(error.code, error.text))
    path = f"/bulkTransfers/{bulk_id}/error"
    hub = HubVoice(hub_name, time.http_date(now))
    return repeated(asker_id, hub.say(bulk_id, asker_id, asker, "PUT", path, version, body, "bulk-state"))
