from datetime import UTC, datetime

import pytest

from fspiop.errors import FspiopError
from fspiop.headers import FORWARDED, Headers, read_headers
from fspiop.versions import Version

SIGNED = {"fspiop-signature": "{}", "fspiop-uri": "/transfers", "fspiop-http-method": "POST"}
DATE = "Tue, 24 Nov 2026 08:00:00 GMT"


def sent(resource: str = "transfers", **changes: str | None) -> dict[str, str]:
    """The headers of a request; a change of None takes one away. Names have _ where HTTP has -."""
    headers: dict[str, str | None] = {
        "content-type": f"application/vnd.interoperability.{resource}+json;version=1.1",
        "accept": f"application/vnd.interoperability.{resource}+json;version=1",
        "date": DATE,
        "fspiop-source": "green",
        "fspiop-destination": "blue",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    return {name: value for name, value in headers.items() if value is not None}


def read(headers: dict[str, str], method: str = "POST", resource: str = "transfers") -> Headers:
    return read_headers(method, resource, headers.get)


def refusal(headers: dict[str, str], method: str = "POST", resource: str = "transfers") -> tuple[str, str]:
    with pytest.raises(FspiopError) as found:
        read(headers, method, resource)
    return found.value.code, found.value.description


def missing(name: str, method: str = "POST") -> tuple[str, str]:
    said_first = "Accept is required: " if (name, method) == ("accept", "GET") else ""
    return "3102", f"Missing mandatory element - {said_first}/header must have required property '{name}'"


def test_a_request_says_who_sends_what_to_whom():
    assert read(sent()) == Headers(
        source="green",
        destination="blue",
        date=datetime(2026, 11, 24, 8, tzinfo=UTC),
        date_text=DATE,
        content_version=Version(1, 1),
        accept_version=Version(1, 1),
        signature=None,
        uri=None,
        http_method=None,
    )


@pytest.mark.parametrize("name", ["content-type", "accept", "date", "fspiop-source"])
def test_a_request_needs_each_of_these(name):
    assert refusal(sent(**{name: None})) == missing(name)


@pytest.mark.parametrize(
    ("method", "needed", "not_needed"),
    [
        ("GET", ["accept", "content-type"], []),
        ("DELETE", ["accept", "content-type"], []),
        ("POST", ["accept", "content-type"], []),
        ("PUT", ["content-type"], ["accept"]),
        ("PATCH", ["content-type"], ["accept"]),
    ],
)
def test_accept_belongs_to_what_is_answered_and_content_type_to_everything(method, needed, not_needed):
    for name in needed:
        assert refusal(sent(**{name: None}), method) == missing(name, method)
    for name in not_needed:
        assert read(sent(**{name: None}), method).accept_version is None


def test_a_callback_s_accept_is_not_looked_at():
    assert read(sent(accept="text/html"), "PUT").accept_version is None


def test_a_get_s_content_type_is_a_right_one_or_where_that_is_allowed_none():
    assert read(sent(), "GET").content_version == Version(1, 1)
    without = sent(content_type=None)
    assert read_headers("GET", "transfers", without.get, needs_content_type=False).content_version is None
    assert refusal(sent(content_type="application/json"), "GET") == (
        "3101",
        "Malformed syntax - Invalid content-type header",
    )


@pytest.mark.parametrize("source", ["g", "x" * 32, "Green Bank", "pink-bank_1.dfsp", "Hub", "1"])
def test_a_participant_s_name_is_plain(source):
    assert read(sent(fspiop_source=source)).source == source


@pytest.mark.parametrize(
    "source", ["", "x" * 33, "{fspId}", "gr\x00een", "green\n", "grün", "a/b", "a'b", "a,b", "a;b", "green٣", "😀"]
)
def test_another_name_is_refused_by_its_header(source):
    assert refusal(sent(fspiop_source=source)) == (
        "3100",
        "Generic validation error - fspiop-source: must be a participant's name of 1 to 32 characters",
    )
    if source:
        assert refusal(sent(fspiop_destination=source))[1].startswith("Generic validation error - fspiop-destination:")


@pytest.mark.parametrize("destination", [None, ""])
def test_a_destination_may_be_left_out(destination):
    assert read(sent(fspiop_destination=destination)).destination is None
    assert read(sent("parties", fspiop_destination=destination), "GET", "parties").destination is None


def test_a_quote_needs_a_destination():
    headers = sent("quotes", fspiop_destination=None)
    assert refusal(headers, "POST", "quotes") == missing("fspiop-destination")
    assert read(headers, "GET", "quotes").destination is None


@pytest.mark.parametrize("date", ["", "2026-11-24T08:00:00.000Z", "yesterday", "Mon, 30 Feb 2026 08:00:00 GMT"])
def test_a_date_that_is_none_is_malformed(date):
    code, description = refusal(sent(date=date))
    assert code == "3101"
    assert description.startswith("Malformed syntax - date:")


def test_a_signature_comes_with_what_it_signs():
    headers = read(sent(**SIGNED))
    assert (headers.signature, headers.uri, headers.http_method) == ("{}", "/transfers", "POST")
    for name in ("fspiop-uri", "fspiop-http-method"):
        assert refusal(sent(**SIGNED | {name: None})) == missing(name)


def test_the_version_is_refused_before_other_headers_are_looked_at():
    headers = sent(content_type="application/vnd.interoperability.transfers+json;version=9.0", date=None)
    assert refusal(headers)[0] == "3001"


def test_headers_do_not_change():
    with pytest.raises(AttributeError):
        read(sent()).source = "red"  # type: ignore[misc]


def test_a_hub_passes_on_what_the_api_and_tracing_define():
    assert len(set(FORWARDED)) == len(FORWARDED) == 13
    assert all(name == name.lower() for name in FORWARDED)
    assert {"content-type", "accept", "date", "traceparent", "tracestate", "x-forwarded-for"} <= set(FORWARDED)
    assert not {"host", "content-length", "connection", "authorization", "cookie"} & set(FORWARDED)
