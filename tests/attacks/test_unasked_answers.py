"""Answers to questions that were never asked: each is refused at once, stands in nobody's queue and changes nothing."""

import uuid
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import override_settings

from hub.outbox.models import Message
from quotes.models import TransactionRequest
from tests import proofs
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.api.test_transaction_requests import QUERY, asked
from tests.directory.requests import register
from tests.world import World

PATH = "/parties/MSISDN/255655001001"
ENTERED = {
    "authenticationInfo": {"authentication": "OTP", "authenticationValue": "1234"},
    "responseType": "ENTERED",
}


def party(fsp: str) -> dict[str, Any]:
    return {"party": messages.party(fsp, "255655001001")}


def came_of(response: HttpResponse) -> tuple[int, str]:
    """(HTTP status, error code); without a code where the message was taken."""
    return error_of(response) if response.content else (response.status_code, "")


def told(name: str) -> list[tuple[str, bytes]]:
    """(path, body) of what waits in the outbox for a DFSP, in the order in which it will be delivered."""
    found = Message.objects.filter(destination__name=name, method="PUT").order_by("id")
    return [(path, bytes(body)) for path, body in found.values_list("path", "body")]


@pytest.fixture
def blues_customer(world: World) -> None:
    register("MSISDN/255655001001", "blue")
    Message.objects.all().delete()


@pytest.mark.usefixtures("blues_customer")
@pytest.mark.parametrize(("end", "false"), [("", party("red")), ("/error", messages.error("3204", "no such party"))])
def test_answers_sent_before_anybody_asks_do_not_stand_before_the_true_one(end: str, false: dict[str, Any]) -> None:
    answers = [dfsp("PUT", PATH + end, false, source="red", destination="green") for _ in range(150)]
    assert {came_of(answer) for answer in answers} == {(400, "3000")}
    assert told("green") == []
    assert dfsp("GET", PATH).status_code == 202
    assert came_of(dfsp("PUT", PATH + end, false, source="red", destination="green")) == (400, "3000")
    assert dfsp("PUT", PATH, party("blue"), source="blue", destination="green").status_code == 200
    ((path, body),) = told("green")
    assert path == PATH
    assert b'"fspId": "blue"' in body


@pytest.mark.usefixtures("blues_customer")
def test_not_even_the_dfsp_that_serves_the_customer_answers_before_it_is_asked() -> None:
    for end, body in (("", party("blue")), ("/error", messages.error("3204"))):
        assert came_of(dfsp("PUT", PATH + end, body, source="blue", destination="green")) == (400, "3000")
    assert not Message.objects.exists()


@pytest.mark.usefixtures("blues_customer")
def test_an_answer_for_one_requester_does_not_reach_another() -> None:
    dfsp("GET", PATH, source="green")
    for requester in ("red", "grey"):
        refused = dfsp("PUT", PATH, party("blue"), source="blue", destination=requester)
        assert came_of(refused) == (400, "3000")
        assert told(requester) == []
    assert dfsp("PUT", PATH, party("blue"), source="blue", destination="green").status_code == 200
    assert len(told("green")) == 1


@pytest.mark.usefixtures("blues_customer")
def test_who_is_asked_about_one_alias_does_not_answer_about_another() -> None:
    register(f"MSISDN/{PATH.rsplit('/', 1)[1]}/shop", "red")
    register("MSISDN/255655009999", "red")
    Message.objects.all().delete()
    for path in (PATH + "/shop", "/parties/MSISDN/255655009999"):
        dfsp("GET", path)
        for url in (PATH, PATH + "/error"):
            body = messages.error("3204") if url.endswith("/error") else party("red")
            assert came_of(dfsp("PUT", url, body, source="red", destination="green")) == (400, "3000")
    assert told("green") == []


@override_settings(**proofs.SIGNED)
@pytest.mark.usefixtures("blues_customer")
def test_a_true_signature_makes_no_question_of_an_unasked_answer() -> None:
    for name in ("red", "blue"):
        proofs.register_key(name)
    false = proofs.signed_dfsp("PUT", PATH, party("red"), source="red", destination="green")
    assert came_of(false) == (400, "3000")
    dfsp("GET", PATH)
    assert came_of(proofs.signed_dfsp("PUT", PATH, party("red"), source="red", destination="green")) == (400, "3000")
    assert proofs.signed_dfsp("PUT", PATH, party("blue"), source="blue", destination="green").status_code == 200
    assert len(told("green")) == 1


@pytest.mark.parametrize("source", ["blue", "red"])
def test_an_authorization_that_was_not_asked_for_reaches_nobody(world: World, source: str) -> None:
    known = asked().replace("transactionRequests", "authorizations")
    Message.objects.all().delete()
    for path in (known, f"/authorizations/{uuid.uuid4()}"):
        for url, body in ((path, ENTERED), (path + "/error", messages.error())):
            for destination in ("green", None):
                refused = dfsp("PUT", url, body, source=source, destination=destination)
                assert came_of(refused) == (400, "3206")
    assert not Message.objects.exists()


@pytest.mark.parametrize("source", ["blue", "red"])
def test_what_became_of_a_transaction_that_nobody_asked_after_reaches_nobody(world: World, source: str) -> None:
    quote = messages.quote()
    dfsp("POST", "/quotes", quote, destination="blue")
    Message.objects.all().delete()
    for number in (quote["transactionId"], str(uuid.uuid4())):
        path = f"/transactions/{number}"
        for url, body in ((path, {"transactionState": "COMPLETED"}), (path + "/error", messages.error("3207"))):
            assert came_of(dfsp("PUT", url, body, source=source, destination="green")) == (400, "3207")
    assert not Message.objects.exists()


def test_a_payee_does_not_answer_its_own_request_to_pay(world: World) -> None:
    path = asked()
    Message.objects.all().delete()
    accepted = {"transactionRequestState": "ACCEPTED"}
    for url, body in ((path, accepted), (path + "/error", messages.error("4101"))):
        assert came_of(dfsp("PUT", url, body, source="blue", destination="green"))[0] == 400
    assert not Message.objects.exists()
    assert TransactionRequest.objects.get().state == "SENT"


def test_an_authorization_that_was_asked_of_one_dfsp_is_not_given_by_another(world: World) -> None:
    path = f"/authorizations/{uuid.uuid4()}"
    assert dfsp("GET", f"{path}?{QUERY}", destination="blue").status_code == 202
    for url, body in ((path, ENTERED), (path + "/error", messages.error())):
        assert came_of(dfsp("PUT", url, body, source="red", destination="green")) == (400, "3206")
        assert came_of(dfsp("PUT", url, body, source="blue", destination="grey")) == (400, "3206")
    assert told("green") == told("grey") == []
    assert dfsp("PUT", path, ENTERED, source="blue", destination="green").status_code == 200
    assert [url for url, _ in told("green")] == [path]
