"""The words in which requests are refused: other hubs' test suites look for them, so they stay as they are."""

import copy
from typing import Any

import pytest

from tests.api import messages
from tests.api.caller import ABSENT, description_of, dfsp, error_of
from tests.world import World

ID = "abcdef00-0000-4000-8000-00000000000a"
QUERY = "?authenticationType=OTP&retriesLeft=2&amount=102&currency=TZS"
REQUESTS = {
    "participants": ("GET", "/participants/MSISDN/1"),
    "parties": ("GET", "/parties/MSISDN/1"),
    "transactionRequests": ("POST", "/transactionRequests"),
    "quotes": ("POST", "/quotes"),
    "authorizations": ("GET", f"/authorizations/{ID}{QUERY}"),
    "transfers": ("POST", "/transfers"),
    "transactions": ("GET", f"/transactions/{ID}"),
    "bulkQuotes": ("POST", "/bulkQuotes"),
    "bulkTransfers": ("POST", "/bulkTransfers"),
    "fxQuotes": ("POST", "/fxQuotes"),
    "fxTransfers": ("POST", "/fxTransfers"),
}
MISSING = "Missing mandatory element - "
MALFORMED = "Malformed syntax - "
ACCEPT_VERSION = (
    "Unacceptable version requested - The Client requested an unsupported version,"
    " see extension list for supported version(s)."
)
CONTENT_VERSION = (
    "Unacceptable version requested - Client supplied a protocol version which is not supported by the server"
)


def refused(resource: str, **headers: str | None) -> tuple[int, str, str]:
    method, path = REQUESTS[resource]
    version = "2.0" if resource.startswith("fx") else "1.1"
    accept = f"application/vnd.interoperability.{resource}+json;version={version[0]}"
    sent = {"accept": accept} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = dfsp(method, path, {} if method == "POST" else None, destination="blue", version=version, headers=sent)
    return *error_of(answer), description_of(answer)


@pytest.mark.parametrize("resource", REQUESTS)
def test_headers_are_refused_in_these_words(world: World, resource: str) -> None:
    kind = f"application/vnd.interoperability.{resource}+json"
    is_get = REQUESTS[resource][0] == "GET"
    for name in ("date", "fspiop-source", "content-type"):
        expected = (400, "3102", f"{MISSING}/header must have required property '{name}'")
        assert refused(resource, **{name: ABSENT}) == expected
    said_first = "Accept is required: " if is_get else ""
    expected = (400, "3102", f"{MISSING}{said_first}/header must have required property 'accept'")
    assert refused(resource, accept=ABSENT) == expected
    for content_type in ("application/json", kind, f"{kind};version=one"):
        expected = (400, "3101", f"{MALFORMED}Invalid content-type header")
        assert refused(resource, content_type=content_type) == expected
    fault = "Unsupported Media Type" if resource == "transactionRequests" else "Invalid content-type header"
    assert refused(resource, content_type="text/xml") == (400, "3101", MALFORMED + fault)
    assert refused(resource, accept="text/html") == (400, "3101", f"{MALFORMED}Invalid accept header")
    assert refused(resource, content_type=f"{kind};version=9.0") == (406, "3001", CONTENT_VERSION)
    assert refused(resource, accept=f"{kind};version=9") == (406, "3001", ACCEPT_VERSION)
    assert refused(resource, date="yesterday")[:2] == (400, "3101")
    for source in ("", "{fspId}"):
        assert refused(resource, fspiop_source=source)[0] == 400


def test_terms_are_asked_of_somebody(world: World) -> None:
    answer = dfsp("POST", "/quotes", messages.quote())
    assert error_of(answer) == (400, "3102")
    assert description_of(answer) == f"{MISSING}/header must have required property 'fspiop-destination'"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("payer", None, "3102"),
        ("quoteId", None, "3102"),
        ("transactionId", None, "3102"),
        ("amountType", None, "3102"),
        ("amount", None, "3102"),
        ("amount.currency", None, "3102"),
        ("transactionType.scenario", None, "3102"),
        ("transactionType.initiator", None, "3102"),
        ("transactionType.initiatorType", None, "3102"),
        ("amountType", "SENT", "3100"),
        ("amount.amount", "1.10", "3100"),
        ("amount.currency", "ZZZ", "3100"),
        ("quoteId", "42", "3100"),
        ("transactionId", "42", "3100"),
        ("transactionType.scenario", "GIFT", "3100"),
        ("transactionType.initiator", "NOBODY", "3100"),
        ("transactionType.initiatorType", "CAT", "3100"),
        ("payer.personalInfo.complexName.firstName", "", "3100"),
        ("payer.personalInfo.complexName.lastName", "x" * 129, "3100"),
        ("payer.personalInfo.dateOfBirth", "1971-02-30", "3100"),
        ("payer", "green", "3101"),
        ("amount.amount", 1, "3101"),
    ],
)
def test_a_field_at_fault_is_named(world: World, field: str, value: Any, code: str) -> None:
    body = copy.deepcopy(messages.quote())
    at: Any = body
    *way, last = field.split(".")
    for step in way:
        at = at.setdefault(step, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    answer = dfsp("POST", "/quotes", body, destination="blue")
    assert error_of(answer) == (400, code)
    assert last in description_of(answer)


@pytest.mark.parametrize("path", ["/transfers/", "/quotes/", "/transactionRequests/", "/payments", "/"])
def test_an_unknown_path_is_an_unknown_uri(world: World, path: str) -> None:
    answer = dfsp("PUT", path, {})
    assert (*error_of(answer), description_of(answer)) == (404, "3002", "Unknown URI")
