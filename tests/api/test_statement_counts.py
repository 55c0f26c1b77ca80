"""What a payment costs the database before its transfer: as few statements for a group as for one message."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hub.outbox import backlog_limit
from hub.outbox.models import Message
from hub.participants import queries
from hub.postgresql.base import DatabaseWrapper
from quotes.models import BulkQuote, FxQuote, Quote
from rules.rulesets import active_rules
from tests.api import fx_messages, messages
from tests.api.caller import dfsp
from tests.api.test_fx_agreement import fx
from tests.concurrency.together import together
from tests.directory.requests import counted_statements, register
from tests.fx_world import open_kes
from tests.world import World

PARTY = "/parties/MSISDN/255655001001"


@contextmanager
def statements(count: int) -> Iterator[None]:
    """So many are sent meanwhile, none of them by the connection of the request."""
    with CaptureQueriesContext(connection) as captured, counted_statements() as sent:
        yield
    assert len(sent) == count, sent
    assert not captured.captured_queries


def put(path: str, body: dict[str, Any], **more: Any) -> None:
    assert dfsp("PUT", path, body, source="blue", destination="green", **more).status_code == 200


def post(path: str, body: dict[str, Any], **more: Any) -> None:
    assert dfsp("POST", path, body, destination="blue", **more).status_code == 202


def told() -> list[tuple[str, str, str]]:
    """(to whom, method, path) of all that waits in the outbox."""
    return list(Message.objects.order_by("id").values_list("destination__name", "method", "path"))


@pytest.fixture
def asked(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub has begun: an alias is known, and so are the callers' ids. Nothing is read once a second."""
    for read_each_second in (active_rules, backlog_limit):
        monkeypatch.setattr(read_each_second, "_REFRESH_S", 3600.0)
    register("MSISDN/255655001001", "blue")
    open_kes(committed_world, "blue")
    for name in ("green", "blue"):
        dfsp("GET", PARTY, source=name)
    Message.objects.all().delete()


@pytest.mark.usefixtures("asked")
def test_a_lookup_and_a_quote_alone_take_fifteen_statements() -> None:
    party = {"party": messages.party("blue", "255655001001")}
    with statements(5):  # who asks; the oracles of the type; who serves it; the lookup; its message
        assert dfsp("GET", PARTY).status_code == 202
    with statements(3):  # who asked; the lookup's end; the answer
        put(PARTY, party)
    body = messages.quote()
    path = f"/quotes/{body['quoteId']}"
    with statements(4):  # the two parties; whether the id is in use; the request; its message
        post("/quotes", body)
    with statements(3):  # how far it is; the answer; its message
        put(path, messages.terms())
    assert told() == [
        ("blue", "GET", PARTY),
        ("green", "PUT", PARTY),
        ("blue", "POST", "/quotes"),
        ("green", "PUT", path),
    ]


@pytest.mark.usefixtures("asked")
def test_the_thread_of_a_request_uses_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # One request a second does this, and returns the connection.
    monkeypatch.setattr(backlog_limit, "_REFRESH_S", 1000)
    ensure, here = DatabaseWrapper.ensure_connection, threading.get_ident()

    def ensure_elsewhere(self: DatabaseWrapper) -> None:
        assert threading.get_ident() != here
        ensure(self)

    body, _ = messages.quote(), queries.id_of("red")
    with monkeypatch.context() as patched:
        patched.setattr(DatabaseWrapper, "ensure_connection", ensure_elsewhere)
        assert dfsp("GET", PARTY).status_code == 202
        put(PARTY, {"party": messages.party("blue", "255655001001")})
        for _ in range(2):
            post("/quotes", body)
        put(f"/quotes/{body['quoteId']}", messages.terms())
        assert dfsp("GET", "/parties/MSISDN/404").status_code == 202  # refused by a callback
        assert dfsp("PUT", f"/quotes/{body['quoteId']}", messages.terms(), source="red").status_code == 400


@pytest.mark.usefixtures("asked")
def test_to_a_named_dfsp_a_lookup_takes_three_and_a_refusal_fewer() -> None:
    with statements(3):
        assert dfsp("GET", PARTY, destination="red").status_code == 202
    with statements(2):
        assert dfsp("GET", PARTY, destination="nobody").status_code == 202
    with statements(3):
        assert dfsp("POST", "/quotes", messages.quote(), destination="nobody").status_code == 202
    assert [to for to, *_ in told()] == ["red", "green", "green"]


@pytest.mark.usefixtures("asked")
def test_a_request_that_comes_again_takes_two_more_and_an_answer_none_to_write() -> None:
    body = messages.quote()
    path, terms = f"/quotes/{body['quoteId']}", messages.terms()
    post("/quotes", body)
    with statements(4):  # the two parties; the id is in use; as it was stored; passed on again
        post("/quotes", body)
    put(path, terms)
    with statements(1):
        put(path, terms)
    with statements(4):
        post("/quotes", body)
    asks, answers = ("blue", "POST", "/quotes"), ("green", "PUT", path)
    assert told() == [asks, answers]  # what waits is not added a second time
    Message.objects.all().delete()
    post("/quotes", body)
    assert told() == [answers]


@pytest.mark.usefixtures("asked")
def test_other_agreements_take_as_many() -> None:
    body = messages.bulk_quote()
    with statements(5):  # and the parties of its payments
        post("/bulkQuotes", body)
    with statements(3):
        put(f"/bulkQuotes/{body['bulkQuoteId']}/error", messages.error())
    assert BulkQuote.objects.get().state == "REJECTED"
    body = fx_messages.fx_quote(counterPartyFsp="blue")
    with statements(4):
        fx("POST", "/fxQuotes", body)
    with statements(3):
        fx("PUT", f"/fxQuotes/{body['conversionRequestId']}", fx_messages.fx_terms(body), source="blue")
    assert FxQuote.objects.get().state == "ACCEPTED"


@pytest.mark.usefixtures("asked")
def test_equal_requests_at_once_are_stored_once_and_passed_on_while_none_waits() -> None:
    body = messages.quote()
    together([partial(post, "/quotes", body)] * 6)
    assert Quote.objects.count() == 1
    assert set(told()) == {("blue", "POST", "/quotes")}
    Message.objects.all().delete()
    post("/quotes", body)
    assert told() == [("blue", "POST", "/quotes")]


@pytest.mark.usefixtures("asked")
def test_of_different_requests_at_once_under_one_id_one_is_stored_and_passed_on() -> None:
    body = messages.quote()
    together([partial(post, "/quotes", body | {"note": str(number)}) for number in range(6)])
    asked, *refusals = sorted(told())
    assert asked == ("blue", "POST", "/quotes")
    assert refusals == [("green", "PUT", f"/quotes/{body['quoteId']}/error")] * 5
    assert bytes(Message.objects.get(method="POST").body) == bytes(Quote.objects.get().request)


@pytest.mark.usefixtures("asked")
def test_of_different_answers_at_once_one_is_stored_and_told() -> None:
    body = messages.quote()
    post("/quotes", body)
    Message.objects.all().delete()
    path = f"/quotes/{body['quoteId']}"
    answers = [partial(put, path, messages.terms(expiration=messages.moment(60 + number))) for number in range(5)]
    together([*answers, partial(put, path + "/error", messages.error())])
    quote = Quote.objects.get()
    (message,) = Message.objects.filter(destination__name="green")
    assert bytes(message.body) == bytes(quote.response or b"")
    assert message.path == path + ("/error" if quote.state == "REJECTED" else "")
    codes = [
        json.loads(m.body)["errorInformation"]["errorCode"] for m in Message.objects.filter(destination__name="blue")
    ]
    assert set(codes) == {"3106"}  # one that still waits says it for the others
