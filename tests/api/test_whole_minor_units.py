"""An amount finer than its currency's minor unit cannot be settled: refused wherever an amount enters."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from fspiop.errors import FspiopError
from hub.outbox.models import Message
from ledger import accounts_and_funds
from ledger.models import Entry, Transfer
from settlement.bank_statements.parsing import Unreadable, read
from tests.api import iso_messages, messages
from tests.api.caller import admin, description_of, dfsp, error_of
from tests.api.fx_messages import fx_quote, fx_terms, fx_transfer
from tests.api.test_fx_agreement import fx
from tests.api.test_operator_apis import account_id, funds
from tests.api.test_transaction_requests import request_to_pay
from tests.world import World, amount

# Two of different kinds: without decimals, and with three.
FINE = [("UGX", "1.5"), ("KWD", "0.0001"), ("TZS", "0.001")]


def places(body: Any, where: str = "") -> Iterator[str]:
    """Where money stands in a message."""
    if isinstance(body, dict):
        if "currency" in body:
            yield where
        for name, part in body.items():
            yield from places(part, f"{where}.{name}" if where else name)
    elif isinstance(body, list):
        for number, part in enumerate(body):
            yield from places(part, f"{where}[{number}]")


def spoilt(body: Any, place: str, currency: str, text: str) -> Any:
    body = json.loads(json.dumps(body))  # a part that stands in two places is two parts
    at = body
    for step in place.replace("[", ".[").split("."):
        at = at[int(step[1:-1])] if step.startswith("[") else at[step]
    at |= {"currency": currency, "amount": text}
    return body


def everything() -> Iterator[tuple[Any, str, str, Any]]:
    money = {"currency": "TZS", "amount": "1"}
    fees = {"payeeReceiveAmount": money, "payeeFspFee": money, "payeeFspCommission": money}
    quote, bulk, asked = messages.quote(fees=money), messages.bulk_quote(1), fx_quote()
    bulk["individualQuotes"][0]["fees"] = money
    terms = messages.bulk_terms(bulk)
    terms["individualQuoteResults"][0] |= fees
    charges = [{"chargeType": "C", "sourceAmount": money, "targetAmount": money}]
    yield dfsp, "POST", "/transfers", messages.transfer()
    yield dfsp, "POST", "/bulkTransfers", messages.bulk_transfer("1", "2")
    yield fx, "POST", "/fxTransfers", fx_transfer()
    yield dfsp, "POST", "/quotes", quote
    yield dfsp, "PUT", f"/quotes/{quote['quoteId']}", messages.terms(**fees)
    yield dfsp, "POST", "/bulkQuotes", bulk
    yield dfsp, "PUT", f"/bulkQuotes/{bulk['bulkQuoteId']}", terms
    yield fx, "POST", "/fxQuotes", asked
    yield fx, "PUT", f"/fxQuotes/{asked['conversionRequestId']}", fx_terms(asked, charges=charges)
    yield dfsp, "POST", "/transactionRequests", request_to_pay()


def _charges(text: str, currency: str) -> dict[str, Any]:
    return {"Amt": iso_messages.instructed(text, currency), "Agt": iso_messages.agent("blue")}


def test_a_message_with_an_amount_finer_than_the_minor_unit_is_refused_and_named(world: World) -> None:
    count, seen = Message.objects.count(), 0
    for call, method, path, body in everything():
        for place in places(body):
            currency, text = FINE[seen % len(FINE)]
            seen += 1
            refused = call(method, path, spoilt(body, place, currency, text), destination="blue")
            assert error_of(refused) == (400, "3100"), (path, place)
            assert f"{place}.amount: {currency} has " in description_of(refused)
    query = {"authenticationType": "OTP", "retriesLeft": "1", "amount": "1.5", "currency": "UGX"}
    asked = dfsp("GET", f"/authorizations/{uuid.uuid4()}?{urlencode(query)}", destination="blue")
    assert error_of(asked) == (400, "3100")
    fine = [("/quotes", iso_messages.quote("1.5", "UGX")), ("/transfers", iso_messages.transfer("1.5", "UGX"))]
    for path, body in fine:
        assert error_of(iso_messages.iso("POST", path, body, destination="blue")) == (400, "3100")
    for changes in ({"InstdAmt": iso_messages.instructed("1.5", "UGX")}, {"ChrgsInf": _charges("1.5", "UGX")}):
        told = iso_messages.terms(iso_messages.quote())
        told["CdtTrfTxInf"] |= changes
        path = f"/quotes/{uuid.uuid4()}"
        refused = iso_messages.iso("PUT", path, told, source="blue", destination="green")
        assert error_of(refused) == (400, "3100"), changes
        assert "UGX has 0 decimals" in description_of(refused)
    assert (seen, Message.objects.count(), Transfer.objects.count()) == (24, count, 0)


def test_funds_caps_and_statements_are_in_whole_minor_units_too(world: World) -> None:
    account = account_id("green", "SETTLEMENT")
    entries = Entry.objects.count()
    for action in ("recordFundsIn", "recordFundsOutPrepareReserve"):
        body = funds(action, "1.505", str(uuid.uuid4()))
        assert error_of(admin("POST", f"/participants/green/accounts/{account}", body)) == (400, "3100")
    cap = {"currency": "TZS", "limit": {"type": "NET_DEBIT_CAP", "value": "10.005", "alarmPercentage": 10}}
    assert error_of(admin("PUT", "/participants/green/limits", cap)) == (400, "3100")
    for hub_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        accounts_and_funds.open_hub_account(account_type=hub_type, currency="UGX", actor="test")
    green = accounts_and_funds.register_participant(name="green", currency="UGX", is_proxy=False, actor="test")
    with pytest.raises(FspiopError, match="UGX has 0 decimals"):
        accounts_and_funds.set_initial_limit(green, currency="UGX", ndc=amount("1.5"), actor="test")
    assert (Entry.objects.count(), world.account("green").net_debit_cap) == (entries, amount(1000))
    lines = "reference,currency,amount,direction,participant,settlement\nr,UGX,{},DEBIT,green,1\n"
    assert read(lines.format("2.00").encode())[0].amount == amount(2)
    with pytest.raises(Unreadable, match="Line 2"):
        read(lines.format("1.5").encode())


def test_what_has_no_minor_unit_keeps_four_decimals_and_a_scheme_may_allow_all(world: World, settings: Any) -> None:
    def fault(currency: str, text: str) -> str:
        body = messages.transfer(amount={"currency": currency, "amount": text}, payerFsp="blue")
        return description_of(dfsp("POST", "/transfers", body, destination="blue")).rpartition(" - ")[2]

    named = "payerFsp: must be the FSPIOP-Source"  # found only where the amount is right
    for currency, text in (("XXX", "0.0001"), ("XTS", "0.0001"), ("KWD", "0.001"), ("TZS", "0.01"), ("UGX", "1")):
        assert fault(currency, text) == named
    settings.MINOR_UNITS_ONLY = False
    for currency, text in FINE:
        assert fault(currency, text) == named
