"""A payment through the API: who is told what, byte for byte, and what resends and strangers get."""

import json
import uuid

from hub.outbox.models import Message
from ledger import invariants
from ledger.models import Account, Transfer
from tests.api import messages
from tests.api.caller import admin, description_of, dfsp, error_of
from tests.world import World, amount


def last_message() -> Message:
    return Message.objects.select_related("destination").latest("created_at", "id")


def test_an_alias_is_registered_looked_up_and_withdrawn(world: World) -> None:
    assert dfsp("POST", "/participants/MSISDN/255655001001", {"fspId": "blue"}, source="blue").status_code == 202
    answer = last_message()
    assert (answer.destination.name, answer.method, answer.path) == ("blue", "PUT", "/participants/MSISDN/255655001001")
    assert json.loads(answer.body)["partyList"] == [
        {"partyIdType": "MSISDN", "partyIdentifier": "255655001001", "fspId": "blue"}
    ]
    assert dfsp("GET", "/parties/MSISDN/255655001001").status_code == 202
    asked = last_message()
    assert (asked.destination.name, asked.method, asked.path) == ("blue", "GET", "/parties/MSISDN/255655001001")
    assert asked.headers["fspiop-destination"] == "blue"
    assert asked.headers["fspiop-source"] == "green"

    assert dfsp("DELETE", "/participants/MSISDN/255655001001", source="blue").status_code == 202
    assert json.loads(last_message().body) == {"fspId": "blue"}
    dfsp("GET", "/parties/MSISDN/255655001001")
    refusal = last_message()
    assert (refusal.destination.name, refusal.path) == ("green", "/parties/MSISDN/255655001001/error")
    assert json.loads(refusal.body)["errorInformation"]["errorCode"] == "3204"


def test_nobody_takes_over_anothers_alias(world: World) -> None:
    dfsp("POST", "/participants/MSISDN/1", {"fspId": "blue"}, source="blue")
    dfsp("POST", "/participants/MSISDN/1", {"fspId": "red"}, source="red")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3003"
    dfsp("POST", "/participants/MSISDN/2", {"fspId": "blue"}, source="red")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3003"
    dfsp("GET", "/participants/MSISDN/1", source="green")
    assert json.loads(last_message().body) == {"fspId": "blue"}


def test_many_aliases_at_once_each_have_a_result(world: World) -> None:
    parties = [
        {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "blue"},
        {"partyIdType": "MSISDN", "partyIdentifier": "2", "fspId": "red"},
        {"partyIdType": "ACCOUNT_ID", "partyIdentifier": "3", "fspId": "blue"},
    ]
    request_id = str(uuid.uuid4())
    body = {"requestId": request_id, "partyList": parties, "currency": "TZS"}
    assert dfsp("POST", "/participants", body, source="blue").status_code == 200
    answer = last_message()
    assert answer.path == f"/participants/{request_id}"
    results = {
        result["partyId"]["partyIdentifier"]: result.get("errorInformation", {}).get("errorCode")
        for result in json.loads(answer.body)["partyList"]
    }
    assert results == {"1": None, "2": "3204", "3": "3003"}


def test_a_quote_goes_there_and_back_byte_for_byte(committed_world: World) -> None:
    body = messages.quote()
    raw = json.dumps(body, indent=2).encode()
    assert dfsp("POST", "/quotes", raw, destination="blue").status_code == 202
    asked = last_message()
    assert (asked.destination.name, asked.path, bytes(asked.body)) == ("blue", "/quotes", raw)
    told = json.dumps(messages.terms(), indent=1).encode()
    path = f"/quotes/{body['quoteId']}"
    assert dfsp("PUT", path, told, source="blue", destination="green").status_code == 200
    answered = last_message()
    assert (answered.destination.name, answered.path, bytes(answered.body)) == ("green", path, told)
    count = Message.objects.count()
    assert dfsp("PUT", path, told, source="blue", destination="green").status_code == 200
    assert Message.objects.count() == count

    assert error_of(dfsp("PUT", path, messages.terms(), source="red", destination="green")) == (400, "3205")
    dfsp("POST", "/quotes", body | {"note": "changed"}, destination="blue")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3106"
    dfsp("POST", "/quotes", messages.quote(), destination="nobody")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3201"


def test_a_payee_that_converts_needs_an_active_account_in_some_currency(committed_world: World) -> None:
    """Before its terms, a payee that converts has not said in which currency it is paid."""
    version = {"content-type": "application/vnd.interoperability.quotes+json;version=2.0"}
    body = messages.quote(converter="PAYEE")
    assert dfsp("POST", "/quotes", body, destination="blue", headers=version).status_code == 202
    assert (last_message().destination.name, last_message().path) == ("blue", "/quotes")
    Account.objects.filter(participant__name="blue").update(is_active=False)
    again = messages.quote(converter="PAYEE")
    assert dfsp("POST", "/quotes", again, destination="blue", headers=version).status_code == 202
    assert last_message().destination.name == "green"
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3201"


def test_terms_that_ask_for_an_answer_are_not_passed_on(committed_world: World) -> None:
    body = messages.quote()
    dfsp("POST", "/quotes", body, destination="blue")
    path = f"/quotes/{body['quoteId']}"
    headers = {"accept": "application/vnd.interoperability.quotes+json;version=1"}
    answer = dfsp("PUT", path, messages.terms(), source="blue", destination="green", headers=headers)
    assert answer.status_code == 200
    refusal = last_message()
    assert (refusal.destination.name, refusal.path) == ("blue", path + "/error")
    information = json.loads(refusal.body)["errorInformation"]
    assert (information["errorCode"], "accept" in information["errorDescription"]) == ("3100", True)
    # What an HTTP client says by itself is no such question.
    headers = {"accept": "*/*"}
    assert dfsp("PUT", path, messages.terms(), source="blue", destination="green", headers=headers).status_code == 200
    assert (last_message().destination.name, last_message().path) == ("green", path)


def test_a_transfer_commits_and_the_payer_gets_the_payees_own_words(committed_world: World) -> None:
    body = messages.transfer()
    raw = json.dumps(body, indent=2).encode()
    assert dfsp("POST", "/transfers", raw, destination="blue").status_code == 202
    asked = last_message()
    assert (asked.destination.name, asked.method, asked.path, bytes(asked.body)) == ("blue", "POST", "/transfers", raw)
    assert committed_world.position("green") == amount(100)
    told = json.dumps(messages.fulfilment(), indent=3).encode()
    path = f"/transfers/{body['transferId']}"
    assert dfsp("PUT", path, told, source="blue", destination="green").status_code == 200
    answered = last_message()
    assert (answered.destination.name, answered.method, answered.path) == ("green", "PUT", path)
    assert bytes(answered.body) == told
    assert not answered.signed_by_hub
    positions = admin("GET", "/participants/green/positions").json()
    assert [(position["currency"], position["value"]) for position in positions] == [("TZS", 100)]
    assert invariants.find_breaks() == []


def test_a_payee_that_answers_reserved_is_told_the_end_by_patch(committed_world: World) -> None:
    body = messages.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    path = f"/transfers/{body['transferId']}"
    dfsp("PUT", path, messages.fulfilment(transferState="RESERVED"), source="blue", destination="green")
    to_payer, to_payee = Message.objects.filter(subject=body["transferId"]).order_by("id")[1:]
    assert (to_payer.destination.name, to_payer.method) == ("green", "PUT")
    assert json.loads(to_payer.body)["transferState"] == "COMMITTED"
    assert to_payer.signed_by_hub
    assert to_payer.headers["fspiop-source"] == "Hub"
    assert (to_payee.destination.name, to_payee.method, to_payee.path) == ("blue", "PATCH", path)
    assert set(json.loads(to_payee.body)) == {"transferState", "completedTimestamp"}


def test_each_changed_field_of_a_resend_is_refused_and_the_original_stands(committed_world: World) -> None:
    body = messages.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    changes: dict[str, object] = {
        "payeeFsp": "red",
        "amount": {"currency": "TZS", "amount": "101"},
        "ilpPacket": "AYIBgQ",
        "condition": "A" * 43,
        "expiration": messages.moment(120),
        "extensionList": {"extension": [{"key": "k", "value": "v"}]},
    }
    for changed in changes.items():
        dfsp("POST", "/transfers", body | dict([changed]), destination="blue")
        refusal = last_message()
        assert refusal.path == f"/transfers/{body['transferId']}/error"
        assert json.loads(refusal.body)["errorInformation"]["errorCode"] == "3106"
    # Equality is that of the content: the order of keys does not matter.
    dfsp("POST", "/transfers", dict(reversed(body.items())), destination="blue")
    assert json.loads(last_message().body) == {"transferState": "RESERVED"}
    assert Message.objects.filter(kind="prepare").count() == 1
    assert committed_world.position("green") == amount(100)


def test_a_stranger_ends_no_transfer_and_learns_nothing(committed_world: World) -> None:
    body = messages.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    path = f"/transfers/{body['transferId']}"
    unknown = f"/transfers/{uuid.uuid4()}"
    count = Message.objects.count()
    for source in ("red", "grey", "green"):
        for url, sent in ((path, messages.fulfilment()), (path + "/error", messages.error())):
            refused = dfsp("PUT", url, sent, source=source, destination="green")
            assert error_of(refused) == (400, "3208")
            assert description_of(refused) == description_of(
                dfsp("PUT", unknown, messages.fulfilment(), source=source, destination="green")
            )
    assert Message.objects.count() == count
    assert Transfer.objects.get(pk=body["transferId"]).state == "RESERVED"


def test_get_tells_payer_and_payee_the_state_and_others_nothing(committed_world: World) -> None:
    body = messages.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    path = f"/transfers/{body['transferId']}"
    for source in ("green", "blue"):
        assert dfsp("GET", path, source=source).status_code == 202
        answer = last_message()
        assert (answer.destination.name, answer.path) == (source, path)
        assert json.loads(answer.body) == {"transferState": "RESERVED"}
    dfsp("GET", path, source="grey")
    answer = last_message()
    assert (answer.destination.name, answer.path) == ("grey", path + "/error")
    assert "RESERVED" not in bytes(answer.body).decode()


def test_an_error_code_of_the_scheme_reaches_the_payer_as_the_payee_wrote_it(committed_world: World) -> None:
    body = messages.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    raw = json.dumps(messages.error(5240, "over our own limit")).encode()
    path = f"/transfers/{body['transferId']}/error"
    assert dfsp("PUT", path, raw, source="blue", destination="green").status_code == 200
    assert bytes(last_message().body) == raw
    assert committed_world.position("green") == 0


def test_caps_and_cover_are_told_apart(committed_world: World) -> None:
    committed_world.onboard("poor", ndc=1000, cover=10)
    dfsp("POST", "/transfers", messages.transfer(amount={"currency": "TZS", "amount": "1001"}), destination="blue")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "4200"
    poor = messages.transfer(payerFsp="poor", amount={"currency": "TZS", "amount": "11"})
    dfsp("POST", "/transfers", poor, source="poor", destination="blue")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "4001"
