"""The documents of the APIs as an integrator reads them: FSPIOP first, callbacks, examples that hold, no internals."""

import json
from typing import Any

import jsonschema
import pytest
from django.test import Client

from fspiop import bodies, iso20022
from fspiop.bodies.authorizations import AuthorizationPut
from fspiop.bodies.bulk_quotes import BulkQuotePost, BulkQuotePut
from fspiop.bodies.bulk_transfers import BulkTransferPost, BulkTransferPut
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_quotes import FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPost, FxTransferPut
from fspiop.bodies.participants import ParticipantPost, ParticipantPut, ParticipantsPost, ParticipantsPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.services import ServicesFxpPut
from fspiop.bodies.transaction_requests import TransactionRequestPost, TransactionRequestPut
from fspiop.bodies.transactions import TransactionPut
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.errors import text_of
from fspiop.resources import has_iso20022_bodies
from hub.api import fspiop_examples
from hub.api.fspiop_document import SCHEMES, is_fspiop
from hub.api.fspiop_examples import ERRORS, EXAMPLES, PAYEE, PAYER, QUOTE_ID, TRANSFER_ID
from hub.api.fspiop_iso20022_examples import ISO_EXAMPLES
from ledger.models import Transfer
from tests.api import messages
from tests.api.caller import dfsp
from tests.world import World


def document(name: str = "") -> dict[str, Any]:
    path = f"/docs/schema/{name}" if name else "/docs/schema"
    found: dict[str, Any] = json.loads(
        Client().get(path, headers={"accept": "application/vnd.oai.openapi+json"}).content
    )
    return found


@pytest.fixture(scope="module")
def fspiop(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    with django_db_blocker.unblock():
        return document("fspiop")


def test_fspiop_comes_first_and_in_the_order_of_a_payment(fspiop: dict[str, Any]) -> None:
    for paths in (list(fspiop["paths"]), list(document()["paths"])):
        places = [
            paths.index(path) for path in ("/participants", "/parties/{id_type}/{identifier}", "/quotes", "/transfers")
        ]
        assert places == sorted(places)
        assert is_fspiop(paths[0])


def test_each_request_shows_the_callbacks_that_answer_it(fspiop: dict[str, Any]) -> None:
    asked = fspiop["paths"]["/quotes"]["post"]["callbacks"]
    assert set(asked) == {"answer", "error"}
    (expression,) = asked["answer"]
    assert expression == "{$request.header.FSPIOP-Source}/quotes/{$request.body#/quoteId}"
    body = asked["answer"][expression]["put"]["requestBody"]
    assert body == fspiop["paths"]["/quotes/{quote_id}"]["put"]["requestBody"]
    (expression,) = fspiop["paths"]["/parties/{id_type}/{identifier}"]["get"]["callbacks"]["error"]
    assert (
        expression == "{$request.header.FSPIOP-Source}/parties/{$request.path.id_type}/{$request.path.identifier}/error"
    )
    without = {
        path
        for path, methods in fspiop["paths"].items()
        for method in ("get", "post", "delete")
        if method in methods and "callbacks" not in methods[method]
    }
    assert without == {"/token"}


MESSAGES: dict[tuple[str, str], type[Any]] = {
    ("post", "/participants"): ParticipantsPost,
    ("put", "/participants/{request_id}"): ParticipantsPut,
    ("post", "/participants/{id_type}/{identifier}"): ParticipantPost,
    ("put", "/participants/{id_type}/{identifier}"): ParticipantPut,
    ("post", "/participants/{id_type}/{identifier}/{sub_id}"): ParticipantPost,
    ("put", "/participants/{id_type}/{identifier}/{sub_id}"): ParticipantPut,
    ("put", "/parties/{id_type}/{identifier}"): PartyPut,
    ("put", "/parties/{id_type}/{identifier}/{sub_id}"): PartyPut,
    ("post", "/quotes"): QuotePost,
    ("put", "/quotes/{quote_id}"): QuotePut,
    ("post", "/transfers"): TransferPost,
    ("put", "/transfers/{transfer_id}"): TransferPut,
    ("post", "/transactionRequests"): TransactionRequestPost,
    ("put", "/transactionRequests/{transaction_request_id}"): TransactionRequestPut,
    ("put", "/authorizations/{subject_id}"): AuthorizationPut,
    ("put", "/transactions/{subject_id}"): TransactionPut,
    ("post", "/bulkQuotes"): BulkQuotePost,
    ("put", "/bulkQuotes/{bulk_quote_id}"): BulkQuotePut,
    ("post", "/bulkTransfers"): BulkTransferPost,
    ("put", "/bulkTransfers/{bulk_transfer_id}"): BulkTransferPut,
    ("put", "/services/FXP"): ServicesFxpPut,
    ("put", "/services/FXP/{source_currency}/{target_currency}"): ServicesFxpPut,
    ("post", "/fxQuotes"): FxQuotePost,
    ("put", "/fxQuotes/{conversion_request_id}"): FxQuotePut,
    ("post", "/fxTransfers"): FxTransferPost,
    ("put", "/fxTransfers/{commit_request_id}"): FxTransferPut,
}


def test_every_message_has_an_example_that_the_hub_can_read(fspiop: dict[str, Any]) -> None:
    seen, in_iso20022 = set(), set()
    for path, methods in fspiop["paths"].items():
        for method, operation in methods.items():
            resource, content = path.split("/")[1], operation.get("requestBody", {}).get("content", {})
            for media_type, form in content.items():
                if path == "/token":
                    continue
                jsonschema.validate(form["example"], form["schema"])
                raw = json.dumps(form["example"]).encode()
                kind = ErrorPut if path.endswith("/error") else MESSAGES[method, path]
                if "iso20022" in media_type and has_iso20022_bodies(resource):
                    iso20022.read(kind, raw, resource)
                    in_iso20022.add((method, path))
                else:
                    bodies.read(kind, raw)
                seen.add((method, path))
    assert set(EXAMPLES) == set(MESSAGES) == {each for each in seen if not each[1].endswith("/error")}
    assert set(ISO_EXAMPLES) == {each for each in in_iso20022 if not each[1].endswith("/error")}
    assert len(seen) > len(in_iso20022) > 10


def test_each_resource_has_an_error_of_its_own(fspiop: dict[str, Any]) -> None:
    shown = {}
    for path, methods in fspiop["paths"].items():
        if path.endswith("/error"):
            for content in methods["put"]["requestBody"]["content"].values():
                error = bodies.convert(ErrorPut, ERRORS[path.split("/")[1]]).error_information
                assert error.error_code in json.dumps(content["example"])
                assert error.error_description.startswith(text_of(error.error_code))
                shown[path.split("/")[1]] = error.error_code
    assert set(shown) == set(ERRORS)
    assert shown["parties"] == "3204"
    assert shown["transfers"] == "5104"
    assert [name for name, code in shown.items() if code == "5104"] == ["transfers"]


def test_an_answer_in_iso_20022_is_that_of_the_plain_example() -> None:
    path = "/fxQuotes/{conversion_request_id}"
    plain = bodies.convert(FxQuotePut, EXAMPLES["put", path])
    read = iso20022.read(FxQuotePut, json.dumps(ISO_EXAMPLES["put", path]).encode(), "fxQuotes")
    assert read.condition == plain.condition
    assert read.conversion_terms.target_amount == plain.conversion_terms.target_amount
    quote = iso20022.read(QuotePut, json.dumps(ISO_EXAMPLES["put", "/quotes/{quote_id}"]).encode(), "quotes")
    assert quote.condition == EXAMPLES["put", "/quotes/{quote_id}"]["condition"]


def test_the_examples_are_a_payment_that_the_hub_makes(committed_world: World) -> None:
    for name in (PAYER, PAYEE):
        committed_world.onboard(name, ndc=1000, cover=5000)
    alias = "/participants/MSISDN/255655001001"
    party, later = alias.replace("participants", "parties"), {"expiration": messages.moment()}
    sent = [
        dfsp("POST", alias, EXAMPLES["post", "/participants/{id_type}/{identifier}"], source=PAYEE),
        dfsp("GET", party, source=PAYER),
        dfsp("PUT", party, EXAMPLES["put", "/parties/{id_type}/{identifier}"], source=PAYEE, destination=PAYER),
        dfsp("POST", "/quotes", EXAMPLES["post", "/quotes"], source=PAYER, destination=PAYEE),
        dfsp(
            "PUT", f"/quotes/{QUOTE_ID}", EXAMPLES["put", "/quotes/{quote_id}"] | later, source=PAYEE, destination=PAYER
        ),
        dfsp("POST", "/transfers", EXAMPLES["post", "/transfers"] | later, source=PAYER, destination=PAYEE),
        dfsp(
            "PUT",
            f"/transfers/{TRANSFER_ID}",
            EXAMPLES["put", "/transfers/{transfer_id}"] | {"completedTimestamp": messages.moment(0)},
            source=PAYEE,
            destination=PAYER,
        ),
    ]
    assert [answer.status_code for answer in sent] == [202, 202, 200, 202, 200, 202, 200]
    assert Transfer.objects.get().state == "COMMITTED"


def test_the_document_says_how_a_dfsp_proves_who_it_is(fspiop: dict[str, Any]) -> None:
    assert set(SCHEMES) <= set(fspiop["components"]["securitySchemes"])
    for path, methods in fspiop["paths"].items():
        for operation in methods.values():
            assert bool(operation["security"]) is (path != "/token"), path
        for operation in methods.values():
            if path != "/token":
                assert set(operation["security"][0]) == set(SCHEMES)  # a certificate, a token and a signature
                assert {"400", "401", "403", "404", "413", "429", "503"} <= set(operation["responses"])
    for name in ("dfsp", ""):
        own = document(name)
        assert set(SCHEMES) <= set(own["components"]["securitySchemes"])
        for path, methods in own["paths"].items():
            if path.startswith("/dfsp/"):
                for operation in methods.values():
                    assert operation["security"][0] == fspiop["paths"]["/quotes"]["post"]["security"][0]
                    assert {"400", "401", "403", "429", "503"} <= set(operation["responses"]), path
    administration = document("ledger")
    assert not set(SCHEMES) & set(administration.get("components", {}).get("securitySchemes", {}))


def test_no_document_has_internals(db: None) -> None:
    operations = [each for methods in document()["paths"].values() for each in methods.values()]
    assert all(each["summary"] for each in operations)
    # What is written for integrators, and not for who reads the code.
    assert [each["operationId"] for each in operations if "description" in each] == ["post_token"]


def test_the_guide_leads_through_a_payment(db: None) -> None:
    page = Client().get("/docs/")
    text = page.content.decode()
    for link in ("fspiop", "dfsp", "schema/fspiop", "ledger", "all"):
        assert f'href="{link}"' in text
        assert Client().get(f"/docs/{link}").status_code == 200, link
    for step in (
        "GET /parties/MSISDN",
        "POST /quotes",
        "POST /transfers",
        f"PUT /transfers/{fspiop_examples.TRANSFER_ID}",
    ):
        assert step in text
