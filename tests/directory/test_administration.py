"""The administration of oracles: the statuses and words that provisioning scripts look for."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from directory.models import Oracle
from fspiop.time import http_date
from hub.audit.models import Entry
from tests.api.caller import description_of, error_of

pytestmark = pytest.mark.django_db


def call(
    method: str, path: str, body: Any = None, *, without: str = "", accept: str = "application/json"
) -> HttpResponse:
    headers = {"accept": accept, "date": http_date(datetime.now(UTC))}
    headers.pop(without, None)
    raw = json.dumps(body) if body is not None else ""
    return Client().generic(method, f"/api/directory/v1{path}", raw, content_type="application/json", headers=headers)


def said(**changes: Any) -> dict[str, Any]:
    body = {
        "oracleIdType": "ALIAS",
        "endpoint": {"value": "http://oracle.example", "endpointType": "URL"},
        "currency": "TZS",
        "isDefault": False,
    } | changes
    return {name: value for name, value in body.items() if value is not None}


def listed(query: str = "") -> list[dict[str, Any]]:
    response = call("GET", f"/oracles{query}")
    assert response.status_code == 200
    found: list[dict[str, Any]] = json.loads(response.content)
    return found


def test_an_oracle_is_added_found_changed_and_removed() -> None:
    assert call("POST", "/oracles", said(oracleIdType="MSISDN", isDefault=True)).status_code == 201
    response = call("POST", "/oracles", said())
    assert (response.status_code, response.content) == (201, b"")
    assert [oracle["oracleIdType"] for oracle in listed()] == ["MSISDN", "ALIAS"]
    (found,) = listed("?type=ALIAS&currency=TZS")
    assert found == said() | {"oracleId": found["oracleId"], "isDefault": 0}
    assert listed("?type=MSISDN")[0]["isDefault"] == 1
    assert not isinstance(found["isDefault"], bool)
    assert isinstance(found["oracleId"], str)

    changed = said(oracleIdType="BUSINESS", endpoint={"value": "https://other.example/x", "endpointType": "URL"})
    # An update needs no Accept.
    assert call("PUT", f"/oracles/{found['oracleId']}", changed, without="accept").status_code == 204
    assert listed("?type=BUSINESS") == [changed | {"oracleId": found["oracleId"], "isDefault": 0}]

    response = call("DELETE", f"/oracles/{found['oracleId']}")
    assert (response.status_code, response.content) == (204, b"")
    assert listed("?type=BUSINESS") == []
    assert list(Entry.objects.values_list("action", flat=True)) == [
        "oracle_added",
        "oracle_added",
        "oracle_changed",
        "oracle_removed",
    ]


@pytest.mark.parametrize("accept", ["application/vnd.interoperability.participants+json;version=1", "text/html", "*/*"])
def test_whatever_accept_says_the_answer_is_json(accept: str) -> None:
    assert call("POST", "/oracles", said(), accept=accept).status_code == 201
    response = call("GET", "/oracles", accept=accept)
    assert (response.status_code, response["Content-Type"], len(json.loads(response.content))) == (
        200,
        "application/json",
        1,
    )


@pytest.mark.parametrize("query", ["?currency=INVALID&type=ALIAS", "?type=INVALID", "?currency=USD", "?type=%00"])
def test_a_filter_that_nothing_passes_finds_nothing(query: str) -> None:
    call("POST", "/oracles", said())
    assert listed(query) == []


def test_a_second_oracle_for_a_type_in_a_currency_is_a_duplicate() -> None:
    call("POST", "/oracles", said())
    refused = call("POST", "/oracles", said(endpoint={"value": "http://second.example", "endpointType": "URL"}))
    assert error_of(refused) == (500, "2001")
    assert "Duplicate" in description_of(refused)
    assert call("POST", "/oracles", said(currency="KES")).status_code == 201
    assert call("POST", "/oracles", said(currency=None)).status_code == 201
    kes = Oracle.objects.get(currency="KES")
    assert error_of(call("PUT", f"/oracles/{kes.pk}", said())) == (500, "2001")
    assert Oracle.objects.count() == 3


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        (said(endpoint=None), "3102", "endpoint"),
        (said(oracleIdType=None), "3102", "oracleIdType"),
        (said(currency="ZZZ"), "3100", "currency"),
        (said(oracleIdType="PIGEON"), "3100", "oracleIdType"),
        (said(endpoint={"value": "http://a.example", "endpointType": "FILE"}), "3100", "endpointType"),
        (said(endpoint={"value": "file:///etc/passwd", "endpointType": "URL"}), "3100", "endpoint"),
        (said(endpoint={"value": "http://me@a.example", "endpointType": "URL"}), "3100", "endpoint"),
        (said(endpoint={"value": "http://a.example/{{x}}", "endpointType": "URL"}), "3100", "endpoint"),
        (said(endpoint={"value": "http://a.example/?x=", "endpointType": "URL"}), "3100", "endpoint"),
        ([], "3101", "the body"),
    ],
)
def test_what_is_wrong_with_an_oracle_is_named(body: Any, code: str, word: str) -> None:
    refused = call("POST", "/oracles", body)
    assert error_of(refused) == (400, code)
    assert word in description_of(refused)
    assert not Oracle.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        ("POST", "/oracles", "accept"),
        ("GET", "/oracles", "accept"),
        ("DELETE", "/oracles/1", "accept"),
        ("PUT", "/oracles/1", "date"),
        ("POST", "/oracles", "date"),
    ],
)
def test_a_missing_header_is_named(method: str, path: str, header: str) -> None:
    refused = call(method, path, said(), without=header)
    assert error_of(refused) == (400, "3102")
    assert header in description_of(refused)


@pytest.mark.parametrize("oracle_id", ["INVALID", "0", "9" * 30, "%00", "{$environment.unset}", "٣"])
def test_an_unknown_oracle_can_not_be_changed_and_is_as_good_as_removed(oracle_id: str) -> None:
    refused = call("PUT", f"/oracles/{oracle_id}", said())
    assert error_of(refused) == (400, "3003")
    assert description_of(refused) == "Add Party information error - Oracle not found"
    assert call("DELETE", f"/oracles/{oracle_id}").status_code == 204


def test_the_service_says_how_it_is() -> None:
    assert json.loads(call("GET", "/health").content)["services"][0] == {"name": "datastore", "status": "OK"}
