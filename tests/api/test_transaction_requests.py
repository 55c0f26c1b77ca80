"""Requests to pay: between two DFSPs byte for byte, heard from these two only, ended at their expiration."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from hub.outbox.models import Message
from quotes import tasks
from quotes.models import TransactionRequest
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.api.test_payment import last_message
from tests.world import World

QUERY = "authenticationType=OTP&retriesLeft=2&amount=102&currency=TZS"


def request_to_pay(**changes: Any) -> dict[str, Any]:
    return {
        "transactionRequestId": str(uuid.uuid4()),
        "payee": messages.party("blue", "255655001001"),
        "payer": messages.party("green", "255712001001")["partyIdInfo"],
        "amount": {"currency": "TZS", "amount": "102"},
        "transactionType": {"scenario": "PAYMENT", "initiator": "PAYEE", "initiatorType": "BUSINESS"},
    } | changes


def asked(**changes: Any) -> str:
    """Has blue ask green to pay; returns the path of the request."""
    body = request_to_pay(**changes)
    assert dfsp("POST", "/transactionRequests", body, source="blue", destination="green").status_code == 202
    return f"/transactionRequests/{body['transactionRequestId']}"


def told(message: Message) -> tuple[str, str, str]:
    return message.destination.name, message.method, message.path


def error_code(message: Message) -> str:
    code: str = json.loads(message.body)["errorInformation"]["errorCode"]
    return code


def test_a_request_to_pay_goes_there_and_back_byte_for_byte(committed_world: World) -> None:
    body = request_to_pay()
    raw = json.dumps(body, indent=2).encode()
    assert dfsp("POST", "/transactionRequests", raw, source="blue", destination="green").status_code == 202
    message = last_message()
    assert told(message) == ("green", "POST", "/transactionRequests")
    assert bytes(message.body) == raw
    path = f"/transactionRequests/{body['transactionRequestId']}"
    assert message.error_path == path + "/error"
    for state in ("RECEIVED", "PENDING", "ACCEPTED"):
        answer = json.dumps({"transactionRequestState": state}, indent=1).encode()
        assert dfsp("PUT", path, answer, destination="blue").status_code == 200
        message = last_message()
        assert told(message) == ("blue", "PUT", path)
        assert (bytes(message.body), message.signed_by_hub) == (answer, False)


def test_the_payers_dfsp_may_be_named_in_the_body_alone(committed_world: World) -> None:
    assert dfsp("POST", "/transactionRequests", request_to_pay(), source="blue").status_code == 202
    assert told(last_message()) == ("green", "POST", "/transactionRequests")
    nameless = request_to_pay(payer={"partyIdType": "MSISDN", "partyIdentifier": "255712001001"})
    assert error_of(dfsp("POST", "/transactionRequests", nameless, source="blue")) == (400, "3102")


@pytest.mark.parametrize(
    ("destination", "changes", "code"),
    [
        ("nobody", {}, "3201"),
        ("blue", {}, "3100"),
        ("green", {"expiration": messages.moment(-1)}, "3301"),
    ],
)
def test_what_can_not_be_passed_on_is_answered_with_an_error(
    committed_world: World, destination: str, changes: dict[str, Any], code: str
) -> None:
    body = request_to_pay(**changes)
    assert dfsp("POST", "/transactionRequests", body, source="blue", destination=destination).status_code == 202
    message = last_message()
    assert told(message) == ("blue", "PUT", f"/transactionRequests/{body['transactionRequestId']}/error")
    assert error_code(message) == code
    assert not TransactionRequest.objects.exists()


def test_the_same_id_is_the_same_request_and_with_other_content_refused(committed_world: World) -> None:
    body = request_to_pay()
    for _ in range(2):
        dfsp("POST", "/transactionRequests", body, source="blue", destination="green")
        assert told(last_message()) == ("green", "POST", "/transactionRequests")
    dfsp("POST", "/transactionRequests", body | {"note": "changed"}, source="blue", destination="green")
    assert error_code(last_message()) == "3106"
    dfsp("POST", "/transactionRequests", body, source="red", destination="green")
    assert (last_message().destination.name, error_code(last_message())) == ("red", "3106")
    rejection = {"transactionRequestState": "REJECTED"}
    dfsp("PUT", f"/transactionRequests/{body['transactionRequestId']}", rejection, destination="blue")
    dfsp("POST", "/transactionRequests", body, source="blue", destination="green")
    assert (last_message().destination.name, json.loads(last_message().body)) == ("blue", rejection)
    assert TransactionRequest.objects.count() == 1


def test_after_the_end_the_same_answer_changes_nothing_and_another_is_refused(committed_world: World) -> None:
    path = asked()
    dfsp("PUT", path, {"transactionRequestState": "ACCEPTED"}, destination="blue")
    count = Message.objects.count()
    assert dfsp("PUT", path, {"transactionRequestState": "ACCEPTED"}, destination="blue").status_code == 200
    assert Message.objects.count() == count
    for url, body in ((path, {"transactionRequestState": "REJECTED"}), (path + "/error", messages.error())):
        assert dfsp("PUT", url, body, destination="blue").status_code == 200
        message = last_message()
        assert (message.destination.name, error_code(message)) == ("green", "3106")
    assert TransactionRequest.objects.get().state == "ACCEPTED"


def test_get_asks_the_other_side_until_the_end_is_known(committed_world: World) -> None:
    path = asked()
    dfsp("GET", path, source="blue")
    assert told(last_message()) == ("green", "GET", path)
    dfsp("GET", path, source="green")
    assert told(last_message()) == ("blue", "GET", path)
    refusal = messages.error("4101", "not today")
    assert dfsp("PUT", path + "/error", refusal, destination="blue").status_code == 200
    assert told(last_message()) == ("blue", "PUT", path + "/error")
    dfsp("GET", path, source="blue")
    assert told(last_message()) == ("blue", "PUT", path + "/error")
    assert json.loads(last_message().body) == refusal


def test_a_stranger_learns_nothing_of_a_request_to_pay(committed_world: World) -> None:
    path = asked()
    count = Message.objects.count()
    for url, body in ((path, {"transactionRequestState": "ACCEPTED"}), (path + "/error", messages.error())):
        assert error_of(dfsp("PUT", url, body, source="red", destination="blue")) == (400, "3206")
    assert Message.objects.count() == count
    for known in (path, f"/transactionRequests/{uuid.uuid4()}"):
        dfsp("GET", known, source="red")
        assert (told(last_message()), error_code(last_message())) == (("red", "PUT", known + "/error"), "3206")
    assert TransactionRequest.objects.get().state == "SENT"


def test_who_is_not_answered_in_time_is_told(committed_world: World) -> None:
    path, answered, endless = asked(expiration=messages.moment(60)), asked(expiration=messages.moment(60)), asked()
    dfsp("PUT", answered, {"transactionRequestState": "RECEIVED"}, destination="blue")
    assert tasks.fail_unanswered() == 0
    TransactionRequest.objects.exclude(expires_at=None).update(expires_at=datetime.now(UTC))
    assert tasks.fail_unanswered() == 1
    message = last_message()
    assert (told(message), error_code(message), message.signed_by_hub) == (
        ("blue", "PUT", path + "/error"),
        "3301",
        True,
    )
    assert tasks.fail_unanswered() == 0
    dfsp("GET", path, source="blue")
    assert error_code(last_message()) == "3301"
    dfsp("PUT", path, {"transactionRequestState": "ACCEPTED"}, destination="blue")
    assert (last_message().destination.name, error_code(last_message())) == ("green", "3106")
    states = {row.transaction_request_id: row.state for row in TransactionRequest.objects.all()}
    assert [states[p.rsplit("/", 1)[1]] for p in (path, answered, endless)] == ["FAILED", "RECEIVED", "SENT"]


def test_the_database_keeps_no_request_without_the_answer_that_it_had(world: World) -> None:
    asked()
    with pytest.raises(IntegrityError, match="a_request_that_was_answered_has_its_answer"), transaction.atomic():
        TransactionRequest.objects.update(state="ACCEPTED")
    with pytest.raises(IntegrityError, match="a_request_is_between_two_participants"), transaction.atomic():
        TransactionRequest.objects.update(payer_id=world.ids["blue"])


def test_an_authorization_is_asked_of_the_payees_side_and_answered(committed_world: World) -> None:
    path = asked().replace("transactionRequests", "authorizations")
    for destination in ("blue", None):
        assert dfsp("GET", f"{path}?{QUERY}", destination=destination).status_code == 202
        message = last_message()
        assert (told(message), message.error_path) == (("blue", "GET", f"{path}?{QUERY}"), path + "/error")
    info = {"authentication": "OTP", "authenticationValue": "1234"}
    answer = json.dumps({"authenticationInfo": info, "responseType": "ENTERED"}, indent=1).encode()
    assert dfsp("PUT", path, answer, source="blue", destination="green").status_code == 200
    assert (told(last_message()), bytes(last_message().body)) == (("green", "PUT", path), answer)
    assert dfsp("PUT", path + "/error", messages.error(), source="blue", destination="green").status_code == 200
    assert told(last_message()) == ("green", "PUT", path + "/error")


def test_an_authorization_about_others_request_is_not_passed_on(committed_world: World) -> None:
    path = asked().replace("transactionRequests", "authorizations")
    count = Message.objects.count()
    body = {"responseType": "REJECTED"}
    assert error_of(dfsp("PUT", path, body, source="red", destination="green")) == (400, "3206")
    assert Message.objects.count() == count
    dfsp("GET", f"{path}?{QUERY}", source="red", destination="blue")
    assert (last_message().destination.name, error_code(last_message())) == ("red", "3206")
    dfsp("GET", f"{path}?{QUERY}", source="green", destination="red")
    assert (last_message().destination.name, error_code(last_message())) == ("green", "3206")


def test_an_authorization_that_the_hub_knows_nothing_of_goes_where_it_is_sent(committed_world: World) -> None:
    path = f"/authorizations/{uuid.uuid4()}"
    dfsp("GET", f"{path}?{QUERY}", destination="blue")
    assert told(last_message()) == ("blue", "GET", f"{path}?{QUERY}")
    dfsp("GET", f"{path}?{QUERY}", destination="nobody")
    assert (last_message().destination.name, error_code(last_message())) == ("green", "3201")
    dfsp("GET", f"{path}?{QUERY}")
    assert error_code(last_message()) == "3206"
    assert error_of(dfsp("GET", f"{path}?{QUERY}&more={'x' * 2000}", destination="blue")) == (400, "3100")


@pytest.mark.parametrize("name", ["authenticationType", "retriesLeft", "amount", "currency"])
def test_an_authorization_names_all_of_its_query(world: World, name: str) -> None:
    path = f"/authorizations/{uuid.uuid4()}"
    without = "&".join(pair for pair in QUERY.split("&") if not pair.startswith(name))
    response = dfsp("GET", f"{path}?{without}", destination="blue")
    assert error_of(response) == (400, "3102")
    assert name in response.content.decode()
    twice = dfsp("GET", f"{path}?{QUERY}&{name}=1", destination="blue")
    assert error_of(twice) == (400, "3100")
    assert name in twice.content.decode()


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("authenticationType", "PIN", "3100"),
        ("retriesLeft", "many", "3101"),
        ("retriesLeft", "0", "3100"),
        ("retriesLeft", "-1", "3100"),
        ("amount", "1.10", "3100"),
        ("amount", "", "3100"),
        ("currency", "TZ", "3100"),
    ],
)
def test_a_spoilt_query_of_an_authorization_is_refused_by_name(world: World, name: str, value: str, code: str) -> None:
    count = Message.objects.count()
    query = "&".join(f"{name}={value}" if pair.startswith(name) else pair for pair in QUERY.split("&"))
    response = dfsp("GET", f"/authorizations/{uuid.uuid4()}?{query}", destination="blue")
    assert error_of(response) == (400, code)
    assert name in response.content.decode()
    assert Message.objects.count() == count


def test_a_transaction_is_asked_of_the_other_party_of_its_quote(committed_world: World) -> None:
    quote = messages.quote()
    dfsp("POST", "/quotes", quote, destination="blue")
    path = f"/transactions/{quote['transactionId']}"
    dfsp("GET", path)
    assert told(last_message()) == ("blue", "GET", path)
    answer = json.dumps({"transactionState": "COMPLETED", "code": "TOKEN123"}, indent=1).encode()
    assert dfsp("PUT", path, answer, source="blue", destination="green").status_code == 200
    assert (told(last_message()), bytes(last_message().body)) == (("green", "PUT", path), answer)
    assert dfsp("PUT", path + "/error", messages.error("3207"), source="blue", destination="green").status_code == 200
    assert told(last_message()) == ("green", "PUT", path + "/error")
    assert error_of(dfsp("PUT", path, answer, source="red", destination="green")) == (400, "3207")
    for unknown, source in ((path, "red"), (f"/transactions/{uuid.uuid4()}", "green")):
        dfsp("GET", unknown, source=source)
        assert (told(last_message()), error_code(last_message())) == ((source, "PUT", unknown + "/error"), "3207")


@pytest.mark.parametrize("resource", ["transactionRequests", "authorizations", "transactions"])
def test_an_id_is_a_uuid_or_a_ulid(world: World, resource: str) -> None:
    assert error_of(dfsp("GET", f"/{resource}/42?{QUERY}", destination="blue")) == (400, "3100")
    state = {"transactionRequestState": "RECEIVED", "responseType": "RESEND", "transactionState": "PENDING"}
    for path, body in ((f"/{resource}/42", state), (f"/{resource}/42/error", messages.error())):
        assert error_of(dfsp("PUT", path, body, destination="blue")) == (400, "3100")
