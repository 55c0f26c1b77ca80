"""A message that names two receivers, a bank that is paused, and the funds of one: each answered as documents say."""

import json
import uuid
from typing import Any

import pytest

from hub.outbox.models import Message
from hub.participants import services as participants
from hub.participants.models import Participant
from quotes.models import BulkQuote, Quote, TransactionRequest
from tests.api import iso_messages, messages
from tests.api.caller import admin, dfsp, error_of
from tests.api.test_operator_apis import account_id, funds
from tests.api.test_transaction_requests import request_to_pay
from tests.directory.requests import register
from tests.world import World, amount


def test_a_quote_or_request_to_pay_for_two_receivers_is_refused_and_nobody_gets_it(world: World) -> None:
    count = Message.objects.count()
    bulk = messages.bulk_quote(3)
    bulk["individualQuotes"][2]["payee"]["partyIdInfo"]["fspId"] = "red"
    cases: list[tuple[Any, str, Any, str, str, str]] = [
        (dfsp, "/quotes", messages.quote(), "green", "red", "payee.partyIdInfo.fspId"),
        (iso_messages.iso, "/quotes", iso_messages.quote(), "green", "red", "payee.partyIdInfo.fspId"),
        (dfsp, "/bulkQuotes", bulk, "green", "blue", "individualQuotes[2].payee.partyIdInfo.fspId"),
        (dfsp, "/transactionRequests", request_to_pay(), "blue", "red", "payer.fspId"),
    ]
    for call, path, body, source, destination, field in cases:
        assert call("POST", path, body, source=source, destination=destination).status_code == 202
        message = Message.objects.select_related("destination").latest("id")
        refusal = json.loads(message.body)
        if "errorInformation" in refusal:
            told = refusal["errorInformation"]["errorCode"], refusal["errorInformation"]["errorDescription"]
        else:  # ISO 20022
            told = ("3100", json.dumps(refusal))
            assert '"3100"' in told[1]
        assert (message.destination.name, told[0]) == (source, "3100"), path
        assert f"{field}: must be the FSPIOP-Destination" in told[1]
    assert Message.objects.count() == count + len(cases)
    assert [kind.objects.count() for kind in (Quote, BulkQuote, TransactionRequest)] == [0, 0, 0]
    unnamed = messages.quote()
    del unnamed["payee"]["partyIdInfo"]["fspId"]
    assert dfsp("POST", "/quotes", unnamed, destination="blue").status_code == 202
    assert Quote.objects.count() == 1


def last_refusal(name: str) -> tuple[str, str]:
    message = Message.objects.filter(destination__name=name).latest("id")
    return message.path, json.loads(message.body)["errorInformation"]["errorCode"]


def test_a_paused_bank_is_found_by_nobody_named_by_nobody_and_paid_by_nobody(committed_world: World) -> None:
    register("MSISDN/255655001001", "blue")
    participants.set_active(Participant.objects.get(name="blue"), is_active=False, actor="test")
    quote, transfer = messages.quote(), messages.transfer()
    before = Message.objects.filter(destination__name="blue").count()
    for method, path, body, destination, code in (
        ("GET", "/participants/MSISDN/255655001001", None, None, "3204"),
        ("GET", "/parties/MSISDN/255655001001", None, None, "3204"),
        ("GET", "/parties/MSISDN/255655001001", None, "blue", "3201"),
        ("POST", "/quotes", quote, "blue", "3201"),
        ("POST", "/transfers", transfer, "blue", "3100"),
    ):
        assert dfsp(method, path, body, destination=destination).status_code == 202
        assert last_refusal("green")[1] == code, (method, path)
    assert Message.objects.filter(destination__name="blue").count() == before
    # What it asks itself.
    for method, path, body, code in (
        ("GET", "/parties/MSISDN/255712001001", None, "3000"),
        (
            "POST",
            "/quotes",
            messages.quote(payer=messages.party("blue", "1"), payee=messages.party("red", "2")),
            "3000",
        ),
        ("POST", "/transfers", messages.transfer(payerFsp="blue", payeeFsp="red"), "3100"),
    ):
        assert dfsp(method, path, body, source="blue", destination="red").status_code == 202
        assert last_refusal("blue")[1] == code, (method, path)
    assert committed_world.position("green") == 0


@pytest.mark.parametrize("action", ["recordFundsIn", "recordFundsOutPrepareReserve"])
def test_the_funds_of_a_paused_bank_come_and_go_and_those_of_an_inactive_account_do_not(
    world: World, action: str
) -> None:
    account = account_id("green", "SETTLEMENT")
    path = f"/participants/green/accounts/{account}"
    participants.set_active(Participant.objects.get(name="green"), is_active=False, actor="test")
    moved = str(uuid.uuid4())
    assert admin("POST", path, funds(action, "10", moved)).status_code == 202
    settlement = world.account("green", "SETTLEMENT")
    held = settlement.posted_credits - settlement.posted_debits - settlement.pending_debits
    assert held == amount(5010 if action == "recordFundsIn" else 4990)
    if action != "recordFundsIn":
        end = {"action": "recordFundsOutCommit", "reason": "test"}
        assert admin("PUT", f"{path}/transfers/{moved}", end).status_code == 202
        assert world.account("green", "SETTLEMENT").pending_debits == 0
    settlement.is_active = False
    settlement.save(update_fields=["is_active"])
    assert error_of(admin("POST", path, funds(action, "10", str(uuid.uuid4())))) == (400, "3000")
