"""A payment in another currency through the API, step by step as the testing toolkit's collection takes it."""

import json
import uuid
from typing import Any

import pytest

from hub.outbox.models import Message
from ledger import invariants
from ledger.models import FxTransfer
from tests.api import messages
from tests.api.caller import admin, description_of, dfsp, error_of
from tests.api.fx_messages import fx_fulfilment, fx_quote, fx_terms, fx_transfer, money
from tests.api.test_fx_agreement import fx, last_message
from tests.fx_world import open_scheme, positions
from tests.outbox.messages import deliver_all
from tests.world import World


@pytest.fixture
def scheme(committed_world: World) -> World:
    return open_scheme(committed_world)


def dependent(fx_body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The determining transfer of a conversion."""
    return messages.transfer(transferId=fx_body["determiningTransferId"], amount=fx_body["targetAmount"]) | changes


def agree(body: dict[str, Any]) -> None:
    assert fx("POST", "/fxTransfers", body, destination="fxp").status_code == 202
    answer = fx("PUT", f"/fxTransfers/{body['commitRequestId']}", fx_fulfilment(), source="fxp", destination="green")
    assert answer.status_code == 200


def position(name: str, currency: str) -> float:
    accounts = admin("GET", f"/participants/{name}/accounts").json()
    (value,) = [a["value"] for a in accounts if (a["ledgerAccountType"], a["currency"]) == ("POSITION", currency)]
    return float(value)


def body_of(message: Message) -> Any:
    return json.loads(bytes(message.body))


def test_a_payment_in_another_currency(scheme: World) -> None:
    # The terms: of the conversion, then of the payment.
    asked = fx_quote()
    fx("POST", "/fxQuotes", asked, destination="fxp")
    terms = fx_terms(asked)
    fx("PUT", f"/fxQuotes/{asked['conversionRequestId']}", terms, source="fxp", destination="green")
    assert body_of(last_message())["conversionTerms"]["targetAmount"] == money("5", "KES")
    determining = terms["conversionTerms"]["determiningTransferId"]
    quote = messages.quote(transactionId=determining, amount=money("5", "KES"))
    dfsp("POST", "/quotes", quote, destination="blue", version="2.0")

    # The conversion: the payer's position holds the source amount, the FXP's stand still.
    body = fx_transfer(
        commitRequestId=terms["conversionTerms"]["conversionId"],
        determiningTransferId=determining,
        amountType="SEND",
        expiration=messages.moment(24 * 3600),
    )
    raw = json.dumps(body, indent=2).encode()
    assert fx("POST", "/fxTransfers", raw, destination="fxp").status_code == 202
    prepared = last_message()
    assert (prepared.destination.name, prepared.method, prepared.path) == ("fxp", "POST", "/fxTransfers")
    assert bytes(prepared.body) == raw
    path = f"/fxTransfers/{body['commitRequestId']}"
    raw = json.dumps(fx_fulfilment(), indent=2).encode()
    assert fx("PUT", path, raw, source="fxp", destination="green").status_code == 200
    answered = last_message()
    assert (answered.destination.name, answered.method, answered.path) == ("green", "PUT", path)
    assert (bytes(answered.body), answered.signed_by_hub) == (raw, False)
    assert (position("green", "TZS"), position("fxp", "TZS"), position("fxp", "KES")) == (100, 0, 0)

    assert fx("GET", path).status_code == 202
    state = last_message()
    assert (state.destination.name, state.method, state.path) == ("green", "PUT", path)
    assert state.headers["content-type"] == "application/vnd.interoperability.fxTransfers+json;version=2.0"
    assert (state.headers["fspiop-source"], state.signed_by_hub) == ("Hub", True)
    assert body_of(state)["conversionState"] == "RESERVED"
    assert body_of(state)["fulfilment"] == json.loads(raw)["fulfilment"]

    # The payment: the FXP pays in the target currency, and is paid in the source currency, at once.
    dfsp("POST", "/transfers", dependent(body), destination="blue", version="2.0")
    assert last_message().destination.name == "blue"
    assert positions(scheme) == {"green TZS": 100, "fxp KES": 5}
    told = messages.fulfilment()
    dfsp("PUT", f"/transfers/{determining}", told, source="blue", destination="green", version="2.0")
    assert positions(scheme) == {"green TZS": 100, "fxp TZS": -100, "fxp KES": 5, "blue KES": -5}
    to_payer, to_fxp = Message.objects.select_related("destination").order_by("id")[Message.objects.count() - 2 :]
    assert (to_payer.destination.name, body_of(to_payer)) == ("green", told)
    assert (to_fxp.destination.name, to_fxp.method, to_fxp.path) == ("fxp", "PATCH", path)
    assert set(body_of(to_fxp)) == {"conversionState", "completedTimestamp"}
    assert (body_of(to_fxp)["conversionState"], to_fxp.signed_by_hub) == ("COMMITTED", True)

    deliver_all()
    fx("GET", path)
    assert body_of(last_message())["conversionState"] == "COMMITTED"
    assert "fulfilment" in body_of(last_message())
    assert invariants.find_breaks() == []


def test_a_conversion_goes_to_its_counter_party_where_no_destination_is_named(scheme: World) -> None:
    assert fx("POST", "/fxTransfers", fx_transfer()).status_code == 202
    assert (last_message().destination.name, last_message().headers["fspiop-destination"]) == ("fxp", "fxp")


def test_a_payer_needs_no_account_in_the_target_currency_and_the_payee_none_in_the_source_currency(
    scheme: World,
) -> None:
    scheme.onboard("kenyan", ndc=0, cover=0, currency="KES")
    body = fx_transfer()
    agree(body)
    dfsp("POST", "/transfers", dependent(body, payeeFsp="kenyan"), destination="kenyan")
    transfer = f"/transfers/{body['determiningTransferId']}"
    dfsp("PUT", transfer, messages.fulfilment(), source="kenyan", destination="green")
    assert scheme.position("kenyan", "KES") == -50_000
    assert FxTransfer.objects.get().state == "COMMITTED"


def test_a_payee_that_refuses_reverts_the_conversion(scheme: World) -> None:
    body = fx_transfer()
    agree(body)
    dfsp("POST", "/transfers", dependent(body), destination="blue")
    transfer = f"/transfers/{body['determiningTransferId']}/error"
    dfsp("PUT", transfer, messages.error("5104"), source="blue", destination="green")
    to_fxp = last_message()
    assert (to_fxp.destination.name, to_fxp.method) == ("fxp", "PATCH")
    assert body_of(to_fxp)["conversionState"] == "ABORTED"
    assert body_of(to_fxp)["extensionList"]["extension"][0]["value"].startswith("5104")
    assert positions(scheme) == {}
    assert invariants.find_breaks() == []


def test_an_fxp_that_refuses_is_heard_in_its_own_words(scheme: World) -> None:
    body = fx_transfer()
    fx("POST", "/fxTransfers", body, destination="fxp")
    raw = json.dumps(messages.error(5240, "no KES today"), indent=1).encode()
    path = f"/fxTransfers/{body['commitRequestId']}/error"
    assert fx("PUT", path, raw, source="fxp", destination="green").status_code == 200
    assert (last_message().destination.name, last_message().path) == ("green", path)
    assert bytes(last_message().body) == raw
    assert positions(scheme) == {}


def test_an_fxp_that_says_committed_is_not_believed_that(scheme: World) -> None:
    body = fx_transfer()
    fx("POST", "/fxTransfers", body, destination="fxp")
    said = fx_fulfilment(conversionState="COMMITTED")
    fx("PUT", f"/fxTransfers/{body['commitRequestId']}", said, source="fxp", destination="green")
    answer = last_message()
    assert (answer.destination.name, answer.signed_by_hub) == ("green", True)
    assert body_of(answer)["conversionState"] == "RESERVED"
    assert body_of(answer)["fulfilment"] == said["fulfilment"]


def test_a_stranger_ends_no_conversion_and_learns_nothing(scheme: World) -> None:
    body = fx_transfer()
    fx("POST", "/fxTransfers", body, destination="fxp")
    path, unknown = f"/fxTransfers/{body['commitRequestId']}", f"/fxTransfers/{uuid.uuid4()}"
    count = Message.objects.count()
    for source in ("grey", "blue", "green", "other"):
        for url, sent in ((path, fx_fulfilment()), (path + "/error", messages.error())):
            refused = fx("PUT", url, sent, source=source, destination="green")
            assert error_of(refused) == (400, "3208")
            assert description_of(refused) == description_of(fx("PUT", unknown, fx_fulfilment(), source=source))
    assert Message.objects.count() == count
    assert FxTransfer.objects.get().state == "RESERVED"
    fx("GET", path, source="grey")
    assert (last_message().destination.name, last_message().path) == ("grey", path + "/error")
    assert body_of(last_message())["errorInformation"]["errorCode"] == "3000"
    fx("GET", unknown)
    assert body_of(last_message())["errorInformation"]["errorCode"] == "3208"
    fx("GET", path, source="fxp")
    assert (last_message().destination.name, body_of(last_message())) == ("fxp", {"conversionState": "RESERVED"})


def test_each_changed_field_of_a_resend_is_refused_and_the_original_stands(scheme: World) -> None:
    body = fx_transfer()
    fx("POST", "/fxTransfers", body, destination="fxp")
    changes: dict[str, object] = {
        "determiningTransferId": str(uuid.uuid4()),
        "counterPartyFsp": "other",
        "sourceAmount": money("101", "TZS"),
        "targetAmount": money("6", "KES"),
        "condition": "A" * 43,
        "expiration": messages.moment(120),
    }
    for changed in changes.items():
        fx("POST", "/fxTransfers", body | dict([changed]))
        assert last_message().path == f"/fxTransfers/{body['commitRequestId']}/error"
        assert body_of(last_message())["errorInformation"]["errorCode"] == "3106"
    fx("POST", "/fxTransfers", dict(reversed(body.items())), destination="fxp")
    assert body_of(last_message()) == {"conversionState": "RESERVED"}
    assert Message.objects.filter(kind="fx-prepare").count() == 1
    assert positions(scheme) == {"green TZS": 100}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"commitRequestId": "42"}, "3100"),
        ({"initiatingFsp": "red"}, "3100"),
        ({"sourceAmount": {"currency": "TZS", "amount": "0"}}, "3100"),
        ({"targetAmount": {"currency": "KES", "amount": "1.00001"}}, "3100"),
        ({"targetAmount": {"currency": "TZS", "amount": "1"}}, "3100"),
        ({"sourceAmount": {"currency": "TZS", "amount": 1}}, "3101"),
        ({"condition": "no"}, "3100"),
        ({"determiningTransferId": None}, "3100"),
        ({"expiration": None}, "3100"),
        ({"expiration": "2030-01-01T00:00:00Z"}, "3100"),
    ],
)
def test_what_is_wrong_in_a_conversion_is_said_at_once(scheme: World, changes: dict[str, Any], code: str) -> None:
    assert error_of(fx("POST", "/fxTransfers", fx_transfer(**changes), destination="fxp")) == (400, code)
    assert (FxTransfer.objects.count(), Message.objects.count()) == (0, 0)


@pytest.mark.parametrize("name", ["determiningTransferId", "expiration"])
def test_a_conversion_without_what_it_needs_is_refused_by_its_name(scheme: World, name: str) -> None:
    body = fx_transfer()
    del body[name]
    assert error_of(fx("POST", "/fxTransfers", body, destination="fxp")) == (400, "3102")


def test_a_conversion_is_not_its_own_determining_transfer(scheme: World) -> None:
    same = str(uuid.uuid4())
    body = fx_transfer(commitRequestId=same, determiningTransferId=same)
    assert error_of(fx("POST", "/fxTransfers", body, destination="fxp")) == (400, "3100")


def test_a_conversion_speaks_version_2_only_and_patch_is_the_hubs(scheme: World) -> None:
    assert error_of(dfsp("POST", "/fxTransfers", fx_transfer(), version="1.1")) == (406, "3001")
    path = f"/fxTransfers/{uuid.uuid4()}"
    assert error_of(fx("PATCH", path, {"conversionState": "COMMITTED"}, source="fxp")) == (501, "2002")
