"""The scripts in which the certifier pays a customer of the DFSP."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from fspiop import bodies, ilp, money, paths
from fspiop import time as fsptime
from fspiop.bodies.bulk_quotes import BulkQuotePut, IndividualQuoteResult
from fspiop.bodies.quotes import QuotePut
from fspiop.bodies.transfers import TransferPut
from fspiop.errors import ErrorCode, FspiopError
from hub import outbox
from hub.outbox.messages import Outgoing
from hub.outbox.models import Message
from hub.test_currency import TEST_CURRENCY
from portal.certification.api_timestamps import moment
from portal.certification.certifier_customer import Play
from portal.certification.faults import NotJudged
from portal.certification.recorded_requests import Told, in_database
from portal.certification.running_case import Scene
from portal.certification.telephone_numbers_of_cases import ASKED, PAID, PAYER, REFUNDED

_VALID_S = 60.0
_LATE_S = 30.0
_END_S = 15.0
_HELD_S = 30
_LOOKS_EVERY_S = 0.5
_MODIFIED = ErrorCode.MODIFIED_REQUEST.code


@dataclass(frozen=True, slots=True)
class Agreed:
    """Terms that the DFSP offered."""

    quote_id: str
    transaction_id: str
    terms: QuotePut


async def lookup_known(scene: Scene) -> None:
    path = party_path(scene)
    scene.paths.add(unquote(path))
    await scene.send("GET", path)
    found = await scene.answers(path)
    if not found:
        raise scene.fail("no_answer", asked=f"GET {path}", seconds=int(scene.options.answer_s))
    told = found[0]
    if told.is_error:
        raise scene.fail("known_as_unknown", code=scene.checked(told).error[0])
    if not told.is_taken and _is_about_name(told):
        return  # another case reports that this name is wrong
    party = scene.checked(told).json.get("party") or {}
    fsp = (party.get("partyIdInfo") or {}).get("fspId")
    if fsp != scene.dfsp.name:
        scene.add("wrong_fsp", found=fsp, expected=scene.dfsp.name)


def _is_about_name(told: Told) -> bool:
    return any(word in told.refusal[1] for word in ("personalInfo", "complexName", "party.name"))


async def lookup_unknown(scene: Scene) -> None:
    path = paths.path_of("parties", scene.options.payee_type, scene.options.unknown)
    scene.paths.add(unquote(path))
    await scene.send("GET", path)
    told = await scene.answer(f"GET {path}", path)
    if not told.is_error:
        raise scene.fail("unknown_as_known")
    code = told.error[0]
    if not code.startswith("32"):
        scene.add("wrong_code", code=code, expected="3204")


async def quote(scene: Scene) -> None:
    agreed = await agree(scene, "12.5")
    judge_terms(scene, agreed.terms, receive="12.5")


async def transfer(scene: Scene) -> None:
    agreed = await agree(scene, "7", payer=REFUNDED)
    transfer_id = scene.new_id()
    await scene.send("POST", "/transfers", transfer_body(scene, agreed, transfer_id))
    await judge_fulfilment(scene, agreed, transfer_id)
    if not scene.faults:
        scene.values["transaction_id"] = agreed.transaction_id


async def rejection(scene: Scene) -> None:
    quote_id = scene.new_id()
    body = quote_body(scene, "5", quote_id, scene.new_id())
    body["payee"]["partyIdInfo"]["partyIdentifier"] = scene.options.unknown
    await scene.send("POST", "/quotes", body)
    told = await scene.answer("POST /quotes", f"/quotes/{quote_id}")
    if not told.is_error:
        raise scene.fail("accepted_unknown")


async def expired(scene: Scene) -> None:
    """The certifier delivers a transfer that has already expired."""
    agreed = await agree(scene, "4")
    transfer_id = scene.new_id()
    body = transfer_body(scene, agreed, transfer_id, expires_in=-_LATE_S)
    answer = await scene.deliver(*scene.message("POST", "/transfers", body))
    if not (answer.is_taken or answer.is_refusal):
        raise scene.fail("not_accepted", message="POST /transfers", answer=str(answer))
    found = await scene.answers(f"/transfers/{transfer_id}")
    if any(not told.is_error for told in found):
        scene.add("fulfilled_late", seconds=int(_LATE_S))


async def duplicate(scene: Scene) -> None:
    agreed = await agree(scene, "6")
    transfer_id = scene.new_id()
    path = f"/transfers/{transfer_id}"
    raw, headers = await scene.send("POST", "/transfers", transfer_body(scene, agreed, transfer_id))
    first = await scene.answer("POST /transfers", path)
    await scene.transfer_state(transfer_id, seconds=_END_S)
    before = len(await scene.answers(path))
    await scene.deliver("POST", "/transfers", raw, headers)
    found = await scene.answers(path, count=before + 1)
    if len(found) <= before:
        raise scene.fail("duplicate_unanswered", seconds=int(scene.options.answer_s))
    second = found[before]
    for field in ("fulfilment", "transferState"):
        if second.json.get(field) != first.json.get(field):
            scene.add("duplicate_changed", field=field)


async def changed_duplicate(scene: Scene) -> None:
    agreed = await agree(scene, "3")
    transfer_id = scene.new_id()
    path = f"/transfers/{transfer_id}"
    body = transfer_body(scene, agreed, transfer_id)
    await scene.send("POST", "/transfers", body)
    await scene.answer("POST /transfers", path)
    await scene.transfer_state(transfer_id, seconds=_END_S)
    before = len(await scene.answers(path))
    body["amount"] = {"amount": "3000", "currency": TEST_CURRENCY}
    answer = await scene.deliver(*scene.message("POST", "/transfers", body))
    if not answer.is_taken:
        scene.judge_refusal("POST /transfers", answer, code=_MODIFIED)
        return
    found = (await scene.answers(path, count=before + 1))[before:]
    if not found:
        raise scene.fail("no_answer", asked="POST /transfers", seconds=int(scene.options.answer_s))
    if not found[0].is_error:
        raise scene.fail("changed_accepted")
    code = found[0].error[0]
    if code != _MODIFIED:
        scene.add("wrong_code", code=code or "-", expected=_MODIFIED)


async def bad_signature(scene: Scene) -> None:
    if settings.SIGNATURES == "ignored":
        raise NotJudged("no_signatures")
    quote_id = scene.new_id()
    method, path, raw, headers = scene.message("POST", "/quotes", quote_body(scene, "2", quote_id, scene.new_id()))
    changed = raw.replace(b'"2"', b'"2000"', 1)
    answer = await scene.deliver(method, path, changed, headers)
    found = await scene.answers(f"/quotes/{quote_id}")
    if answer.is_taken or any(not told.is_error for told in found):
        raise scene.fail("bad_signature_accepted", message="POST /quotes")
    scene.judge_refusal("POST /quotes", answer, code=ErrorCode.INVALID_SIGNATURE.code)


async def reserved(scene: Scene) -> None:
    """The certifier requests the state of the payment twice: while the hub's PATCH is delayed, and after the PATCH.

    The hub delivers messages about one transfer in order. So the PATCH is delayed while an earlier message still waits.
    """
    agreed = await agree(scene, "9")
    transfer_id, path = scene.new_id(), f"/transactions/{agreed.transaction_id}"
    held = await in_database(_hold_back, scene.dfsp.pk, scene.certifier, transfer_id)
    try:
        raw, headers = await scene.send("POST", "/transfers", transfer_body(scene, agreed, transfer_id))
        await scene.deliver("POST", "/transfers", raw, headers)
        told = await scene.answer("POST /transfers", f"/transfers/{transfer_id}")
        state = told.json.get("transferState")
        if told.is_error or await scene.transfer_state(transfer_id, seconds=_END_S) != "COMMITTED":
            raise NotJudged("step_failed", what="POST /transfers")
        if state == "COMMITTED":
            raise NotJudged("answers_committed")
        await scene.send("GET", path)
        before = await _state_in(scene, path, count=1)
        if before == "COMPLETED":
            scene.add("credited_early")
    finally:
        await in_database(_let_go, held, scene.dfsp.pk, transfer_id)
    if scene.faults:
        return
    if not await scene.is_delivered("PATCH", f"/transfers/{transfer_id}", seconds=_END_S):
        raise scene.fail("not_accepted", message=f"PATCH /transfers/{transfer_id}", answer="no 2xx")
    after, count, patience = "", 1, scene.wait(scene.options.answer_s)
    while after != "COMPLETED" and patience.left() > 0:
        count += 1
        await scene.send("GET", path)
        after = await _state_in(scene, path, count=count)
        await asyncio.sleep(_LOOKS_EVERY_S)
    if after != "COMPLETED":
        scene.add("not_credited", state=after)


async def _state_in(scene: Scene, path: str, *, count: int) -> str:
    found = await scene.answers(path, count=count)
    if len(found) < count:
        raise scene.fail("state_unknown", answer="-")
    told = scene.checked(found[count - 1])
    if told.is_error:
        raise scene.fail("state_unknown", answer=" ".join(told.error))
    return str(told.json.get("transactionState"))


def _hold_back(dfsp_id: int, certifier: str, transfer_id: str) -> int:
    """Adds a message about a transfer to the outbox, and marks this message as a message that is being sent. The
    transfer's later messages to this DFSP wait until this message is gone.

    If this process dies, the mark expires, and the hub delivers the message. The message is a lookup that has no
    effect.
    """
    path = paths.path_of("parties", "MSISDN", PAYER)
    with transaction.atomic(), connection.cursor() as cursor:
        outbox.append(
            [
                Outgoing(
                    destination_id=dfsp_id,
                    method="GET",
                    path=path,
                    headers={
                        "accept": "application/vnd.interoperability.parties+json;version=1",
                        "content-type": "application/vnd.interoperability.parties+json;version=1.1",
                        "date": fsptime.http_date(fsptime.parse_datetime(moment(0))),
                        "fspiop-source": certifier,
                    },
                    body=b"",
                    subject=transfer_id,
                    kind="request",
                    signed_by_hub=False,
                )
            ]
        )
        cursor.execute(
            "UPDATE outbox_message SET leased_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE destination_id = %s AND subject = %s RETURNING id",
            [_HELD_S, dfsp_id, transfer_id],
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _let_go(message_id: int, dfsp_id: int, transfer_id: str) -> None:
    with transaction.atomic():
        Message.objects.filter(pk=message_id).delete()
        Message.objects.filter(destination_id=dfsp_id, subject=transfer_id).update(due_at=Now())
    outbox.poke({dfsp_id})


async def bulk(scene: Scene) -> None:
    bulk_quote_id, items = scene.new_id(), [(scene.new_id(), scene.new_id()) for _ in range(2)]
    body = {
        "bulkQuoteId": bulk_quote_id,
        "payer": _payer(scene),
        "individualQuotes": [
            {
                "quoteId": quote_id,
                "transactionId": transaction_id,
                "payee": _payee(scene),
                "amountType": "RECEIVE",
                "amount": {"amount": "1.5", "currency": TEST_CURRENCY},
                "transactionType": _type("TRANSFER"),
            }
            for quote_id, transaction_id in items
        ],
        "expiration": moment(_VALID_S),
    }
    await scene.send("POST", "/bulkQuotes", body)
    told = await scene.answer("POST /bulkQuotes", f"/bulkQuotes/{bulk_quote_id}")
    if told.is_error:
        code, text = told.error
        raise scene.fail("bulk_refused", code=code, text=text)
    results = bodies.convert(BulkQuotePut, told.json).individual_quote_results or []
    by_quote = {result.quote_id: result for result in results}
    transfers: dict[str, IndividualQuoteResult] = {}
    for number, (quote_id, _) in enumerate(items, 1):
        result = by_quote.get(quote_id)
        if result is None or result.transfer_amount is None or not (result.ilp_packet and result.condition):
            scene.add("bulk_item", number=number, why="no terms")
        else:
            transfers[scene.new_id()] = result
    if scene.faults:
        return
    await _pay_bulk(scene, bulk_quote_id, transfers)


async def _pay_bulk(scene: Scene, bulk_quote_id: str, transfers: dict[str, IndividualQuoteResult]) -> None:
    bulk_id = scene.new_id()
    body = {
        "bulkTransferId": bulk_id,
        "bulkQuoteId": bulk_quote_id,
        "payerFsp": scene.certifier,
        "payeeFsp": scene.dfsp.name,
        "individualTransfers": [
            {
                "transferId": transfer_id,
                "transferAmount": _money(result.transfer_amount),
                "ilpPacket": result.ilp_packet,
                "condition": result.condition,
            }
            for transfer_id, result in transfers.items()
        ],
        "expiration": moment(_VALID_S),
    }
    await scene.send("POST", "/bulkTransfers", body)
    told = await scene.answer("POST /bulkTransfers", f"/bulkTransfers/{bulk_id}")
    if told.is_error:
        code, text = told.error
        raise scene.fail("bulk_refused", code=code, text=text)
    fulfilments = {
        each.get("transferId"): each.get("fulfilment") for each in told.json.get("individualTransferResults") or []
    }
    for number, (transfer_id, result) in enumerate(transfers.items(), 1):
        if not ilp.fulfils(fulfilments.get(transfer_id) or "", result.condition or ""):
            scene.add("bulk_item", number=number, why="no fulfilment that fits its condition")


async def request_to_pay(scene: Scene) -> None:
    """The DFSP requests a payment from a customer of the certifier. This customer pays."""
    play = scene.play(ASKED)
    order = await scene.request("11", ASKED)
    asked = await _request_of(scene, play, order)
    request_id = asked["transactionRequestId"]
    answer = {"transactionRequestState": "RECEIVED", "transactionId": scene.new_id()}
    await scene.send("PUT", f"/transactionRequests/{request_id}", answer)
    agreed = await agree(
        scene,
        "11",
        transaction_id=answer["transactionId"],
        transactionRequestId=request_id,
        transactionType=_type("PAYMENT", initiator="PAYEE", kind="BUSINESS"),
    )
    transfer_id = scene.new_id()
    await scene.send("POST", "/transfers", transfer_body(scene, agreed, transfer_id))
    await judge_fulfilment(scene, agreed, transfer_id)


async def _request_of(scene: Scene, play: Play, order: Any) -> dict[str, Any]:
    found = await play.wait(play.requests, seconds=scene.patience_s)
    if not found:
        if refusal := await order.refusal():
            raise scene.fail("order_refused", answer=refusal)
        raise scene.fail("no_request_from_dfsp", asked="POST /transactionRequests", seconds=int(scene.patience_s))
    return found[0].json


async def refund(scene: Scene) -> None:
    """The customer of the certifier who got the payment of payer-transfer refunds this payment."""
    original = scene.run.value("payer-transfer", "transaction_id")
    if original is None:
        raise NotJudged("step_failed", what="payer-transfer")
    kind = _type("REFUND") | {"refundInfo": {"originalTransactionId": original, "refundReason": "certification"}}
    agreed = await agree(scene, "2", payer=PAID, transactionType=kind)
    transfer_id = scene.new_id()
    await scene.send("POST", "/transfers", transfer_body(scene, agreed, transfer_id))
    await judge_fulfilment(scene, agreed, transfer_id)


# --- the messages -----------------------------------------------------------------------------------------------------


def party_path(scene: Scene) -> str:
    return paths.path_of("parties", scene.options.payee_type, scene.options.payee)


def _payee(scene: Scene) -> dict[str, Any]:
    return {
        "partyIdInfo": {
            "partyIdType": scene.options.payee_type,
            "partyIdentifier": scene.options.payee,
            "fspId": scene.dfsp.name,
        }
    }


def _payer(scene: Scene, alias: str = PAYER) -> dict[str, Any]:
    return {
        "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": alias, "fspId": scene.certifier},
        "name": "Certification Payer",
        "personalInfo": {"complexName": {"firstName": "Certification", "lastName": "Payer"}},
    }


def _type(scenario: str, *, initiator: str = "PAYER", kind: str = "CONSUMER") -> dict[str, Any]:
    return {"scenario": scenario, "initiator": initiator, "initiatorType": kind}


def _money(value: Any) -> dict[str, str]:
    return {"amount": value.amount, "currency": value.currency}


def quote_body(scene: Scene, amount: str, quote_id: str, transaction_id: str) -> dict[str, Any]:
    return {
        "quoteId": quote_id,
        "transactionId": transaction_id,
        "payee": _payee(scene),
        "payer": _payer(scene),
        "amountType": "RECEIVE",
        "amount": {"amount": amount, "currency": TEST_CURRENCY},
        "transactionType": _type("TRANSFER"),
        "expiration": moment(_VALID_S),
        "note": f"certification: {scene.name}",
    }


def transfer_body(scene: Scene, agreed: Agreed, transfer_id: str, *, expires_in: float = _VALID_S) -> dict[str, Any]:
    return {
        "transferId": transfer_id,
        "payerFsp": scene.certifier,
        "payeeFsp": scene.dfsp.name,
        "amount": _money(agreed.terms.transfer_amount),
        "ilpPacket": agreed.terms.ilp_packet,
        "condition": agreed.terms.condition,
        "expiration": moment(expires_in),
    }


async def agree(scene: Scene, amount: str, *, transaction_id: str = "", payer: str = PAYER, **more: Any) -> Agreed:
    """Requests terms, and returns the DFSP's answer."""
    quote_id, transaction_id = scene.new_id(), transaction_id or scene.new_id()
    body = quote_body(scene, amount, quote_id, transaction_id) | {"payer": _payer(scene, payer)} | more
    await scene.send("POST", "/quotes", body)
    told = await scene.answer("POST /quotes", f"/quotes/{quote_id}")
    if told.is_error:
        code, text = told.error
        raise scene.fail("terms_refused", code=code, text=text, amount=f"{amount} {TEST_CURRENCY}")
    try:
        terms = bodies.convert(QuotePut, told.json)
    except FspiopError as error:
        raise scene.fail("refused_by_hub", message=told.shown, code=error.code, text=error.description) from None
    return Agreed(quote_id, transaction_id, terms)


def judge_terms(scene: Scene, terms: QuotePut, *, receive: str) -> None:
    """Checks that the amounts of the terms fit the request, fit each other and fit the packet."""
    wanted = money.parse_amount(receive)
    amounts = {
        "payeeReceiveAmount": terms.payee_receive_amount,
        "payeeFspFee": terms.payee_fsp_fee,
        "payeeFspCommission": terms.payee_fsp_commission,
        "transferAmount": terms.transfer_amount,
    }
    for name, value in amounts.items():
        if value is not None and value.currency != TEST_CURRENCY:
            scene.add("wrong_amount", field=f"{name}.currency", found=value.currency, expected=TEST_CURRENCY)
            return
    value_of = {name: money.parse_amount(value.amount) for name, value in amounts.items() if value is not None}
    if value_of.get("payeeReceiveAmount", wanted) != wanted:
        found = money.format_amount(value_of["payeeReceiveAmount"])
        scene.add("wrong_amount", field="payeeReceiveAmount", found=found, expected=receive)
        return
    due = wanted + value_of.get("payeeFspFee", 0) - value_of.get("payeeFspCommission", 0)
    moved = value_of["transferAmount"]
    if moved != due:
        expected = money.format_amount(due)
        scene.add("wrong_amount", field="transferAmount", found=money.format_amount(moved), expected=expected)
        return
    try:
        packet = ilp.decode_payment(terms.ilp_packet)
    except ValueError as error:
        scene.add("wrong_packet", why=str(error))
        return
    minor = money.minor_units(moved, TEST_CURRENCY)
    if packet.amount != minor:
        scene.add("wrong_amount", field="ilpPacket.amount", found=packet.amount, expected=minor)
    if fsptime.parse_datetime(terms.expiration) <= fsptime.parse_datetime(moment(0)):
        scene.add("terms_expired", expiration=terms.expiration)


async def judge_fulfilment(scene: Scene, agreed: Agreed, transfer_id: str) -> None:
    """Checks the DFSP's answer to a transfer, and the end of the transfer at the hub."""
    told = await scene.answer("POST /transfers", f"/transfers/{transfer_id}")
    if told.is_error:
        code, text = told.error
        raise scene.fail("transfer_refused", code=code, text=text)
    answer = bodies.convert(TransferPut, told.json)
    if not ilp.fulfils(answer.fulfilment or "", agreed.terms.condition):
        if scene.name != "payee-transfer":
            raise NotJudged("step_failed", what="payee-transfer")
        raise scene.fail("wrong_fulfilment")
    state = await scene.transfer_state(transfer_id, seconds=_END_S)
    if state != "COMMITTED":
        scene.add("not_committed", state=state)
