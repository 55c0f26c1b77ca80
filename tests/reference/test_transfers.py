"""Single payments by the reference client's outbound API: each path once with success and once with an error."""

import uuid
from typing import Any

import pytest

from kitovu_connector.callers import Callers
from kitovu_connector.reference_api.application import application
from tests.reference.core import NO_TERMS, REFUSED, UNKNOWN
from tests.reference.operations import ADDED, FRONT_END, form, routes
from tests.reference.world import BARAKA, GHOST, World, to, transfer, until

pytestmark = pytest.mark.live


def test_health(world: World) -> None:
    assert world.green.call("GET", "/").status == 200
    assert world.green.call("GET", "/unknown").body["statusCode"] == "3002"
    for path in ("/", "/health"):
        answer = world.green.call("GET", path, headers={"Origin": "https://a.page.example"})
        assert (answer.status, answer.body["statusCode"]) == (403, "3000"), answer


def test_each_path_that_the_connector_offers_is_in_the_table_of_operations(world: World) -> None:
    connector = world.green.connector
    assert connector is not None
    app = application(connector._reference_parts(), world.green.backend, Callers(world.green.config))
    assert routes(app) == {form(operation) for operation in FRONT_END | ADDED}


def test_a_transfer_is_paid_in_one_call(world: World) -> None:
    before = world.position("green"), world.position("blue")
    wanted = transfer(quoteRequestExtensions=[{"key": "k", "value": "v"}])
    answer = world.green.call("POST", "/transfers", wanted)
    assert answer.status == 200, answer
    found = answer.body
    assert found["currentState"] == "COMPLETED"
    assert found["fulfil"]["body"]["transferState"] == "COMMITTED"
    assert found["homeTransactionId"] == wanted["homeTransactionId"]
    assert (found["to"]["fspId"], found["to"]["displayName"]) == ("blue", "Party 001")
    assert found["getPartiesResponse"]["body"]["party"]["personalInfo"]["complexName"]["lastName"] == "blue"
    quoted = found["quoteResponse"]["body"]
    assert quoted["payeeFspFee"] == {"currency": "TZS", "amount": "1"}
    assert (found["quoteResponseSource"], "lastError" in found) == ("blue", False)
    assert (world.position("green") - before[0], world.position("blue") - before[1]) == (100, -100)

    transfer_id = found["transferId"]
    told = until(lambda: world.blue.core.bodies("PUT", f"/transfers/{transfer_id}"))
    assert [body["finalNotification"]["transferState"] for body in told] == ["COMMITTED"]
    (asked,) = world.blue.core.bodies("POST", "/transfers")
    assert (asked["transferId"], asked["transactionType"], asked["note"]) == (transfer_id, "TRANSFER", "lunch")
    assert asked["quote"]["payeeFspFeeAmount"] == "1"
    assert asked["ilpPacket"]["data"]["transactionId"] == transfer_id
    assert asked["from"]["displayName"] == "Asha Juma"
    assert asked["quoteRequestExtensions"] == [{"key": "k", "value": "v"}]

    shown = world.green.call("GET", f"/transfers/{transfer_id}").body
    assert (shown["currentState"], shown["fulfil"]["body"]["transferState"]) == ("COMPLETED", "COMMITTED")
    again = world.green.call("POST", "/transfers", wanted)
    assert again.body["transferId"] == transfer_id
    assert len(world.blue.core.bodies("POST", "/transfers")) == 1
    # blue, as the payee, asks the hub.
    seen = world.blue.call("GET", f"/transfers/{transfer_id}").body
    assert seen["fulfil"]["body"]["transferState"] == "COMMITTED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": to("255000000000")}, "3204"),
        ({"to": to(GHOST)}, "3204"),
        ({"amount": NO_TERMS}, "5101"),
        ({"amount": REFUSED}, "5001"),
    ],
)
def test_a_transfer_that_fails_says_why(world: World, changes: dict[str, Any], code: str) -> None:
    before = world.position("green")
    answer = world.green.call("POST", "/transfers", transfer(**changes))
    assert (answer.status, answer.body["statusCode"]) == (500, code), answer
    state = answer.body["transferState"]
    assert state["currentState"] == "ERROR_OCCURRED"
    assert state["lastError"]["mojaloopError"]["errorInformation"]["errorCode"] == code
    assert state["lastError"]["httpStatusCode"] == 500
    assert world.position("green") == before
    shown = world.green.call("GET", f"/transfers/{state['transferId']}")
    assert (shown.status, shown.body["statusCode"]) == (500, code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "1,5"}, "3100"),
        ({"initiatorType": "CONSUMER"}, "3100"),
        ({"currency": None}, "3101"),
        ({"skipPartyLookup": True}, "3102"),
    ],
)
def test_a_request_that_is_wrong_begins_nothing(world: World, changes: dict[str, Any], code: str) -> None:
    answer = world.green.call("POST", "/transfers", transfer(**changes))
    assert (answer.status, answer.body["statusCode"]) == (400, code), answer
    assert world.blue.core.calls == []


def test_one_home_id_is_one_payment(world: World) -> None:
    wanted = transfer()
    first = world.green.call("POST", "/transfers", wanted)
    assert first.status == 200
    answer = world.green.call("POST", "/transfers", wanted | {"amount": "101"})
    assert (answer.status, answer.body["statusCode"]) == (500, "3106")
    assert answer.body["transferState"] == first.body


def test_transfers_that_nobody_knows(world: World) -> None:
    nobody = uuid.uuid4()
    for method, path, body in (
        ("GET", f"/transfers/{nobody}", None),
        ("PUT", f"/transfers/{nobody}", {"acceptParty": True}),
        ("GET", f"/simpleTransfers/{nobody}", None),
    ):
        answer = world.green.call(method, path, body)
        assert (answer.status, answer.body["statusCode"]) == (500, "3208"), answer


def test_a_known_payee_is_not_looked_up(world: World) -> None:
    answer = world.green.call("POST", "/transfers", transfer(to=to(BARAKA, fspId="blue"), skipPartyLookup=True))
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert "getPartiesResponse" not in answer.body


def test_the_payee_receives_all_and_the_payer_pays_the_fee(world: World) -> None:
    before = world.position("green")
    answer = world.green.call("POST", "/transfers", transfer(amountType="RECEIVE"))
    assert answer.body["quoteResponse"]["body"]["transferAmount"]["amount"] == "101"
    assert world.position("green") - before == 101


class TestInThreeSteps:
    @pytest.fixture(autouse=True)
    def _stops(self, shared_world: World) -> Any:
        shared_world.green.set(auto_accept_party=False, auto_accept_quotes=False)
        yield
        shared_world.green.set(auto_accept_party=True, auto_accept_quotes=True)

    def test_payee_and_terms_are_accepted_over_a_crash_between_any_two_steps(self, world: World) -> None:
        before = world.position("green")
        found = world.green.call("POST", "/transfers", transfer()).body
        assert found["currentState"] == "WAITING_FOR_PARTY_ACCEPTANCE"
        assert (found["to"]["fspId"], "quoteResponse" in found) == ("blue", False)
        path = f"/transfers/{found['transferId']}"
        early = world.green.call("PUT", path, {"acceptQuote": True})
        assert (early.status, early.body["statusCode"]) == (400, "3000")
        world.green.restart()
        found = world.green.call("PUT", path, {"acceptParty": True}).body
        assert found["currentState"] == "WAITING_FOR_QUOTE_ACCEPTANCE"
        assert world.green.call("PUT", path, {"acceptParty": True}).body == found
        world.green.restart()
        assert world.green.call("GET", path).body["currentState"] == "WAITING_FOR_QUOTE_ACCEPTANCE"
        assert world.position("green") == before
        for _ in range(2):
            found = world.green.call("PUT", path, {"acceptQuote": True}).body
            assert found["currentState"] == "COMPLETED"
        assert world.position("green") - before == 100
        assert len(world.blue.core.bodies("POST", "/transfers")) == 1

    def test_what_is_not_accepted_is_not_paid(self, world: World) -> None:
        before = world.position("green")
        for answers in ([{"acceptParty": False}], [{"acceptParty": True}, {"acceptQuote": False}]):
            found = world.green.call("POST", "/transfers", transfer()).body
            for body in answers:
                found = world.green.call("PUT", f"/transfers/{found['transferId']}", body).body
            assert found["currentState"] == "ABORTED"
            again = world.green.call("PUT", f"/transfers/{found['transferId']}", {"acceptQuote": True})
            assert (again.status, again.body["statusCode"]) == (500, "4100")
        assert world.position("green") == before
        assert world.blue.core.bodies("POST", "/transfers") == []


def quote_wanted(**changes: Any) -> dict[str, Any]:
    info = {"partyIdType": "MSISDN", "partyIdentifier": "255712001001", "fspId": "green"}
    quote = {
        "quoteId": str(uuid.uuid4()),
        "transactionId": str(uuid.uuid4()),
        "payer": {"partyIdInfo": info},
        "payee": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": BARAKA, "fspId": "blue"}},
        "amountType": "SEND",
        "amount": {"currency": "TZS", "amount": "100"},
        "transactionType": {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"},
    } | changes
    return {"fspId": "blue", "quotesPostRequest": quote}


def simple_transfer(asked: dict[str, Any], offer: dict[str, Any]) -> dict[str, Any]:
    """POST /simpleTransfers of green's front end, on the terms of an earlier POST /quotes."""
    body = {
        "transferId": asked["quotesPostRequest"]["transactionId"],
        "payerFsp": "green",
        "payeeFsp": "blue",
        "amount": offer["transferAmount"],
        "ilpPacket": offer["ilpPacket"],
        "condition": offer["condition"],
        "expiration": offer["expiration"],
    }
    return {"fspId": "blue", "transfersPostRequest": body}


def test_quote_and_transfer_are_sent_one_by_one(world: World) -> None:
    asked = quote_wanted()
    answer = world.green.call("POST", "/quotes", asked)
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    offer = answer.body["quotes"]["body"]
    assert answer.body["quotes"]["headers"]["fspiop-source"] == "blue"
    sent = simple_transfer(asked, offer)
    body = sent["transfersPostRequest"]
    before = world.position("green")
    for _ in range(2):
        answer = world.green.call("POST", "/simpleTransfers", sent)
        assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
        assert answer.body["transfer"]["body"]["transferState"] == "COMMITTED"
    assert world.position("green") - before == 100
    assert world.green.call("GET", f"/simpleTransfers/{body['transferId']}").body == answer.body
    # The same terms pay once.
    other = body | {"transferId": str(uuid.uuid4())}
    answer = world.green.call("POST", "/simpleTransfers", {"fspId": "blue", "transfersPostRequest": other})
    assert (answer.status, answer.body["statusCode"]) == (500, "5105"), answer
    for changes, code in (({"payerFsp": "blue"}, "3100"), ({"payeeFsp": "red"}, "3100"), ({"amount": None}, "3101")):
        wrong = {"fspId": "blue", "transfersPostRequest": other | changes}
        answer = world.green.call("POST", "/simpleTransfers", wrong)
        assert (answer.status, answer.body["statusCode"]) == (400, code), answer
    assert world.position("green") - before == 100


def test_a_quote_that_is_refused_says_why(world: World) -> None:
    answer = world.green.call("POST", "/quotes", quote_wanted(amount={"currency": "TZS", "amount": NO_TERMS}))
    assert (answer.status, answer.body["statusCode"]) == (500, "5101"), answer
    answer = world.green.call("POST", "/quotes", quote_wanted() | {"fspId": "nobody"})
    assert (answer.status, answer.body["statusCode"]) == (500, "3201"), answer


def test_parties(world: World) -> None:
    answer = world.green.call("GET", f"/parties/MSISDN/{BARAKA}")
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert answer.body["party"]["body"]["partyIdInfo"]["fspId"] == "blue"
    assert answer.body["party"]["headers"]
    answer = world.green.call("GET", f"/parties/MSISDN/{GHOST}")
    assert (answer.status, answer.body["errorInformation"]["errorCode"]) == (404, "3204")
    answer = world.green.call("GET", "/parties/NOTYPE/1")
    assert (answer.status, answer.body["statusCode"]) == (400, "3100")


def test_a_sub_id_that_the_core_does_not_know(world: World) -> None:
    """The hub knows whose it is, and the core of its DFSP says no."""
    shop = UNKNOWN + "shop"
    body = [{"idType": "BUSINESS", "idValue": shop, "idSubValue": "till-1"}]
    assert world.blue.call("POST", "/accounts", body).status == 200
    path = f"/parties/BUSINESS/{shop}/till-1"
    answer = world.green.call("GET", path)
    assert (answer.status, answer.body["errorInformation"]["errorCode"]) == (404, "3204"), answer
    assert world.blue.core.bodies("GET", path) == [None]
    assert world.blue.call("DELETE", f"/accounts/BUSINESS/{shop}/till-1").status == 200


def test_accounts_with_and_without_a_sub_id(world: World) -> None:
    body = [
        {"idType": "BUSINESS", "idValue": "shop", "idSubValue": "till-1", "currency": "TZS"},
        {"idType": "MSISDN", "idValue": "255655009009", "currency": "TZS"},
        {"idType": "MSISDN", "idValue": "not-a-number", "currency": "KES"},
        {"idType": "MSISDN", "idValue": "255655009010", "currency": "KES"},
    ]
    answer = world.blue.call("POST", "/accounts", body)
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    faults = [found["idValue"] for found in answer.body["response"] if "error" in found]
    assert (len(answer.body["response"]), faults) == (4, ["not-a-number"])
    found = world.green.call("GET", "/parties/BUSINESS/shop/till-1")
    assert found.body["party"]["body"]["partyIdInfo"]["partySubIdOrType"] == "till-1", found
    assert world.blue.core.bodies("GET", "/parties/BUSINESS/shop/till-1") == [None]
    for path in ("/accounts/BUSINESS/shop/till-1", "/accounts/MSISDN/255655009009"):
        answer = world.blue.call("DELETE", path)
        assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
        answer = world.blue.call("DELETE", path)
        assert (answer.status, answer.body["executionState"]["currentState"]) == (500, "ERROR_OCCURRED"), answer
    assert world.green.call("GET", "/parties/BUSINESS/shop/till-1").status == 404
    answer = world.green.call("POST", "/accounts", [{"idType": "MSISDN", "idValue": BARAKA}])
    assert (answer.status, answer.body["statusCode"]) == (500, "3003"), answer
    assert answer.body["executionState"]["lastError"]["httpStatusCode"] == 500
    assert world.green.call("POST", "/accounts", [{"idType": "MSISDN"}]).status == 400
