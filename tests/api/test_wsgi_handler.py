"""What is left out around a request changes nothing that a view or a client sees."""

import io
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from fspiop.time import http_date
from hub import urls as root_urls
from hub.api import dfsp_routing_middleware
from hub.api.wsgi_handler import LeanHandler, LeanRequest
from tests.world import World

PARTS = st.lists(
    st.sampled_from(
        ["application/json", ";", " ", "charset=", "utf-8", "latin-1", "no-such", '"', "version=1.1", "=", "a"]
    ),
    max_size=6,
).map("".join)


def environ(content_type: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(), "CONTENT_TYPE": content_type, "PATH_INFO": "/"}


def seen(request: WSGIRequest) -> tuple[object, ...]:
    return request.content_type, request.content_params


@given(PARTS | st.text(max_size=40))
def test_a_content_type_means_the_same_as_to_django(content_type: str) -> None:
    try:
        expected = seen(WSGIRequest(environ(content_type)))
    except ValueError:
        expected = seen(WSGIRequest(environ("")))  # the view refuses it
    for _ in range(2):  # the second time it is remembered
        assert seen(LeanRequest(environ(content_type))) == expected


@pytest.mark.parametrize("charset", ["hex", "undefined", "latin-1"])
def test_a_charset_changes_no_encoding(charset: str) -> None:
    """Python has encodings that are none of texts, and Django would read the query in them."""
    query = {"QUERY_STRING": "name=%C3%A9", "CONTENT_TYPE": f"text/plain; charset={charset}"}
    assert LeanRequest(environ("") | query).GET.dict() == {"name": "é"}


def test_a_long_content_type_costs_no_time_before_it_is_refused() -> None:
    began = time.thread_time()
    for size in (1000, 60_000, 1_000_000):
        assert seen(LeanRequest(environ("application/json" + ";" * size))) == seen(WSGIRequest(environ("")))
    assert time.thread_time() - began < 0.05


def test_what_one_request_does_to_its_parameters_is_not_seen_by_the_next() -> None:
    first = LeanRequest(environ("application/json; a=b"))
    assert first.content_params is not None
    first.content_params["a"] = "changed"
    assert LeanRequest(environ("application/json; a=b")).content_params == {"a": "b"}


ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"
REQUESTS = {
    "a lookup": ("GET", "/parties/MSISDN/255712001001", {}, 202),
    "a lookup of a sub-id": ("GET", "/parties/MSISDN/255712001001/shop", {}, 202),
    "a transfer that nobody made": ("GET", f"/transfers/{ID}", {}, 202),
    "a method that a resource does not have": ("DELETE", f"/transfers/{ID}", {}, 405),
    "HEAD, which Django would answer": ("HEAD", f"/transfers/{ID}", {}, 405),
    "OPTIONS, which DRF would answer": ("OPTIONS", f"/transfers/{ID}", {}, 405),
    "a path of a resource that has no route": ("GET", f"/transfers/{ID}/what", {}, 404),
    "a path without a resource": ("GET", "/no-such", {}, 404),
    "a dot segment": ("GET", "/transfers/../quotes", {}, 400),
    "a header is missing": ("GET", f"/quotes/{ID}", {"HTTP_DATE": None}, 400),
    "a source that nobody is": ("GET", f"/quotes/{ID}", {"HTTP_FSPIOP_SOURCE": "nobody"}, 400),
    "health": ("GET", "/health/live", {}, 200),
}


def sent_to(handler: WSGIHandler, method: str, path: str, changes: dict[str, str | None]) -> tuple[object, ...]:
    kind = f"application/vnd.interoperability.{path.split('/')[1]}+json"
    asked: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "hub",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "HTTP_DATE": http_date(datetime.now(UTC)),
        "HTTP_FSPIOP_SOURCE": "green",
        "HTTP_ACCEPT": f"{kind};version=1",
        "CONTENT_TYPE": f"{kind};version=1.1",
        **changes,
    }
    head: list[Any] = []
    answer = handler(
        {name: value for name, value in asked.items() if value is not None}, lambda *told: head.extend(told)
    )
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return head[0], sorted(each for each in head[1] if each[0] != "Date"), body


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path", "changes", "status"), REQUESTS.values(), ids=list(REQUESTS))
def test_the_short_way_to_a_view_answers_as_djangos_own(
    committed_world: World, method: str, path: str, changes: dict[str, str | None], status: int
) -> None:
    short, long = (sent_to(handler, method, path, changes) for handler in (LeanHandler(), WSGIHandler()))
    assert str(short[0]).startswith(str(status))
    assert short == long


@override_settings(SERVES=["portal"])
def test_a_door_that_a_process_does_not_serve_is_closed_on_the_short_way_too() -> None:
    short, long = (sent_to(handler, "GET", f"/transfers/{ID}", {}) for handler in (LeanHandler(), WSGIHandler()))
    assert str(short[0]).startswith("404")
    assert short == long


def test_each_resource_has_its_own_routes_and_all_together_are_the_api() -> None:
    routes = {
        first: dfsp_routing_middleware.resolver_of(first).url_patterns for first in dfsp_routing_middleware.DFSP_DOORS
    }
    assert all(routes.values())
    assert sum(len(each) for each in routes.values()) == len(dfsp_routing_middleware.dfsp_routes())
    of_all = [each for each in root_urls.urlpatterns if str(each.pattern).startswith("dfsp/")]
    assert of_all == routes["dfsp"], "a route below dfsp/ belongs to own_api_urlpatterns in hub.dfsp_urls"
