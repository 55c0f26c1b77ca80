"""The documents of the APIs as an integrator reads them: FSPIOP first, callbacks, examples that hold, no internals."""

import json
from typing import Any

import jsonschema
import pytest
from django.test import Client

from hub.api import fspiop_examples
from hub.api.fspiop_document import SCHEMES, is_fspiop
from hub.api.fspiop_examples import EXAMPLES, PAYEE, PAYER, QUOTE_ID, TRANSFER_ID
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


def test_every_example_is_a_message_of_its_schema(fspiop: dict[str, Any]) -> None:
    seen = set()
    for path, methods in fspiop["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "example" in content:
                    jsonschema.validate(content["example"], content["schema"])
                    seen.add((method, path))
    assert set(EXAMPLES) <= seen
    assert ("put", "/transfers/{transfer_id}/error") in seen


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
