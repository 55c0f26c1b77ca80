"""Requests for terms that nobody answers: who asked is told once, and a late answer changes nothing."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import F

from hub.outbox import store
from hub.outbox.models import Message
from quotes import expiry, tasks
from quotes.models import Agreement, BulkQuote, FxQuote, Quote
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.concurrency.together import together
from tests.fx_world import open_kes
from tests.world import World

Kind = type[Agreement]


def fx_quote(**changes: Any) -> dict[str, Any]:
    terms = {
        "conversionId": messages.quote()["quoteId"],
        "initiatingFsp": "green",
        "counterPartyFsp": "blue",
        "amountType": "SEND",
        "sourceAmount": {"currency": "TZS", "amount": "100"},
        "targetAmount": {"currency": "KES"},
        "expiration": messages.moment(),
    }
    return {"conversionRequestId": messages.quote()["quoteId"], "conversionTerms": terms | changes}


KINDS: list[tuple[Kind, str, str, Callable[..., dict[str, Any]]]] = [
    (Quote, "/quotes", "quoteId", messages.quote),
    (BulkQuote, "/bulkQuotes", "bulkQuoteId", messages.bulk_quote),
    (FxQuote, "/fxQuotes", "conversionRequestId", fx_quote),
]
each_kind = pytest.mark.parametrize(("kind", "path", "id_name", "message"), KINDS)


@pytest.fixture
def world(world: World) -> World:
    return open_kes(world, "blue")


def ask(path: str, body: dict[str, Any]) -> None:
    headers = {}
    if path == "/fxQuotes":
        headers = {"accept": "application/vnd.interoperability.fxQuotes+json;version=2"}
    version = "2.0" if path == "/fxQuotes" else "1.1"
    response = dfsp("POST", path, body, destination="blue", version=version, headers=headers)
    assert response.status_code == 202, response.content


def deliver() -> None:
    store.delivered([(message_id, 200) for message_id in Message.objects.values_list("id", flat=True)])


def time_passes(kind: Kind, seconds: float) -> None:
    back = timedelta(seconds=seconds)
    kind._default_manager.update(created_at=F("created_at") - back, expires_at=F("expires_at") - back)


def told() -> list[tuple[str, str, str]]:
    """(to whom, path, code) of the error callbacks that wait in the outbox."""
    return [
        (message.destination.name, message.path, json.loads(message.body)["errorInformation"]["errorCode"])
        for message in Message.objects.select_related("destination").order_by("id")
    ]


@each_kind
def test_who_asked_is_told_once_that_the_request_expired(
    world: World, kind: Kind, path: str, id_name: str, message: Callable[..., dict[str, Any]]
) -> None:
    body = message(expiration=messages.moment(30))
    error_path = f"{path}/{body[id_name]}/error"
    ask(path, body)
    deliver()
    assert expiry.expire_unanswered() == 0
    time_passes(kind, 31)
    assert tasks.fail_unanswered() == 1
    assert tasks.fail_unanswered() == 0
    assert told() == [("green", error_path, "3302")]
    notice = Message.objects.get()
    assert notice.signed_by_hub
    assert notice.headers["fspiop-source"] == "Hub"
    # Asked again, in whichever way, the hub says so again, unless that still waits to be delivered.
    ask(path, body)
    assert told() == [("green", error_path, "3302")]
    deliver()
    ask(path, body)
    assert told() == [("green", error_path, "3302")]
    if kind is Quote:
        deliver()
        assert dfsp("GET", f"{path}/{body[id_name]}").status_code == 202
        assert told() == [("green", error_path, "3302")]


@each_kind
def test_a_late_answer_is_refused_and_a_refusal_too(
    world: World, kind: Kind, path: str, id_name: str, message: Callable[..., dict[str, Any]]
) -> None:
    body = message(expiration=messages.moment(30))
    ask(path, body)
    time_passes(kind, 31)
    assert expiry.expire_unanswered() == 1
    count = Message.objects.count()
    version = "2.0" if kind is FxQuote else "1.1"
    answer = dfsp(
        "PUT", f"{path}/{body[id_name]}/error", messages.error(), source="blue", destination="green", version=version
    )
    assert error_of(answer) == (400, "3302")
    if kind is Quote:
        answer = dfsp("PUT", f"{path}/{body[id_name]}", messages.terms(), source="blue", destination="green")
        assert error_of(answer) == (400, "3302")
    assert Message.objects.count() == count
    assert kind._default_manager.get().state == "EXPIRED"


def test_a_request_without_an_expiration_is_waited_for_as_long_as_the_hub_waits(world: World) -> None:
    body = messages.quote()
    ask("/quotes", body)
    deliver()
    time_passes(Quote, 55)
    assert expiry.expire_unanswered() == 0
    time_passes(Quote, 6)
    assert expiry.expire_unanswered() == 1
    assert told() == [("green", f"/quotes/{body['quoteId']}/error", "2004")]


def test_an_expiration_that_passed_long_ago_leaves_the_payee_a_moment(world: World) -> None:
    body = messages.quote(expiration="2021-11-08T21:31:00.534+01:00")
    ask("/quotes", body)
    assert expiry.expire_unanswered() == 0
    terms = messages.terms()
    assert dfsp("PUT", f"/quotes/{body['quoteId']}", terms, source="blue", destination="green").status_code == 200
    time_passes(Quote, 60)
    assert expiry.expire_unanswered() == 0
    assert Quote.objects.get().state == "ACCEPTED"


def test_who_was_told_that_the_payee_is_away_is_not_told_again(world: World) -> None:
    ask("/quotes", messages.quote())
    Message.objects.update(state=Message.State.DEAD)  # the outbox told 1001
    time_passes(Quote, 61)
    assert expiry.expire_unanswered() == 1
    assert Message.objects.count() == 1
    assert Quote.objects.get().state == "EXPIRED"


def test_an_answer_and_sweeps_at_once_end_a_request_once(committed_world: World) -> None:
    for _ in range(5):
        body = messages.quote()
        ask("/quotes", body)
        deliver()
        time_passes(Quote, 61)
        path = f"/quotes/{body['quoteId']}"
        answer = partial(dfsp, "PUT", path, messages.terms(), source="blue", destination="green")
        results = together([expiry.expire_unanswered, expiry.expire_unanswered, answer])
        ended = sum(result for result in results if isinstance(result, int))
        state = Quote.objects.get(pk=body["quoteId"]).state
        assert (ended, state) in ((1, "EXPIRED"), (0, "ACCEPTED"))
        assert list(Message.objects.values_list("path", flat=True)) == [path + "/error" if ended else path]
        deliver()
