"""Nothing in the API is nullable: an element that is null would be refused by the next DFSP, so the hub refuses it."""

import uuid
from typing import Any

import pytest
from django.test import Client

from hub.outbox.models import Message
from tests.api import fx_messages, iso_messages, messages
from tests.api.caller import description_of, dfsp, error_of
from tests.api.test_transaction_requests import request_to_pay
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)

ID = str(uuid.uuid4())
PERSON = {"personalInfo": {"complexName": {"firstName": "A"}, "dateOfBirth": None}}
BODIES: dict[str, tuple[str, str, Any, str]] = {
    "name": ("PUT", "/parties/MSISDN/1", {"party": messages.party("green", "1", name=None)}, "party.name"),
    "date": (
        *("PUT", "/parties/MSISDN/1", {"party": messages.party("green", "1", **PERSON)}),
        "party.personalInfo.dateOfBirth",
    ),
    "note": ("POST", "/quotes", messages.quote(note=None), "note"),
    "fees": ("POST", "/quotes", messages.quote(fees=None), "fees"),
    "extensions": ("POST", "/transfers", messages.transfer(extensionList=None), "extensionList"),
    "fulfilment": ("PUT", f"/transfers/{ID}", messages.fulfilment(extensionList=None), "extensionList"),
    "item": (
        *("POST", "/bulkTransfers", messages.bulk_transfer(individualTransfers=[messages.item(extensionList=None)])),
        "individualTransfers[0].extensionList",
    ),
    "bulk quote": ("POST", "/bulkQuotes", messages.bulk_quote(geoCode=None), "geoCode"),
    "fx quote": ("POST", "/fxQuotes", fx_messages.fx_quote(charges=None), "conversionTerms.charges"),
    "fx transfer": ("PUT", f"/fxTransfers/{ID}", fx_messages.fx_fulfilment(extensionList=None), "extensionList"),
    "request": ("POST", "/transactionRequests", request_to_pay(expiration=None), "expiration"),
    "alias": ("POST", "/participants/MSISDN/1", {"fspId": "green", "currency": None}, "currency"),
    "error": (
        *("PUT", f"/quotes/{ID}/error"),
        {"errorInformation": messages.error()["errorInformation"] | {"extensionList": None}},
        "errorInformation.extensionList",
    ),
    "an element that is not the API's": ("POST", "/quotes", messages.quote(own={"a": [1, None]}), "own.a[1]"),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_element_that_is_null_is_refused_by_its_name(committed_world: World, name: str) -> None:
    method, path, body, element = BODIES[name]
    version = "2.0" if path.startswith("/fx") else "1.1"
    accept = f"application/vnd.interoperability.{path.split('/')[1]}+json;version={version[0]}"
    headers: dict[str, str | None] = {"accept": accept} if method == "POST" else {}
    answer = dfsp(method, path, body, destination="blue", version=version, headers=headers)
    assert error_of(answer) == (400, "3100")
    assert f" {element}: " in description_of(answer)
    assert not Message.objects.exists()


def test_an_iso_20022_element_that_is_null_is_refused_too(committed_world: World) -> None:
    body = iso_messages.quote()
    body["CdtTrfTxInf"]["Cdtr"]["Nm"] = None
    answer = iso_messages.iso("POST", "/quotes", body, source="green", destination="blue")
    assert error_of(answer) == (400, "3100")
    assert " CdtTrfTxInf.Cdtr.Nm: " in description_of(answer)


def test_the_document_says_that_nothing_is_nullable() -> None:
    schema = Client().get("/docs/schema/fspiop", headers={"accept": "application/vnd.oai.openapi+json"}).content
    assert b"extensionList" in schema
    for word in (b'"null"', b'"nullable"', b'"default": null', b'"default":null'):
        assert word not in schema


def test_a_text_that_says_null_is_a_text(committed_world: World) -> None:
    assert dfsp("POST", "/quotes", messages.quote(note="null"), destination="blue").status_code == 202
    assert Message.objects.get().destination.name == "blue"
