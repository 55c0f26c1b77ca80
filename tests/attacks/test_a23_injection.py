"""A23: SQL in every query, header and path of the APIs stays text; the portal's fields are in test_portal_others."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portal import users
from portal.permissions import HUB_ROLES, Role
from tests.api.caller import admin, call, dfsp
from tests.portal.people import browser_of, person
from tests.world import World

SLEEP_S = 9
HOSTILE = [
    "' OR '1'='1",
    "1; SELECT pg_sleep(9)--",
    "1) UNION SELECT pg_sleep(9)--",
    "'; DROP TABLE ledger_transfer; --",
    "\\'; SELECT 1; --",
    "$$; SELECT pg_sleep(9); $$",
    "%27%20OR%201=1",
    "{{7*7}}",
]
QUERIES = [
    ("/api/ledger/v1/limits", ("currency", "type")),
    ("/api/ledger/v1/participants/limits", ("currency", "type")),
    ("/api/ledger/v1/participants/green/accounts", ("currency",)),
    ("/api/ledger/v1/participants/green/positions", ("currency",)),
    ("/api/directory/v1/oracles", ("type", "currency")),
    ("/api/settlement/v2/settlements", ("currency", "participantId", "settlementWindowId", "state", "fromDateTime")),
    ("/api/settlement/v2/settlementWindows", ("state", "participantId", "currency", "fromDateTime", "toDateTime")),
]
PAGES = {
    "transfers/": ("id", "alias", "dfsp", "state", "error", "currency", "least", "window", "since", "before"),
    "transfers.csv": ("id", "alias", "dfsp", "error"),
    "conversions/": ("id", "dfsp", "state", "error", "currency", "since", "before"),
    "conversions/terms/": ("id", "dfsp", "state", "until", "before"),
    "directory/": ("identifier", "type"),
    "audit/": ("actor", "subject", "action", "before"),
    "audit/entries.csv": ("actor", "subject"),
    "callbacks/": ("dfsp", "state", "before"),
}


@contextmanager
def in_time() -> Iterator[None]:
    """Shorter than what is hidden in some of these would sleep."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SLEEP_S


@pytest.mark.parametrize("text", HOSTILE)
def test_a23_a_query_of_an_administration_api_stays_text(world: World, text: str) -> None:
    for path, names in QUERIES:
        for name in names:
            with in_time():
                answer = call(
                    "GET", f"{path}?{name}={text.replace('%', '%25').replace(' ', '%20').replace(';', '%3B')}"
                )
            assert answer.status_code < 500, (path, name)
            assert b"syntax error" not in answer.content.lower()
    for name in (text, text.replace("'", "%27")):
        assert admin("GET", f"/participants/{name.replace(' ', '%20')}").status_code in (400, 404)


@pytest.mark.parametrize("text", HOSTILE)
def test_a23_headers_and_paths_of_the_fspiop_api_stay_text(world: World, text: str) -> None:
    for header in ("fspiop-source", "fspiop-destination", "date", "fspiop-uri"):
        with in_time():
            answer = dfsp("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069", headers={header: text})
        assert answer.status_code < 500
    quoted = text.replace(" ", "%20").replace("'", "%27").replace(";", "%3B").replace("{", "%7B").replace("}", "%7D")
    for path in (f"/parties/MSISDN/{quoted}", f"/transfers/{quoted}", f"/participants/{quoted}/1"):
        assert dfsp("GET", path).status_code < 500, path


@pytest.mark.parametrize(
    "text", [*HOSTILE[:1], *(pytest.param(text, marks=pytest.mark.thorough) for text in HOSTILE[1:])]
)
def test_a23_a_page_of_the_portal_binds_what_it_is_asked(world: World, text: str) -> None:
    user = person(Role.AUDITOR)
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    client = browser_of(user)
    for path, names in PAGES.items():
        for name in names:
            with in_time(), CaptureQueriesContext(connection) as captured:
                answer = client.get(f"/portal/{path}", {name: text})
                if answer.streaming:
                    list(answer.streaming_content)
            # no file is made of a condition that cannot be read: its page says so
            unread = path == "transfers.csv" and answer.status_code == 302
            assert unread or answer.status_code == 200, (path, name)
            # where it reaches a statement it is a literal, with its quotes doubled
            for sql in (query["sql"] for query in captured if text in query["sql"]):
                assert text.replace("'", "''") in sql, sql
