"""Every path, method and mandatory field of the reference's OpenAPI documents is in ours, or it stands here why not.

`reference.json` holds the facts of those documents; `extract` took them out.
"""

import json
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from hub.api.openapi import APIS
from tests.protocol.extract import FACTS, Facts, facts_of

REFERENCE: dict[str, Facts] = json.loads(FACTS.read_text())
BASES = {
    "fspiop": "",
    "dfsp": "/dfsp/v1",
    "ledger": "/api/ledger/v1",
    "directory": "/api/directory/v1",
    "settlement": "/api/settlement/v2",
}
ELSEWHERE = "it is there, outside the documents, which show what DRF serves"
NOT_OURS = {
    ("directory", "get", "/health"): ELSEWHERE,
    ("ledger", "get", "/health"): ELSEWHERE,
    ("settlement", "get", "/health"): ELSEWHERE,
    ("ledger", "get", "/metrics"): "at the root: /metrics",
}
_SENT_BY_A_HUB = "PATCH goes from a hub to the payee; sent to a hub it is answered with 501 and not read"
NOT_NEEDED = {
    ("fspiop", "patch", "/transfers/{}"): _SENT_BY_A_HUB,
    ("fspiop", "patch", "/fxTransfers/{}"): _SENT_BY_A_HUB,
    (
        "ledger",
        "post",
        "/settlementModels",
    ): "a model without a currency is the default one; it may be left out or null",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))
    return found


@pytest.mark.parametrize("name", REFERENCE)
def test_every_path_and_method_of_the_reference_is_here(document: dict[str, Any], name: str) -> None:
    ours = facts_of(document)
    wanted = {(method, path) for path, methods in REFERENCE[name].items() for method in methods}
    missing = {(name, method, path) for method, path in wanted if method not in ours.get(BASES[name] + path, {})}
    assert missing == {key for key in NOT_OURS if key[0] == name}


@pytest.mark.parametrize("name", REFERENCE)
def test_what_the_reference_needs_in_a_body_is_needed_here(document: dict[str, Any], name: str) -> None:
    ours = facts_of(document)
    lacking = {
        (name, method, path): missing
        for path, methods in REFERENCE[name].items()
        for method, fields in methods.items()
        if (missing := set(fields) - set(ours.get(BASES[name] + path, {}).get(method, fields)))
    }
    assert set(lacking) == {key for key in NOT_NEEDED if key[0] == name}, lacking


@pytest.mark.django_db
@pytest.mark.parametrize("api", APIS)
def test_each_api_has_a_valid_document_of_its_own(api: str) -> None:
    answer = Client().get(f"/docs/schema/{api}", headers={"accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    document = json.loads(answer.content)
    validate_schema(document)
    base = BASES[api]
    assert document["paths"]
    assert all(path.startswith(base + "/") for path in document["paths"])
    assert base or not any(path.startswith("/api/") for path in document["paths"])
    assert Client().get(f"/docs/{api}").status_code == 200


def test_the_document_of_all_is_valid(document: dict[str, Any]) -> None:
    validate_schema(document)
