"""The scripts in which a customer of the DFSP pays a customer of the certifier."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.conf import settings

from fspiop import time as fsptime
from fspiop.errors import ErrorCode
from hub.test_currency import TEST_CURRENCY
from portal.certification.api_timestamps import moment
from portal.certification.certifier_customer import Play, Terms, fulfilment_of, keep_silent, reject
from portal.certification.faults import NotJudged
from portal.certification.running_case import CaseEnds, Order, Scene, shown_answer
from portal.certification.telephone_numbers_of_cases import (
    BADLY_SIGNED,
    BULK,
    PAID,
    PAYER,
    REFUNDED,
    REJECTS,
    SILENT,
    TWICE,
    UNKNOWN,
)

if TYPE_CHECKING:
    from portal.certification.counterpart import Answer, Received

_END_S = 20.0
_COMMITTED, _ABORTED = "COMMITTED", "ABORTED"
_REQUEST_S = 60.0
_RESULT_FIELDS = {
    "/bulkQuotes": {"transferAmount", "ilpPacket", "condition"},
    "/bulkTransfers": {"transferId", "transferState"},
}
"""The fields that each item's result must have in the answer to a call of Mojaloop's SDK."""


async def transfer(scene: Scene) -> None:
    play = scene.play(PAID)
    order = await scene.order(PAID, "7.5")
    received = await _transfer_of(scene, play, order)
    _judge_transfer(scene, play, received)
    await _judge_end(scene, order, received, _COMMITTED)
    scene.values["transaction_id"] = next(iter(play.terms.values())).transaction_id


async def lookup_unknown(scene: Scene) -> None:
    play = scene.play(UNKNOWN, is_known=False)
    order = await scene.order(UNKNOWN, "5")
    await _first(scene, play, play.lookups, order, "GET /parties")
    await _judge_outcome(scene, order, _ABORTED)
    if await play.wait(play.quotes, seconds=scene.options.answer_s):
        scene.add("paid_in_spite", message="POST /quotes", why="the payee is unknown")


async def rejection(scene: Scene) -> None:
    play = scene.play(REJECTS, on_transfer=reject)
    order = await scene.order(REJECTS, "5.5")
    received = await _transfer_of(scene, play, order)
    await _judge_end(scene, order, received, _ABORTED)
    await _judge_single(scene, play)


async def expired(scene: Scene) -> None:
    play = scene.play(SILENT, on_transfer=keep_silent)
    order = await scene.order(SILENT, "4.5")
    received = await _transfer_of(scene, play, order)
    scene.values |= {"play": play, "transfer": received, "order": order}
    await _judge_end(scene, order, received, _ABORTED, seconds=_left(received) + _END_S)
    await _judge_single(scene, play)


async def late_callback(scene: Scene) -> None:
    """The certifier's answer reaches the DFSP only after the hub has reported the expiry."""
    play, received = scene.run.value("payer-timeout", "play"), scene.run.value("payer-timeout", "transfer")
    if play is None or received is None:
        raise NotJudged("step_failed", what="payer-timeout")
    transfer_id = received.json["transferId"]
    scene.ids.add(transfer_id)
    terms = play.terms[received.json["condition"]]
    answer = await scene.deliver(*scene.message("PUT", f"/transfers/{transfer_id}", fulfilment_of(terms)))
    if not (answer.is_taken or answer.is_refusal):
        scene.add("not_accepted", message="a late PUT /transfers/{ID}", answer=str(answer))
    order: Order = scene.run.value("payer-timeout", "order")
    await asyncio.sleep(scene.options.answer_s)
    await _judge_outcome(scene, replace(order, scene=scene), _ABORTED)


async def twice(scene: Scene) -> None:
    """The certifier gives the DFSP the same order twice, like a program that got no response."""
    play = scene.play(TWICE)
    order = await scene.order(TWICE, "6.5")
    received = await _transfer_of(scene, play, order)
    await scene.transfer_state(received.json["transferId"], seconds=_END_S)
    await play.wait(play.transfers, seconds=await order.again(), count=2)
    await _judge_single(scene, play)


async def bad_signature(scene: Scene) -> None:
    if settings.SIGNATURES == "ignored":
        raise NotJudged("no_signatures")
    answers: asyncio.Queue[Answer] = asyncio.Queue()

    async def answer_badly(play: Play, received: "Received", terms: Terms) -> None:
        path = f"/transfers/{received.json['transferId']}"
        method, _, raw, headers = scene.message("PUT", path, fulfilment_of(terms))
        changed = raw.replace(b"COMMITTED", b"RESERVED", 1)
        answers.put_nowait(await scene.deliver(method, path, changed, headers))
        await reject(play, received, terms)

    play = scene.play(BADLY_SIGNED, on_transfer=answer_badly)
    order = await scene.order(BADLY_SIGNED, "3.5")
    received = await _transfer_of(scene, play, order)
    async with asyncio.timeout(settings.OUTBOX_TIMEOUT_S + _END_S):
        answer = await answers.get()
    if answer.is_taken:
        raise scene.fail("bad_signature_accepted", message="PUT /transfers/{ID}")
    scene.judge_refusal("PUT /transfers/{ID}", answer, code=ErrorCode.INVALID_SIGNATURE.code)
    await _judge_end(scene, order, received, _ABORTED)


async def request_to_pay(scene: Scene) -> None:
    """The certifier requests a payment from the DFSP's customer."""
    request_id = scene.new_id()
    body = {
        "transactionRequestId": request_id,
        "payee": {
            "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": PAYER, "fspId": scene.certifier},
            "name": "Certification Payee",
        },
        "payer": {
            "partyIdType": scene.options.payee_type,
            "partyIdentifier": scene.options.payee,
            "fspId": scene.dfsp.name,
        },
        "amount": {"amount": "8", "currency": TEST_CURRENCY},
        "transactionType": {"scenario": "PAYMENT", "initiator": "PAYEE", "initiatorType": "BUSINESS"},
        "expiration": moment(_REQUEST_S),
        "note": f"certification: {scene.name}",
    }
    await scene.send("POST", "/transactionRequests", body)
    told = await scene.answer("POST /transactionRequests", f"/transactionRequests/{request_id}")
    if told.is_error:
        code, text = told.error
        raise scene.fail("request_refused", code=code, text=text)


async def refund(scene: Scene) -> None:
    """The DFSP refunds the payment that the certifier made in an earlier case."""
    original = scene.run.value("payee-transfer", "transaction_id")
    if original is None:
        raise NotJudged("step_failed", what="payee-transfer")
    play = scene.play(REFUNDED)
    info = {"originalTransactionId": original, "refundReason": "certification"}
    order = await scene.order(REFUNDED, "7", transactionType="REFUND", refundInfo=info)
    quote = await _first(scene, play, play.quotes, order, "POST /quotes")
    kind = quote.json["transactionType"]
    found = (kind.get("refundInfo") or {}).get("originalTransactionId")
    if kind["scenario"] != "REFUND":
        scene.add("wrong_reference", field="transactionType.scenario", found=kind["scenario"], expected="REFUND")
    elif found != original:
        scene.add("wrong_reference", field="refundInfo.originalTransactionId", found=found, expected=original)
    received = await _transfer_of(scene, play, order)
    await _judge_end(scene, order, received, _COMMITTED)


async def bulk(scene: Scene) -> None:
    """The DFSP pays a bulk. The certifier orders the bulk through the DFSP's API in the form of Mojaloop's SDK, or a
    person pays the bulk."""
    play = scene.play(BULK)
    shown: dict[str, str] | None = None
    if scene.options.sdk_outbound:
        shown = await _order_bulk(scene)
    else:
        await scene.run.instruct(scene.name, "bulk", {"to": BULK, "amount": "1.5", "currency": TEST_CURRENCY})
    found = await play.wait(play.bulk_transfers, seconds=scene.patience_s)
    if not found:
        raise _missing(scene, play, "POST /bulkTransfers")
    items = found[0].json["individualTransfers"]
    for number, item in enumerate(items, 1):
        terms = play.terms.get(item["condition"])
        if terms is None or item["transferAmount"] != terms.amount or not terms.has_packet(item["ilpPacket"]):
            scene.add("bulk_item", number=number, why="other terms than offered")
    if not scene.faults:
        await _judge_end_of_bulk(scene, [item["transferId"] for item in items], shown)


async def _judge_end_of_bulk(scene: Scene, transfer_ids: list[str], shown: dict[str, str] | None) -> None:
    """Checks the end of each transfer at the hub, and the state that the DFSP shows for this transfer."""
    for transfer_id in transfer_ids:
        state = await scene.transfer_state(transfer_id, seconds=_END_S)
        if state != _COMMITTED:
            raise NotJudged("step_failed", what=f"POST /bulkTransfers: {state}")
        if shown is not None and shown.get(transfer_id) != _COMMITTED:
            scene.add("outcome_differs", found=shown.get(transfer_id, "-"), expected=_COMMITTED)


async def _order_bulk(scene: Scene) -> dict[str, str]:
    """Orders a bulk of two items. Returns the state that the DFSP shows for each transfer."""
    payer = {"idType": scene.options.payee_type, "idValue": scene.options.payee}
    item = {
        "to": {"idType": "MSISDN", "idValue": BULK},
        "amountType": "RECEIVE",
        "amount": "1.5",
        "currency": TEST_CURRENCY,
        "transactionType": "TRANSFER",
    }
    order: dict[str, Any] = {"homeTransactionId": scene.new_id(), "from": payer, "bulkQuoteId": scene.new_id()}
    quotes = [item | {"quoteId": scene.new_id()} for _ in range(2)]
    agreed = await _call_sdk(scene, "/bulkQuotes", "individualQuoteResults", order | {"individualQuotes": quotes})
    transfers = [
        item
        | {
            "transferId": scene.new_id(),
            "amount": terms["transferAmount"]["amount"],
            "ilpPacket": terms["ilpPacket"],
            "condition": terms["condition"],
        }
        for terms in agreed
    ]
    order |= {"bulkTransferId": scene.new_id(), "individualTransfers": transfers}
    paid = await _call_sdk(scene, "/bulkTransfers", "individualTransferResults", order)
    return {each["transferId"]: each["transferState"] for each in paid}


async def _call_sdk(scene: Scene, path: str, results: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Calls the DFSP's API in the form of Mojaloop's SDK. Returns the results of the items."""
    status, said = await scene.call(scene.options.sdk_outbound, "POST", path, body)
    found = said.get(results) if 200 <= status < 300 and isinstance(said, dict) else None
    wanted = _RESULT_FIELDS[path]
    if not isinstance(found, list) or not all(isinstance(each, dict) and wanted <= each.keys() for each in found):
        raise scene.fail("order_refused", answer=shown_answer(status, said))
    return found


# --- judgements -------------------------------------------------------------------------------------------------------


async def _first(scene: Scene, play: Play, place: "list[Received]", order: Order, asked: str) -> "Received":
    found = await play.wait(place, seconds=scene.patience_s)
    if not found:
        raise _missing(scene, play, asked, refusal=await order.refusal())
    return found[0]


def _missing(scene: Scene, play: Play, asked: str, *, refusal: str = "") -> CaseEnds:
    """Notes why the DFSP's request did not arrive: the hub refused a request, the DFSP refused the order, or the DFSP
    sent nothing."""
    refused = scene.run.refused_by_hub(play.alias)
    if refused:
        scene.checked(refused[0])
    if refusal:
        return scene.fail("order_refused", answer=refusal)
    return scene.fail("no_request_from_dfsp", asked=asked, seconds=int(scene.patience_s))


async def _transfer_of(scene: Scene, play: Play, order: Order) -> "Received":
    return await _first(scene, play, play.transfers, order, "POST /transfers")


def _judge_transfer(scene: Scene, play: Play, received: "Received") -> None:
    body, terms = received.json, play.terms[received.json["condition"]]
    if body["amount"] != terms.amount:
        found, expected = (f"{each['amount']} {each['currency']}" for each in (body["amount"], terms.amount))
        scene.add("wrong_terms_paid", field="amount", found=found, expected=expected)
    if not terms.has_packet(body["ilpPacket"]):
        scene.add("wrong_terms_paid", field="ilpPacket", found="…", expected="…")


async def _judge_end(
    scene: Scene, order: Order, received: "Received", expected: str, *, seconds: float = _END_S
) -> None:
    state = await scene.transfer_state(received.json["transferId"], seconds=seconds)
    if state != expected:
        raise NotJudged("step_failed", what=f"{received.method} {received.path}: {state}")
    await _judge_outcome(scene, order, expected)


async def _judge_outcome(scene: Scene, order: Order, expected: str) -> None:
    """Checks the state that the DFSP itself shows for the payment."""
    state = await order.outcome()
    if state != expected:
        scene.add("outcome_differs", found=state, expected=expected)


async def _judge_single(scene: Scene, play: Play) -> None:
    """Checks that the DFSP makes only one transfer. Waits after the end of this transfer for a second transfer."""
    await play.wait(play.transfers, seconds=scene.options.answer_s, count=2)
    ids = {received.json["transferId"] for received in play.transfers}
    if len(ids) > 1:
        scene.add("second_debit", count=len(ids), ids=", ".join(sorted(ids)))


def _left(received: "Received") -> float:
    expires = fsptime.parse_datetime(received.json["expiration"])
    return max(0.0, (expires - fsptime.parse_datetime(moment(0))).total_seconds())
