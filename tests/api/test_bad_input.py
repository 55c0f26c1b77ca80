"""What bad input gets: the API's own error, no change, and never a 5xx (FSPIOP API v1.1, section 7.6)."""

import json
import uuid
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import messages
from tests.api.caller import ABSENT, admin, dfsp, error_of
from tests.examples import examples
from tests.world import World


def rows() -> dict[str, int]:
    """How many rows each table of the hub has."""
    labels = ("participants", "audit", "outbox", "directory", "quotes", "ledger")
    return {
        model.__name__: model.objects.count() for label in labels for model in apps.get_app_config(label).get_models()
    }


def spoilt(**changes: Any) -> bytes:
    return json.dumps(messages.transfer(**changes)).encode()


def amount(text: Any) -> bytes:
    return spoilt(amount={"currency": "TZS", "amount": text})


def without(name: str) -> bytes:
    body = messages.transfer()
    del body[name]
    return json.dumps(body).encode()


GOOD = json.dumps(messages.transfer())
BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "3101"),
    "not JSON": (b"{", "3101"),
    "an array": (b"[]", "3101"),
    "trailing data": (GOOD.encode() + b"{}", "3101"),
    "a key twice": (GOOD[:-1].encode() + b',"payeeFsp":"red"}', "3101"),
    "deep nesting": (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "3101"),
    "NaN": (b'{"a":NaN}', "3101"),
    "a huge integer": (b'{"a":' + b"9" * 5000 + b"}", "3101"),
    "NUL": (spoilt(payeeFsp="bl\x00ue"), "3101"),
    "a lone surrogate": (GOOD.replace('"blue"', '"bl\\ud800ue"').encode(), "3101"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), "3101"),
    "UTF-16": (GOOD.encode("utf-16"), "3101"),
    "no UTF-8": (GOOD.encode().replace(b"blue", b"bl\xffe"), "3101"),
    "an amount in scientific notation": (amount("1e3"), "3100"),
    "an amount with a leading zero": (amount("010"), "3100"),
    "an amount with a trailing zero": (amount("1.10"), "3100"),
    "an amount with five decimals": (amount("1.00001"), "3100"),
    "an amount as a number": (amount(100), "3101"),
    "an amount of nothing": (amount("0"), "3100"),
    "a negative amount": (amount("-1"), "3100"),
    "an amount with a sign": (amount("+5"), "3100"),
    "an amount with a line end": (amount("10\n"), "3100"),
    "an amount in other digits": (amount("١٠"), "3100"),
    "an amount that no ledger holds": (amount("1" + "0" * 17), "3100"),
    "an amount with spaces": (amount(" 10 "), "3100"),
    "an unknown currency": (spoilt(amount={"currency": "ZZZ", "amount": "1"}), "3100"),
    "no amount": (without("amount"), "3102"),
    "no condition": (without("condition"), "3102"),
    "no expiration": (without("expiration"), "3102"),
    "no transferId": (without("transferId"), "3102"),
    "a condition that is none": (spoilt(condition="abc"), "3100"),
    "an id that is none": (spoilt(transferId="42"), "3100"),
    "an expiration without milliseconds": (spoilt(expiration="2030-01-01T00:00:00Z"), "3100"),
    "an expiration that is no date": (spoilt(expiration="2030-02-31T00:00:00.000Z"), "3100"),
    "another's payerFsp": (spoilt(payerFsp="red"), "3100"),
    "too many extensions": (spoilt(extensionList={"extension": [{"key": "k", "value": "v"}] * 17}), "3103"),
    "oversized": (b" " * 5_242_881, "3104"),
    "many values": (b'{"a":[' + b"0," * 40_000 + b"0]}", "3104"),
}
_JSON = "application/vnd.interoperability.transfers+json"
HEADERS: dict[str, tuple[dict[str, str | None], tuple[int, str]]] = {
    "no date": ({"date": ABSENT}, (400, "3102")),
    "no source": ({"fspiop-source": ABSENT}, (400, "3102")),
    "no accept": ({"accept": ABSENT}, (400, "3102")),
    "no content-type": ({"content-type": ABSENT}, (400, "3102")),
    "a date that is none": ({"date": "yesterday"}, (400, "3101")),
    "plain JSON": ({"content-type": "application/json"}, (400, "3101")),
    "no version": ({"content-type": _JSON}, (400, "3101")),
    "another resource": ({"content-type": "application/vnd.interoperability.quotes+json;version=1.1"}, (400, "3101")),
    "a version not spoken": ({"content-type": f"{_JSON};version=9.0"}, (406, "3001")),
    "an accept not spoken": ({"accept": f"{_JSON};version=9"}, (406, "3001")),
    "an accept that is none": ({"accept": "text/html"}, (400, "3101")),
    "an unknown source": ({"fspiop-source": "nobody"}, (400, "3200")),
    "the hub's own name": ({"fspiop-source": "Hub"}, (400, "3100")),
    "braces around the source": ({"fspiop-source": "{green}"}, (400, "3100")),
}
PATHS: dict[str, tuple[str, str, tuple[int, str]]] = {
    "an unknown resource": ("GET", "/payments/1", (404, "3002")),
    "no id": ("PUT", "/transfers/", (404, "3002")),
    "too deep": ("PUT", "/transfers/a/b/c", (404, "3002")),
    "an id that is none": ("GET", "/transfers/42", (400, "3100")),
    "traversal": ("GET", "/transfers/..%2f..%2fadmin", (400, "3100")),
    "NUL in the path": ("GET", "/parties/MSISDN/%00", (400, "3100")),
    "a wrong method": ("DELETE", "/transfers/" + "0" * 8, (405, "3000")),
    "PATCH to a hub": ("PATCH", f"/transfers/{uuid.UUID(int=7)}", (501, "2002")),
    "an unknown party type": ("GET", "/parties/PIGEON/1", (400, "3100")),
    "a very long identifier": ("GET", "/parties/MSISDN/" + "1" * 4000, (400, "3100")),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_spoilt_body_is_refused_and_changes_nothing(world: World, name: str) -> None:
    body, code = BODIES[name]
    before = rows()
    assert error_of(dfsp("POST", "/transfers", body)) == (400, code)
    assert rows() == before


@pytest.mark.parametrize("resource", ["/quotes", "/participants", "/participants/MSISDN/1"])
@pytest.mark.parametrize(
    "name", [name for name, (_, code) in BODIES.items() if code == "3101" and "amount" not in name]
)
def test_what_is_not_json_is_refused_everywhere(world: World, resource: str, name: str) -> None:
    before = rows()
    assert error_of(dfsp("POST", resource, BODIES[name][0], destination="blue")) == (400, "3101")
    assert rows() == before


@pytest.mark.parametrize("name", HEADERS)
def test_spoilt_headers_are_refused_and_change_nothing(world: World, name: str) -> None:
    headers, expected = HEADERS[name]
    before = rows()
    assert error_of(dfsp("POST", "/transfers", messages.transfer(), headers=headers)) == expected
    assert rows() == before


@pytest.mark.parametrize("name", PATHS)
def test_spoilt_paths_are_refused_and_change_nothing(world: World, name: str) -> None:
    method, path, expected = PATHS[name]
    before = rows()
    assert error_of(dfsp(method, path, b"{}" if method != "GET" else None)) == expected
    assert rows() == before


@pytest.mark.parametrize(
    "name", [name for name, (_, code) in BODIES.items() if code in ("3101", "3104") and "amount" not in name]
)
def test_the_administration_api_refuses_the_same(world: World, name: str) -> None:
    before = rows()
    assert error_of(admin("POST", "/participants", BODIES[name][0])) == (400, BODIES[name][1])
    assert rows() == before


_TEXT = st.text(max_size=40)
_JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from([*messages.transfer(), "extensionList", "amount.amount", "amount.currency"]),
    value=_JSON_VALUE,
)
def test_whatever_a_field_holds_is_never_a_server_error(committed_world: World, field: str, value: object) -> None:
    body = messages.transfer()
    if "." in field:
        body["amount"][field.split(".")[1]] = value
    else:
        body[field] = value
    response = dfsp("POST", "/transfers", json.dumps(body).encode())
    assert response.status_code < 500
    if response.status_code != 202:
        error_of(response)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.binary(max_size=200),
    path=st.sampled_from(["/transfers", "/quotes", "/participants", "/participants/EMAIL/a"]),
)
def test_whatever_bytes_come_are_never_a_server_error(world: World, raw: bytes, path: str) -> None:
    response = dfsp("POST", path, raw, destination="blue")
    assert response.status_code == 400
    error_of(response)


@pytest.mark.parametrize("path", ["/api/ledger/v1/participants", "/api/directory/v1/oracles"])
@pytest.mark.parametrize("accept", ["application/vnd.interoperability.oracles+json;version=1", "text/html", "*/*", "?"])
def test_the_administration_apis_answer_in_json_whatever_accept_names(world: World, path: str, accept: str) -> None:
    headers = {"accept": accept, "date": "Tue, 24 Nov 2026 08:00:00 GMT"}
    answer = Client().get(path, headers=headers)
    assert (answer.status_code, answer["content-type"]) == (200, "application/json")
