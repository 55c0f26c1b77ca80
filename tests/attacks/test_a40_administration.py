"""A40: every URL of the administration APIs, asked by everybody with every method: the answer is the rule's, and no URL
is without one. The URLs are the resolver's: a new view is asked like the others."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from types import MappingProxyType

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.checks import Error
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import URLPattern, path
from django.utils import timezone

from hub.administration import services
from hub.administration.models import READ, WRITE
from hub.api import access_rule_check
from hub.api.administration.views import AdministrationView
from hub.api.views import METHODS
from hub.list_of_urls import urls_below
from ledger.models import Entry as Posting
from tests import operators, proofs
from tests.factories import UserFactory
from tests.portal.people import PASSWORD, browser_of
from tests.world import World

ALL_METHODS = sorted(METHODS | {"HEAD", "OPTIONS", "TRACE"})
READING = {"GET"}
# Something for each part of a path; most of what it names need not exist: the door comes before the room.
PARTS = MappingProxyType({"name": "green", "sid": "1", "pid": "1", "aid": "1", "window_id": "1", "oracle_id": "999999"})
VIEWS = [(route, pattern) for route, pattern in urls_below("api/") if route not in access_rule_check.HEALTH]

Caller = tuple[dict[str, str], Client | None]


def url_of(route: str, pattern: URLPattern) -> str:
    url = "/" + route
    for name, converter in pattern.pattern.converters.items():
        kind = {"StringConverter": "str", "IntConverter": "int"}[type(converter).__name__]
        url = url.replace(f"<{kind}:{name}>", PARTS.get(name, "x") if kind == "str" else "999999")
    assert "<" not in url
    return url


def ask(caller: Caller, method: str, url: str) -> int:
    headers, browser = caller
    return operators.send(method, url, headers=headers, browser=browser).status_code


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def staff(world: World) -> User:
    return UserFactory.create(password=PASSWORD, is_root=True)


@pytest.fixture(autouse=True)
def _nothing_moves(world: World) -> Iterator[None]:
    """Whoever asks, with bodies that say nothing, changes nothing."""
    with connection.cursor() as cursor:  # most of these requests are refused without a statement
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    before = (Posting.objects.count(), world.account("green").net_debit_cap)
    yield
    assert (Posting.objects.count(), world.account("green").net_debit_cap) == before


def revoked_bearer() -> dict[str, str]:
    client, secret = operators.make_client(name="revoked")
    token = operators.token_of(client, secret)
    services.revoke(client.key, actor="test")
    return proofs.bearer(token)


def late_bearer() -> dict[str, str]:
    """A token that has expired, of a client that has not."""
    client, secret = operators.make_client(name="late")
    with time_machine.travel(timezone.now() - timedelta(hours=2)):
        token = operators.token_of(client, secret)
    return proofs.bearer(token)


def expired_bearer() -> dict[str, str]:
    """A token that has not expired, of a client that has."""
    client, secret = operators.make_client(name="expired")
    token = operators.token_of(client, secret)
    past = (timezone.now() - timedelta(seconds=1)).isoformat()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE administration_administrationclient DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE administration_administrationclient SET valid_until = %s WHERE id = %s", [past, client.pk]
        )
        cursor.execute("ALTER TABLE administration_administrationclient ENABLE TRIGGER USER")
    return proofs.bearer(token)


@override_settings(**operators.OAUTH2)
def test_a40_every_url_answers_every_caller_and_method_as_its_rule_says(world: World, staff: User) -> None:
    dfsps = proofs.register_client("green")
    strangers: dict[str, Caller] = {
        "nobody": ({}, None),
        "a DFSP": (proofs.bearer(proofs.token_of(dfsps)), None),
        "a DFSP's secret": (basic(dfsps.credential.label, dfsps.secret), None),
        "staff with both factors": ({}, browser_of(staff)),
        "staff with a password": (basic("olga", PASSWORD), None),
        "a token that expired": (late_bearer(), None),
        "a client that expired": (expired_bearer(), None),
        "a client that was revoked": (revoked_bearer(), None),
        "no token at all": (proofs.bearer("x.y.z"), None),
    }
    read: Caller = (operators.bearer([READ], name="reading"), None)
    write: Caller = (operators.bearer([WRITE], name="writing"), None)
    client, secret = operators.make_client(name="both")
    both: Caller = (proofs.bearer(operators.token_of(client, secret)), None)
    less: Caller = (proofs.bearer(operators.token_of(client, secret, READ)), None)  # asked for less than it has
    callers = strangers | {"read": read, "write": write, "both": both, "less": less}
    wrong = []
    for route, pattern in VIEWS:
        url = url_of(route, pattern)
        there = access_rule_check.methods_of(access_rule_check.view_of(pattern))
        for method in ALL_METHODS:
            reads = method in READING
            expected: dict[str, int | None]
            if method not in there:  # whoever asks: two stand for all
                expected = {"nobody": 405, "both": 405}
            else:
                expected = dict.fromkeys(strangers, 401)
                expected |= {"read": None if reads else 403, "less": None if reads else 403}
                expected |= {"write": 403 if reads else None, "both": None}
            for who, status in expected.items():
                said = ask(callers[who], method, url)
                is_right = said == status if status else said not in (401, 403, 405) and said < 500
                if not is_right:
                    wrong.append((who, method, url, said))
    assert wrong == []
    assert len(VIEWS) >= 30


@override_settings(ADMINISTRATION_AUTH="staff")
def test_a40_in_development_a_session_needs_both_factors_and_a_stranger_gets_nothing(world: World, staff: User) -> None:
    nobody_special = UserFactory.create(username="petro", password=PASSWORD)
    refused: dict[str, Caller] = {
        "nobody": ({}, None),
        "staff with one factor": ({}, browser_of(staff, has_second_factor=False)),
        "a token": (operators.bearer(), None),
    }
    others: dict[str, Caller] = {
        "no staff": ({}, browser_of(nobody_special)),
    }
    let_in: dict[str, Caller] = {"staff with both factors": ({}, browser_of(staff))}
    wrong = []
    for route, pattern in VIEWS:
        url = url_of(route, pattern)
        for method in access_rule_check.methods_of(access_rule_check.view_of(pattern)):
            for who, caller in (refused | others | let_in).items():
                said = ask(caller, method, url)
                if who in let_in:
                    is_right = said not in (401, 403, 405) and said < 500
                else:
                    is_right = said == (401 if who in refused else 403)
                if not is_right:
                    wrong.append((who, method, url, said))
    assert wrong == []


@override_settings(ADMINISTRATION_API_READ_ONLY=True, **operators.OAUTH2)
def test_a40_an_api_that_only_shows_takes_no_change_from_anybody(world: World) -> None:
    headers = operators.bearer()
    for route, pattern in VIEWS:
        for method in access_rule_check.methods_of(access_rule_check.view_of(pattern)):
            said = ask((headers, None), method, url_of(route, pattern))
            assert (said == 403) is (method != "GET"), (method, route, said)


def test_a40_health_is_open_and_says_nothing_else(world: World) -> None:
    with override_settings(**operators.OAUTH2):
        for route in access_rule_check.HEALTH:
            shown = set(Client().get("/" + route).json())
            assert shown <= {"status", "services", "uptime", "startTime", "versionNumber"}


def _function(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class _Silent(AdministrationView):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


urlpatterns = [
    path("api/ledger/v1/function", _function),
    path("api/ledger/v1/silent", _Silent.as_view()),
    path("elsewhere", _function),
]


def test_a_view_without_a_rule_does_not_start() -> None:
    assert access_rule_check.every_view_has_a_rule(None) == []
    with override_settings(ROOT_URLCONF=__name__):
        found = access_rule_check.every_view_has_a_rule(None)
    assert [(type(fault), fault.id) for fault in found] == [(Error, "api.E001"), (Error, "api.E002")]
    assert "/api/ledger/v1/function" in found[0].msg
    assert "POST /api/ledger/v1/silent" in found[1].msg
