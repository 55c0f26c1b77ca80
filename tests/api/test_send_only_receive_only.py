"""Send-only and receive-only at the doorway: who asks learns at the lookup or the quote what the payment would say."""

import json
from typing import Any

import pytest

from hub.outbox.models import Message
from hub.participants import services as participants
from hub.participants.models import CurrencyPair, Participant
from tests import fx_world
from tests.api import fx_messages, messages
from tests.api.caller import dfsp
from tests.api.test_fx_agreement import fx
from tests.api.test_transaction_requests import request_to_pay
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)

NEITHER, SEND, RECEIVE, BOTH = (False, False), (True, False), (False, True), (True, True)
PASSED_ON = "passed on"


def let(name: str, may: tuple[bool, bool]) -> None:
    participants.set_directions(Participant.objects.get(name=name), may_send=may[0], may_receive=may[1], actor="test")


def said(source: str) -> str:
    """What the last message was: the request on its way, or the code of the callback that refuses it."""
    message = Message.objects.select_related("destination").latest("created_at", "id")
    if message.destination.name != source:
        return PASSED_ON
    return str(json.loads(message.body)["errorInformation"]["errorCode"])


def ask(path: str, body: Any, *, source: str = "green", destination: str = "blue") -> str:
    assert dfsp("POST", path, body, source=source, destination=destination).status_code == 202
    return said(source)


@pytest.mark.parametrize(
    ("green", "blue", "answer"),
    [
        (BOTH, BOTH, PASSED_ON),
        (SEND, RECEIVE, PASSED_ON),
        (RECEIVE, BOTH, "4300"),
        (BOTH, SEND, "5300"),
        (NEITHER, NEITHER, "4300"),
    ],
)
def test_a_quote_is_asked_for_where_the_payment_could_be_made(
    committed_world: World, green: tuple[bool, bool], blue: tuple[bool, bool], answer: str
) -> None:
    let("green", green)
    let("blue", blue)
    assert ask("/quotes", messages.quote()) == answer
    assert ask("/bulkQuotes", messages.bulk_quote()) == answer


@pytest.mark.parametrize(
    ("payer", "payee", "answer"),
    [(SEND, RECEIVE, PASSED_ON), (RECEIVE, BOTH, "4300"), (BOTH, SEND, "5300")],
)
def test_a_request_to_pay_goes_where_it_could_be_paid(
    committed_world: World, payer: tuple[bool, bool], payee: tuple[bool, bool], answer: str
) -> None:
    let("green", payer)
    let("blue", payee)
    assert ask("/transactionRequests", request_to_pay(), source="blue", destination="green") == answer


@pytest.mark.parametrize(
    ("asker", "owner", "answer"),
    [
        (SEND, RECEIVE, PASSED_ON),
        (RECEIVE, SEND, PASSED_ON),  # it will ask to be paid
        (BOTH, SEND, PASSED_ON),
        (SEND, SEND, "5300"),
        (RECEIVE, RECEIVE, "4300"),
        (BOTH, NEITHER, "5300"),
        (NEITHER, BOTH, "4300"),
    ],
)
def test_a_lookup_goes_where_one_could_pay_the_other(
    committed_world: World, asker: tuple[bool, bool], owner: tuple[bool, bool], answer: str
) -> None:
    dfsp("POST", "/participants/MSISDN/255655001001", {"fspId": "blue"}, source="blue")
    let("green", asker)
    let("blue", owner)
    for destination in (None, "blue"):
        assert dfsp("GET", "/parties/MSISDN/255655001001", destination=destination).status_code == 202
        assert said("green") == answer


@pytest.mark.parametrize(("may", "answer"), [(BOTH, PASSED_ON), (SEND, "5300"), (RECEIVE, "5300")])
def test_an_fxp_is_asked_and_named_where_it_may_be_paid_and_pay(
    committed_world: World, may: tuple[bool, bool], answer: str
) -> None:
    fx_world.open_scheme(committed_world)
    fxp = Participant.objects.get(name="fxp")
    CurrencyPair.objects.create(participant=fxp, source_currency="TZS", target_currency="KES")
    let("fxp", may)
    assert fx("POST", "/fxQuotes", fx_messages.fx_quote(), destination="fxp").status_code == 202
    assert said("green") == answer
    fx("GET", "/services/FXP/TZS/KES")
    providers = json.loads(Message.objects.latest("created_at", "id").body)["providers"]
    assert providers == (["fxp"] if may == BOTH else [])


def test_who_is_paused_asks_for_no_quote(committed_world: World) -> None:
    participants.set_active(Participant.objects.get(name="green"), is_active=False, actor="test")
    assert ask("/quotes", messages.quote()) == "3000"
    assert ask("/transactionRequests", request_to_pay(), source="blue", destination="green") == "3201"
