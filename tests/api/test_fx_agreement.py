"""Finding an FXP and agreeing on a conversion: who is told what, byte for byte (FSPIOP API v2.0)."""

import json
import uuid
from typing import Any

import pytest

from hub.audit.models import Entry as AuditEntry
from hub.outbox.models import Message
from hub.participants import endpoint_types_and_urls
from hub.participants import services as participants
from hub.participants.models import Participant
from quotes.models import FxQuote
from tests.api import messages
from tests.api.caller import admin, dfsp, error_of
from tests.api.fx_messages import fx_quote, fx_terms
from tests.fx_world import open_kes
from tests.outbox.messages import deliver_all
from tests.world import World


def last_message() -> Message:
    return Message.objects.select_related("destination").latest("created_at", "id")


def fx(method: str, path: str, body: Any = None, **more: Any) -> Any:
    media_type = f"application/vnd.interoperability.{path.split('/')[1]}+json"
    accept = {"accept": f"{media_type};version=2"} if method in ("GET", "POST") else {}
    return dfsp(method, path, body, version="2.0", headers=accept, **more)


@pytest.fixture
def scheme(committed_world: World) -> World:
    committed_world.onboard("fxp", ndc=1000, cover=5000)
    return open_kes(committed_world, "fxp")


# --- who converts? --------------------------------------------------------------------------------------------------


def test_a_dfsp_learns_who_converts_a_pair_of_currencies(scheme: World) -> None:
    offer = {"sourceCurrency": "TZS", "targetCurrency": "KES"}
    for name in ("fxp", "red"):
        assert admin("POST", f"/participants/{name}/currencyPairs", offer).json() == offer
    assert admin("POST", "/participants/fxp/currencyPairs", offer).status_code == 201  # again changes nothing
    assert AuditEntry.objects.filter(subject="fxp", action="pair_offered").count() == 1
    path = "/services/FXP/TZS/KES"
    assert fx("GET", path).status_code == 202
    answer = last_message()
    assert (answer.destination.name, answer.method, answer.path) == ("green", "PUT", path)
    assert answer.headers["content-type"] == "application/vnd.interoperability.services+json;version=2.0"
    assert (answer.headers["fspiop-source"], answer.signed_by_hub) == ("Hub", True)
    assert json.loads(answer.body) == {"providers": ["red", "fxp"]}
    fx("GET", "/services/FXP/KES/TZS")
    assert json.loads(last_message().body) == {"providers": []}

    admin("POST", "/participants/fxp/currencyPairs", {"sourceCurrency": "TZS", "targetCurrency": "USD"})
    participants.set_active(Participant.objects.get(name="red"), is_active=False, actor="test")
    fx("GET", "/services/FXP")
    assert (last_message().path, json.loads(last_message().body)) == ("/services/FXP", {"providers": ["fxp"]})

    assert admin("DELETE", "/participants/fxp/currencyPairs/TZS/KES").status_code == 204
    assert error_of(admin("DELETE", "/participants/fxp/currencyPairs/TZS/KES")) == (400, "3200")
    assert admin("GET", "/participants/fxp/currencyPairs").json() == [
        {"sourceCurrency": "TZS", "targetCurrency": "USD"}
    ]
    fx("GET", path)
    assert json.loads(last_message().body) == {"providers": []}


def test_a_scheme_that_registered_no_fxp_says_so(scheme: World) -> None:
    fx("GET", "/services/FXP")
    assert json.loads(last_message().body) == {"providers": []}


def test_a_pair_is_of_two_currencies(scheme: World) -> None:
    for source, target, code in (("TZS", "TZS", "3100"), ("TZS", "ZZZ", "3101"), ("ZZZ", "TZS", "3101")):
        offer = {"sourceCurrency": source, "targetCurrency": target}
        assert error_of(admin("POST", "/participants/fxp/currencyPairs", offer)) == (400, code)
    assert error_of(fx("GET", "/services/FXP/TZS/ZZZ")) == (400, "3100")
    assert error_of(fx("GET", "/services/FXP/TZS")) == (404, "3002")
    assert Message.objects.count() == 0


def test_a_list_of_providers_is_taken_from_a_participant_and_makes_nobody_one(scheme: World) -> None:
    assert fx("PUT", "/services/FXP/TZS/KES", {"providers": ["grey"]}, source="grey").status_code == 200
    assert fx("PUT", "/services/FXP", {"providers": []}, source="grey").status_code == 200
    assert error_of(fx("PUT", "/services/FXP", {"providers": ["x"] * 17}, source="grey")) == (400, "3103")
    fx("GET", "/services/FXP/TZS/KES")
    assert json.loads(last_message().body) == {"providers": []}


def test_the_list_of_providers_goes_where_fx_quotes_go() -> None:
    where = {"FSPIOP_CALLBACK_URL_FX_QUOTES": "http://green.example/fspiop"}
    assert (
        endpoint_types_and_urls.url_for(where, "PUT", "/services/FXP/TZS/KES")
        == "http://green.example/fspiop/services/FXP/TZS/KES"
    )


# --- on which terms? ------------------------------------------------------------------------------------------------


def test_an_fx_quote_goes_there_and_back_byte_for_byte(scheme: World) -> None:
    body = fx_quote()
    raw = json.dumps(body, indent=2).encode()
    assert fx("POST", "/fxQuotes", raw, destination="fxp").status_code == 202
    asked = last_message()
    assert (asked.destination.name, asked.method, asked.path) == ("fxp", "POST", "/fxQuotes")
    assert (bytes(asked.body), asked.reply_to.name) == (raw, "green")
    assert asked.error_path == f"/fxQuotes/{body['conversionRequestId']}/error"

    told = json.dumps(fx_terms(body), indent=1).encode()
    path = f"/fxQuotes/{body['conversionRequestId']}"
    assert fx("PUT", path, told, source="fxp", destination="green").status_code == 200
    answered = last_message()
    assert (answered.destination.name, answered.method, answered.path) == ("green", "PUT", path)
    assert bytes(answered.body) == told
    assert FxQuote.objects.get().condition == json.loads(told)["condition"]

    count = Message.objects.count()
    assert fx("PUT", path, told, source="fxp", destination="green").status_code == 200
    assert Message.objects.count() == count
    for again in (lambda: fx("POST", "/fxQuotes", body), lambda: fx("GET", path)):
        assert again().status_code == 202
        assert (last_message().destination.name, bytes(last_message().body)) == ("green", told)
    assert Message.objects.filter(path="/fxQuotes").count() == 1


def test_an_fx_quote_goes_to_its_counter_party_where_no_destination_is_named(scheme: World) -> None:
    assert fx("POST", "/fxQuotes", fx_quote()).status_code == 202
    assert (last_message().destination.name, last_message().headers["fspiop-destination"]) == ("fxp", "fxp")
    assert error_of(fx("POST", "/fxQuotes", fx_quote(), destination="red")) == (400, "3100")


def test_a_changed_fx_quote_or_answer_is_refused_with_3106_and_changes_nothing(scheme: World) -> None:
    body = fx_quote()
    fx("POST", "/fxQuotes", body, destination="fxp")
    path = f"/fxQuotes/{body['conversionRequestId']}"
    changed = {**body, "conversionTerms": body["conversionTerms"] | {"expiration": messages.moment(5)}}
    fx("POST", "/fxQuotes", changed, destination="fxp")
    assert (last_message().destination.name, last_message().path) == ("green", path + "/error")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3106"
    told = fx_terms(body)
    fx("PUT", path, told, source="fxp", destination="green")
    fx("PUT", path, fx_terms(body, charges=[{"chargeType": "more"}]), source="fxp", destination="green")
    assert (last_message().destination.name, last_message().path) == ("fxp", path + "/error")
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3106"
    deliver_all()
    fx("GET", path)
    assert json.loads(last_message().body) == told


def test_an_fxp_that_refuses_is_heard_and_a_stranger_is_not(scheme: World) -> None:
    body = fx_quote()
    fx("POST", "/fxQuotes", body, destination="fxp")
    path = f"/fxQuotes/{body['conversionRequestId']}"
    count = Message.objects.count()
    for stranger in ("grey", "blue"):
        assert error_of(fx("PUT", path, fx_terms(body), source=stranger, destination="green")) == (400, "3205")
        assert error_of(fx("PUT", path + "/error", messages.error(), source=stranger)) == (400, "3205")
    assert error_of(fx("PUT", path, fx_terms(body), source="green", destination="fxp")) == (400, "3205")
    assert Message.objects.count() == count
    assert fx("PUT", path + "/error", messages.error("5103"), source="fxp", destination="green").status_code == 200
    assert (last_message().destination.name, last_message().path) == ("green", path + "/error")
    assert FxQuote.objects.get().state == "REJECTED"


def test_an_fxp_that_is_not_there_or_not_active_is_said_so_by_the_error_callback(scheme: World) -> None:
    participants.set_active(Participant.objects.get(name="red"), is_active=False, actor="test")
    for name in ("nobody", "red"):
        body = fx_quote(counterPartyFsp=name)
        assert fx("POST", "/fxQuotes", body, destination=name).status_code == 202
        assert last_message().path == f"/fxQuotes/{body['conversionRequestId']}/error"
        assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3201"
    assert FxQuote.objects.count() == 0
    unknown = f"/fxQuotes/{uuid.uuid4()}"
    fx("GET", unknown)
    assert last_message().path == unknown + "/error"
    assert json.loads(last_message().body)["errorInformation"]["errorCode"] == "3205"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amountType": "BOTH"}, "3100"),
        ({"conversionId": "42"}, "3100"),
        ({"sourceAmount": {"currency": "ZZZ", "amount": "1"}}, "3100"),
        ({"sourceAmount": {"currency": "TZS", "amount": 1}}, "3101"),
        ({"sourceAmount": {"amount": "1"}}, "3102"),
        ({"targetAmount": {"currency": "TZS"}}, "3100"),
        ({"initiatingFsp": "red"}, "3100"),
        ({"expiration": "tomorrow"}, "3100"),
        ({"charges": [{"chargeType": "c"}] * 17}, "3103"),
    ],
)
def test_what_is_wrong_in_an_fx_quote_is_said_at_once(scheme: World, changes: dict[str, Any], code: str) -> None:
    assert error_of(fx("POST", "/fxQuotes", fx_quote(**changes), destination="fxp")) == (400, code)
    assert (FxQuote.objects.count(), Message.objects.count()) == (0, 0)


def test_a_bad_condition_in_the_terms_is_refused(scheme: World) -> None:
    body = fx_quote()
    fx("POST", "/fxQuotes", body, destination="fxp")
    path = f"/fxQuotes/{body['conversionRequestId']}"
    assert error_of(fx("PUT", path, fx_terms(body) | {"condition": "no"}, source="fxp")) == (400, "3100")
    assert FxQuote.objects.get().state == "PENDING"


def test_fx_speaks_version_2_only(scheme: World) -> None:
    assert error_of(dfsp("POST", "/fxQuotes", fx_quote(), destination="fxp", version="1.1")) == (406, "3001")
    assert error_of(dfsp("GET", "/services/FXP")) == (406, "3001")
