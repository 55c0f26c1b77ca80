"""Requests to pay by the reference client's outbound API: blue's customer asks green's, and green pays or does not."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.reference.core import REFUSED
from tests.reference.world import ASHA, BARAKA, World, to, until

pytestmark = pytest.mark.live


def wanted(**changes: Any) -> dict[str, Any]:
    """POST /requestToPay of blue's front end: `from` pays, `to` is paid."""
    return {
        "homeR2PTransactionId": str(uuid.uuid4()),
        "from": to(ASHA),
        "to": to(BARAKA, displayName="Baraka", type="BUSINESS"),
        "amountType": "SEND",
        "currency": "TZS",
        "amount": "100",
        "transactionType": "PAYMENT",
    } | changes


def payment(request_id: str, **changes: Any) -> dict[str, Any]:
    """POST /requestToPayTransfer of green's front end."""
    return {
        "homeR2PTransactionId": str(uuid.uuid4()),
        "transactionRequestId": request_id,
        "from": to(ASHA),
        "to": to(BARAKA, fspId="blue"),
        "amountType": "SEND",
        "currency": "TZS",
        "amount": "100",
        "scenario": "PAYMENT",
        "initiator": "PAYEE",
        "initiatorType": "BUSINESS",
    } | changes


def asked(world: World, **changes: Any) -> str:
    """A request of blue that green has received; its id."""
    answer = world.blue.call("POST", "/requestToPay", wanted(**changes))
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    return str(answer.body["transactionRequestId"])


def test_a_request_is_made_and_paid_once_its_terms_are_accepted(world: World) -> None:
    body = wanted()
    answer = world.blue.call("POST", "/requestToPay", body)
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert answer.body["from"]["fspId"] == "green"
    assert answer.body["transactionRequestResponse"]["body"]["transactionRequestState"] == "RECEIVED"
    assert answer.body["getPartiesResponse"]["body"]["party"]["partyIdInfo"]["fspId"] == "green"
    request_id = answer.body["transactionRequestId"]
    (told,) = world.green.core.bodies("POST", "/transactionrequests")
    assert (told["transactionRequestId"], told["to"]["fspId"], told["amount"]) == (request_id, "blue", "100")
    assert world.blue.call("POST", "/requestToPay", body).body == answer.body
    assert len(world.green.core.bodies("POST", "/transactionrequests")) == 1

    before = world.position("green")
    pays = payment(request_id)
    answer = world.green.call("POST", "/requestToPayTransfer", pays)
    assert (answer.status, answer.body["currentState"]) == (200, "WAITING_FOR_QUOTE_ACCEPTANCE"), answer
    world.green.restart()
    for _ in range(2):
        answer = world.green.call("PUT", f"/requestToPayTransfer/{request_id}", {"acceptQuote": True})
        assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert answer.body["fulfil"]["body"]["transferState"] == "COMMITTED"
    assert answer.body["homeR2PTransactionId"] == pays["homeR2PTransactionId"]
    assert world.position("green") - before == 100
    (told,) = world.blue.core.bodies("POST", "/quoterequests")
    assert (told["transactionRequestId"], told["initiator"]) == (request_id, "PAYEE")
    # The core finds its own request again, in the terms and in the transfer.
    assert told["homeR2PTransactionId"] == body["homeR2PTransactionId"]
    (reserved,) = world.blue.core.bodies("POST", "/transfers")
    assert reserved["homeR2PTransactionId"] == body["homeR2PTransactionId"]
    # One request is paid once.
    again = world.green.call("POST", "/requestToPayTransfer", pays)
    assert again.body["transferId"] == answer.body["transferId"]
    other = world.green.call("POST", "/requestToPayTransfer", payment(request_id, amount="101"))
    assert (other.status, other.body["statusCode"]) == (500, "3106")
    assert world.position("green") - before == 100


def test_a_password_is_asked_for_at_the_device_and_accepted(world: World) -> None:
    request_id = asked(world, authenticationType="OTP")
    pays = payment(request_id, initiatorType="DEVICE", authenticationType="OTP")
    answer = world.green.call("POST", "/requestToPayTransfer", pays)
    assert (answer.status, answer.body["currentState"]) == (200, "WAITING_FOR_OTP_ACCEPTANCE"), answer
    entered = answer.body["authorizationResponse"]["body"]
    assert entered["authenticationInfo"] == {"authentication": "OTP", "authenticationValue": "123456"}
    assert [path for method, path, _ in world.blue.core.calls if method == "GET"].count(f"/otp/{request_id}") == 1
    world.green.restart()
    answer = world.green.call("PUT", f"/requestToPayTransfer/{request_id}", {"acceptOTP": True})
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer


def test_a_password_that_cannot_be_had_pays_nothing(world: World) -> None:
    request_id = asked(world)
    before = world.position("green")
    unknown = payment(str(uuid.uuid4()), initiatorType="DEVICE")
    answer = world.green.call("POST", "/requestToPayTransfer", unknown)
    assert (answer.status, answer.body["transferState"]["currentState"]) == (500, "ERROR_OCCURRED"), answer
    world.blue.core.fails["GET /otp"] = _refuses
    answer = world.green.call("POST", "/requestToPayTransfer", payment(request_id, initiatorType="DEVICE"))
    assert (answer.status, answer.body["statusCode"]) == (500, "5100"), answer
    assert world.position("green") == before


def _refuses() -> Any:
    from tests.reference.core import no

    return no(404, "5100", "the payer entered nothing")


def test_a_request_that_is_refused_says_why(world: World) -> None:
    answer = world.blue.call("POST", "/requestToPay", wanted(amount=REFUSED))
    assert (answer.status, answer.body["statusCode"]) == (500, "4101"), answer
    assert answer.body["requestToPayState"]["currentState"] == "ERROR_OCCURRED"
    answer = world.blue.call("POST", "/requestToPay", wanted(**{"from": to("255000000000")}))
    assert (answer.status, answer.body["statusCode"]) == (500, "3204"), answer
    answer = world.blue.call("POST", "/requestToPay", wanted(amount="x"))
    assert (answer.status, answer.body["statusCode"]) == (400, "3100"), answer


def test_terms_of_a_request_that_are_not_accepted_pay_nothing_and_the_payee_is_told(world: World) -> None:
    request_id = asked(world)
    before = world.position("green")
    world.green.call("POST", "/requestToPayTransfer", payment(request_id))
    answer = world.green.call("PUT", f"/requestToPayTransfer/{request_id}", {"acceptQuote": False})
    assert (answer.status, answer.body["currentState"]) == (200, "ABORTED"), answer
    told = until(lambda: world.blue.core.bodies("PUT", f"/requestToPay/{request_id}"))
    assert [body["transactionRequestState"] for body in told] == ["REJECTED"]
    assert world.position("green") == before


def test_requests_that_nobody_knows(world: World) -> None:
    nobody = uuid.uuid4()
    answer = world.blue.call("PUT", f"/requestToPay/{nobody}", {"acceptParty": True})
    assert (answer.status, answer.body["statusCode"]) == (500, "3206")
    answer = world.green.call("PUT", f"/requestToPayTransfer/{nobody}", {"acceptQuote": True})
    assert (answer.status, answer.body["statusCode"]) == (500, "3206")


class TestInTwoSteps:
    @pytest.fixture(autouse=True)
    def _stops(self, shared_world: World) -> Iterator[None]:
        shared_world.blue.set(auto_accept_r2p_party=False)
        yield
        shared_world.blue.set(auto_accept_r2p_party=True)

    def test_the_payer_is_accepted_or_not(self, world: World) -> None:
        answer = world.blue.call("POST", "/requestToPay", wanted())
        assert answer.body["currentState"] == "WAITING_FOR_PARTY_ACCEPTANCE", answer
        assert world.green.core.bodies("POST", "/transactionrequests") == []
        path = f"/requestToPay/{answer.body['transactionRequestId']}"
        world.blue.restart()
        for _ in range(2):
            answer = world.blue.call("PUT", path, {"acceptParty": True})
            assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
        assert len(world.green.core.bodies("POST", "/transactionrequests")) == 1

        answer = world.blue.call("POST", "/requestToPay", wanted())
        path = f"/requestToPay/{answer.body['transactionRequestId']}"
        assert world.blue.call("PUT", path, {"acceptParty": False}).body["currentState"] == "ABORTED"
        assert world.blue.call("PUT", path, {"acceptParty": True}).status == 500
        assert len(world.green.core.bodies("POST", "/transactionrequests")) == 1
