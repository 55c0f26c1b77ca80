"""Conversions by the reference client's APIs: green's TZS become the KES in which blue's customer is paid."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fspiop.time import format_datetime
from tests.reference.core import KES_ONLY, NO_TERMS, REFUSED, no
from tests.reference.world import KESI, World, to, transfer, until

pytestmark = pytest.mark.live


def positions(world: World) -> dict[str, float]:
    places = (("green", "TZS"), ("fxp", "TZS"), ("fxp", "KES"), ("blue", "KES"))
    return {f"{name} {currency}": world.position(name, currency) for name, currency in places}


def changed(world: World, before: dict[str, float]) -> dict[str, float]:
    return {place: value - before[place] for place, value in positions(world).items() if value != before[place]}


def sent(**changes: Any) -> dict[str, Any]:
    return transfer(to=to(KESI), **changes)


def test_an_fxp_converts_what_the_payee_does_not_take(world: World) -> None:
    before = positions(world)
    answer = world.green.call("POST", "/transfers", sent())
    assert (answer.status, answer.body["currentState"]) == (200, "WAITING_FOR_CONVERSION_ACCEPTANCE"), answer
    offered = answer.body["fxQuotesResponse"]["body"]
    assert offered["conversionTerms"]["targetAmount"] == {"currency": "KES", "amount": "200"}
    assert answer.body["fxQuotesResponseSource"] == "fxp"
    assert changed(world, before) == {}
    path = f"/transfers/{answer.body['transferId']}"
    world.green.restart()
    for _ in range(2):
        answer = world.green.call("PUT", path, {"acceptConversion": True})
        assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert answer.body["quoteResponse"]["body"]["transferAmount"] == {"currency": "KES", "amount": "200"}
    assert changed(world, before) == {"green TZS": 100, "fxp TZS": -100, "fxp KES": 200, "blue KES": -200}

    (asked,) = world.fxp.core.bodies("POST", "/fxQuotes")
    assert asked["conversionTerms"]["sourceAmount"] == {"currency": "TZS", "amount": "100"}
    (reserved,) = world.fxp.core.bodies("POST", "/fxTransfers")
    assert reserved["determiningTransferId"] == answer.body["transferId"]
    ends = until(lambda: world.fxp.core.bodies("PATCH", f"/fxTransfers/{reserved['commitRequestId']}"))
    assert [body["finalNotification"]["conversionState"] for body in ends] == ["COMMITTED"]


@pytest.mark.parametrize("version", ["1.1", "2.0"])
def test_the_payees_dfsp_learns_of_the_conversion_in_the_version_that_has_the_element(
    world: World, version: str
) -> None:
    world.green.set(version=version, auto_accept_conversion=True)
    try:
        answer = world.green.call("POST", "/transfers", sent())
    finally:
        world.green.set(version="1.1", auto_accept_conversion=False)
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    (asked,) = world.blue.core.bodies("POST", "/quoterequests")
    rate = {
        "sourceAmount": {"currency": "TZS", "amount": "100"},
        "targetAmount": {"currency": "KES", "amount": "200"},
    }
    assert asked.get("currencyConversion") == (rate if version == "2.0" else None)


def test_what_the_payee_receives_is_converted_from_what_the_payer_has(world: World) -> None:
    before = positions(world)
    payer = {**transfer()["from"], "supportedCurrencies": ["TZS"]}
    wanted = sent(**{"from": payer, "amountType": "RECEIVE", "currency": "KES", "amount": "199"})
    answer = world.green.call("POST", "/transfers", wanted)
    assert answer.body["currentState"] == "WAITING_FOR_CONVERSION_ACCEPTANCE", answer
    assert answer.body["quoteResponse"]["body"]["transferAmount"]["amount"] == "200"
    path = f"/transfers/{answer.body['transferId']}"
    answer = world.green.call("PUT", path, {"acceptQuoteOrConversion": True})
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert changed(world, before) == {"green TZS": 100, "fxp TZS": -100, "fxp KES": 200, "blue KES": -200}


def test_a_conversion_that_is_not_accepted_or_refused_moves_nothing(world: World) -> None:
    before = positions(world)
    answer = world.green.call("POST", "/transfers", sent())
    path = f"/transfers/{answer.body['transferId']}"
    assert world.green.call("PUT", path, {"acceptConversion": False}).body["currentState"] == "ABORTED"
    answer = world.green.call("POST", "/transfers", sent(amount=NO_TERMS))
    assert (answer.status, answer.body["statusCode"]) == (500, "5101"), answer
    answer = world.green.call("POST", "/transfers", sent(amount=REFUSED))
    world.fxp.core.fails["PUT /fxTransfers"] = lambda: no(500, "2001", "not now")
    answer = world.green.call("PUT", f"/transfers/{answer.body['transferId']}", {"acceptConversion": True})
    assert (answer.status, answer.body["statusCode"]) == (500, "5001"), answer
    # The FXP's core may have reserved the conversion before it failed. It is told until it takes the notification.
    assert until(lambda: len(world.fxp.core.bodies("PUT", "/fxTransfers/")) > 1)
    world.fxp.core.fails.clear()
    told = len(world.fxp.core.bodies("PUT", "/fxTransfers/"))
    ends = until(lambda: (found := world.fxp.core.bodies("PUT", "/fxTransfers/"))[told:] and found)
    assert {body["conversionState"] for body in ends} == {"ABORTED"}
    (reserved,) = (body for body in world.fxp.core.bodies("POST", "/fxTransfers"))
    assert {path for method, path, _ in world.fxp.core.calls if method == "PUT"} == {
        f"/fxTransfers/{reserved['commitRequestId']}"
    }
    assert until(lambda: changed(world, before) == {})


def test_a_fulfilment_of_the_fxps_core_that_does_not_fit_converts_nothing(world: World) -> None:
    before = positions(world)
    answer = {"conversionState": "RESERVED", "fulfilment": "x" * 43}
    world.fxp.core.fails["POST /fxTransfers"] = lambda: web.json_response(answer)
    answer = world.green.call("POST", "/transfers", sent()).body
    found = world.green.call("PUT", f"/transfers/{answer['transferId']}", {"acceptConversion": True})
    assert (found.status, found.body["statusCode"]) == (500, "2001"), found
    ends = until(lambda: world.fxp.core.bodies("PUT", "/fxTransfers/"))
    assert [body["conversionState"] for body in ends] == ["ABORTED"]
    assert until(lambda: changed(world, before) == {})


def test_a_transfer_that_the_payee_refuses_reverts_its_conversion(world: World) -> None:
    """2503 TZS are 5006 KES, which blue's core refuses."""
    before = positions(world)
    answer = world.green.call("POST", "/transfers", sent(amount="2503"))
    answer = world.green.call("PUT", f"/transfers/{answer.body['transferId']}", {"acceptConversion": True})
    assert (answer.status, answer.body["statusCode"]) == (500, "5001"), answer
    (reserved,) = world.fxp.core.bodies("POST", "/fxTransfers")
    ends = until(lambda: world.fxp.core.bodies("PATCH", f"/fxTransfers/{reserved['commitRequestId']}"))
    assert [body["finalNotification"]["conversionState"] for body in ends] == ["ABORTED"]
    assert until(lambda: changed(world, before) == {})


def test_providers(world: World) -> None:
    for path in ("/services/FXP", "/services/FXP/TZS/KES"):
        answer = world.green.call("GET", path)
        assert (answer.status, answer.body) == (200, {"providers": ["fxp"]}), answer
    assert world.green.call("GET", "/services/FXP/KES/TZS").body == {"providers": []}
    answer = world.green.call("GET", "/services/FXP/TZS/NOTHING")
    assert (answer.status, answer.body["statusCode"]) == (500, "3100"), answer


def test_providers_for_a_dfsp_that_the_hub_does_not_know(world: World, tmp_path: Path) -> None:
    known = world.green.config
    world.green.set(dfsp="stranger", state=tmp_path / "state")
    try:
        answer = world.green.call("GET", "/services/FXP")
    finally:
        world.green.set(dfsp=known.dfsp, state=known.state)
    assert (answer.status, answer.body["statusCode"]) == (500, "3200"), answer
    assert world.green.call("GET", "/services/FXP").status == 200


def fx_quote(**changes: Any) -> dict[str, Any]:
    terms = {
        "conversionId": str(uuid.uuid4()),
        "determiningTransferId": str(uuid.uuid4()),
        "initiatingFsp": "green",
        "counterPartyFsp": "fxp",
        "amountType": "SEND",
        "sourceAmount": {"currency": "TZS", "amount": "50"},
        "targetAmount": {"currency": "KES"},
        "expiration": format_datetime(datetime.now(UTC) + timedelta(minutes=2)),
    }
    request_id = str(uuid.uuid4())
    return {"homeTransactionId": "h", "conversionRequestId": request_id, "conversionTerms": terms | changes}


def fx_transfer(offered: dict[str, Any], **changes: Any) -> dict[str, Any]:
    terms = offered["conversionTerms"]
    return {
        "homeTransactionId": "h",
        "commitRequestId": str(uuid.uuid4()),
        "determiningTransferId": terms["determiningTransferId"],
        "initiatingFsp": "green",
        "counterPartyFsp": "fxp",
        "sourceAmount": terms["sourceAmount"],
        "targetAmount": terms["targetAmount"],
        "condition": offered["condition"],
    } | changes


def test_terms_and_conversion_are_sent_one_by_one(world: World) -> None:
    answer = world.green.call("POST", "/fxQuotes", fx_quote())
    assert (answer.status, answer.body["homeTransactionId"]) == (200, "h"), answer
    assert answer.body["conversionTerms"]["targetAmount"]["amount"] == "100"
    wanted = fx_transfer(answer.body)
    for _ in range(2):
        found = world.green.call("POST", "/fxTransfers", wanted)
        assert (found.status, found.body["conversionState"]) == (200, "RESERVED"), found
    assert len(world.fxp.core.bodies("POST", "/fxTransfers")) == 1
    # The same terms convert once.
    other = fx_transfer(answer.body, commitRequestId=str(uuid.uuid4()), determiningTransferId=str(uuid.uuid4()))
    found = world.green.call("POST", "/fxTransfers", other)
    assert found.status == 500, found
    changed_amount = wanted | {"sourceAmount": {"currency": "TZS", "amount": "51"}}
    found = world.green.call("POST", "/fxTransfers", changed_amount)
    assert (found.status, found.body["statusCode"]) == (500, "3106"), found


def test_terms_and_conversions_that_are_refused(world: World) -> None:
    answer = world.green.call("POST", "/fxQuotes", fx_quote(sourceAmount={"currency": "TZS", "amount": NO_TERMS}))
    assert (answer.status, answer.body["statusCode"]) == (500, "5101"), answer
    answer = world.green.call("POST", "/fxQuotes", fx_quote(initiatingFsp="blue"))
    assert (answer.status, answer.body["statusCode"]) == (400, "3100"), answer
    answer = world.green.call("POST", "/fxQuotes", fx_quote(counterPartyFsp="nobody"))
    assert answer.status == 500, answer
    offered = world.green.call("POST", "/fxQuotes", fx_quote(sourceAmount={"currency": "TZS", "amount": REFUSED})).body
    answer = world.green.call("POST", "/fxTransfers", fx_transfer(offered))
    assert (answer.status, answer.body["statusCode"]) == (500, "5001"), answer
    answer = world.green.call("POST", "/fxTransfers", fx_transfer(offered, condition="x"))
    assert (answer.status, answer.body["statusCode"]) == (400, "3100"), answer


assert KES_ONLY in KESI
