"""A DFSP that is not live exchanges payments with the certifier only, in test money only, and only during its test."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import IntegrityError, transaction
from django.db.models import Q

from hub.outbox.models import Message
from hub.participants import offboarding
from hub.participants import services as participants
from hub.participants.models import Participant
from hub.test_currency import TEST_CURRENCY
from ledger import accounts_and_funds
from ledger.commands_and_outcomes import Committed, Refusal, Refused, Reserved
from ledger.fx.commands_and_outcomes import FxRefused
from portal.certification import (
    certifier_participant,
    certifying_process,
    report,
    starting_and_ending_runs,
    test_accounts,
)
from portal.certification.models import Certification
from portal.certification.options import Options
from tests import fx_world
from tests.api import messages
from tests.api.caller import dfsp
from tests.api.test_send_only_receive_only import PASSED_ON, said
from tests.api.test_transaction_requests import request_to_pay
from tests.bulks import bulk_prepare, run_bulk
from tests.world import World, fulfil, prepare, run

NEW, CERTIFIER = "newbank", configured.CERTIFIER_NAME
NEWS_NUMBER, CERTIFIERS_NUMBER = "255799000001", "999000000001"
SEND, RECEIVE = Refusal.PAYER_MAY_NOT_SEND.value, Refusal.PAYEE_MAY_NOT_RECEIVE.value


def begin(world: World) -> Certification:
    """A DFSP before its go-live, with money in TZS, and the certifier and green with accounts in both currencies."""
    for name in (NEW, CERTIFIER):
        if name == CERTIFIER:
            world.ids[name] = certifier_participant.set_up(endpoint="http://127.0.0.1:9/endpoint").participant.pk
        opened = accounts_and_funds.register_participant(
            name=name, currency="TZS", is_proxy=False, actor="test", is_live=False
        )
        accounts_and_funds.set_initial_limit(opened, currency="TZS", ndc=10_000_000, actor="test")
        world.ids[name] = opened.pk
        world.funds_in(name, 1000)
    participants.set_endpoint(of(NEW), endpoint_type="FSPIOP_CALLBACK_URL", value="http://new.example", actor="test")
    for name in (NEW, "green"):
        test_accounts.open_accounts(of(name))
    made = starting_and_ending_runs.ask(of(NEW), Options(payee=NEWS_NUMBER), asked_by="asha")
    assert starting_and_ending_runs.take(made)
    return made


def of(name: str) -> Participant:
    return Participant.objects.get(name=name)


@pytest.fixture
def tested(world: World) -> Certification:
    made = begin(world)
    starting_and_ending_runs.let_pay(made, of(CERTIFIER))
    return made


def outcome(world: World, payer: str, payee: str, currency: str = TEST_CURRENCY) -> str:
    """ "reserved", or the reason for which the ledger refuses this payment."""
    found = run(prepare(world, payer, payee, 1, currency=currency))
    assert isinstance(found, Reserved | Refused)
    return "reserved" if isinstance(found, Reserved) else str(found.transfer.reason)


def both_ways(world: World) -> tuple[str, str]:
    return outcome(world, NEW, CERTIFIER), outcome(world, CERTIFIER, NEW)


def test_a_tested_dfsp_pays_the_certifier_and_is_paid_by_it(world: World, tested: Certification) -> None:
    for payer, payee in ((NEW, CERTIFIER), (CERTIFIER, NEW)):
        command = prepare(world, payer, payee, 1, currency=TEST_CURRENCY)
        assert isinstance(run(command), Reserved)
        assert isinstance(run(fulfil(world, payee, command.transfer_id)), Committed)
    assert (of(NEW).may_send, of(NEW).may_receive) == (False, False)
    assert world.breaks() == []


@pytest.mark.parametrize(
    ("payer", "payee", "currency", "refusal"),
    [
        (NEW, CERTIFIER, "TZS", SEND),
        (CERTIFIER, NEW, "TZS", RECEIVE),
        (NEW, "green", TEST_CURRENCY, SEND),
        ("green", NEW, TEST_CURRENCY, RECEIVE),
        (NEW, "green", "TZS", SEND),
        ("green", NEW, "TZS", RECEIVE),
        (NEW, NEW, TEST_CURRENCY, SEND),
        (NEW, "nobody", TEST_CURRENCY, SEND),
    ],
)
def test_nothing_else_is_paid(
    world: World, tested: Certification, payer: str, payee: str, currency: str, refusal: str
) -> None:
    assert outcome(world, payer, payee, currency) == refusal


def test_another_dfsp_that_is_not_live_gains_nothing(world: World, tested: Certification) -> None:
    other = accounts_and_funds.register_participant(
        name="other", currency=TEST_CURRENCY, is_proxy=False, actor="test", is_live=False
    )
    world.ids["other"] = other.pk
    test_accounts.open_accounts(other)
    assert outcome(world, "other", CERTIFIER) == outcome(world, "other", NEW) == outcome(world, NEW, "other") == SEND
    assert outcome(world, CERTIFIER, "other") == RECEIVE


def test_a_tested_dfsp_converts_nothing(world: World, tested: Certification) -> None:
    fx_world.open_scheme(world)
    found = fx_world.run(fx_world.fx_prepare(world, str(uuid.uuid4()), initiator=NEW))
    assert isinstance(found, FxRefused)
    assert found.conversion.reason == Refusal.INITIATOR_MAY_NOT_SEND.value


@pytest.mark.parametrize(
    "end",
    [
        report.finish,
        lambda made: certifying_process._give_up([made], "x"),
        lambda made: starting_and_ending_runs.interrupt(Q(pk=made.pk)),
        lambda made: offboarding.begin(made.participant, actor="test"),
    ],
    ids=["judged", "given up", "interrupted", "off-boarded"],
)
def test_it_ends_with_the_run_and_with_the_off_boarding(
    world: World, tested: Certification, end: Callable[[Certification], object]
) -> None:
    assert both_ways(world) == ("reserved", "reserved")
    end(tested)
    assert of(NEW).tested_by is None
    assert both_ways(world) == (SEND, RECEIVE)
    starting_and_ending_runs.let_pay(tested, of(CERTIFIER))
    assert both_ways(world) == (SEND, RECEIVE)


def test_the_go_live_ends_it(world: World, tested: Certification) -> None:
    participants.go_live(of(NEW), actor="test")
    assert of(NEW).tested_by is None
    assert outcome(world, NEW, "green", "TZS") == "reserved"


def test_no_run_begins_it_before_it_runs(world: World) -> None:
    made = begin(world)
    assert both_ways(world) == (SEND, RECEIVE)
    Certification.objects.filter(pk=made.pk).update(state=Certification.State.WAITING)
    starting_and_ending_runs.let_pay(made, of(CERTIFIER))
    assert both_ways(world) == (SEND, RECEIVE)


def pause(dfsp: Participant) -> None:
    participants.set_directions(dfsp, may_send=False, may_receive=False, actor="test")


@pytest.mark.parametrize("stop", [pause, lambda dfsp: offboarding.begin(dfsp, actor="test")], ids=["paused", "leaving"])
def test_a_live_dfsp_that_may_not_pay_gains_nothing(world: World, stop: Callable[[Participant], object]) -> None:
    begin(world)
    made = starting_and_ending_runs.ask(of("green"), Options(payee="255712001001"), asked_by="asha")
    assert starting_and_ending_runs.take(made)
    stop(of("green"))
    starting_and_ending_runs.let_pay(made, of(CERTIFIER))
    assert outcome(world, "green", CERTIFIER) == SEND
    assert outcome(world, CERTIFIER, "green") == RECEIVE
    with pytest.raises(IntegrityError), transaction.atomic():
        Participant.objects.filter(name="green").update(tested_by=of(CERTIFIER))


def test_a_disabled_dfsp_gains_nothing(world: World, tested: Certification) -> None:
    participants.set_active(of(NEW), is_active=False, actor="test")
    assert both_ways(world) == (Refusal.PAYER_IS_NOT_ACTIVE.value, Refusal.PAYEE_IS_NOT_ACTIVE.value)


# --- the messages before a transfer, and bulks ------------------------------------------------------------------------


def ask(source: str, destination: str, method: str, path: str, body: Any = None) -> str:
    """ "passed on", or the code of the callback with which the hub refuses this request."""
    Message.objects.all().delete()
    answer = dfsp(method, path, body, source=source, destination=destination)
    assert answer.status_code == 202, answer.content
    return said(source)


def asks(payer: str, payee: str, currency: str) -> list[str]:
    """What the hub does with a lookup, requests for terms, and a request to pay between these two."""
    money = {"currency": currency, "amount": "1"}
    of_payer, of_payee = messages.party(payer, NEWS_NUMBER), messages.party(payee, CERTIFIERS_NUMBER)
    bulk = messages.bulk_quote(1, payer=of_payer)
    bulk["individualQuotes"][0] |= {"payee": of_payee, "amount": money}
    wanted = request_to_pay(payee=of_payee, payer=of_payer["partyIdInfo"], amount=money)
    return [
        ask(payer, payee, "GET", f"/parties/MSISDN/{CERTIFIERS_NUMBER}?currency={currency}"),
        ask(payer, payee, "POST", "/quotes", messages.quote(payer=of_payer, payee=of_payee, amount=money)),
        ask(payer, payee, "POST", "/bulkQuotes", bulk),
        ask(payee, payer, "POST", "/transactionRequests", wanted),
    ]


@pytest.mark.django_db(transaction=True)
def test_requests_go_where_the_payment_could_be_made(committed_world: World) -> None:
    world = committed_world
    made = begin(world)
    assert asks(NEW, CERTIFIER, TEST_CURRENCY) == ["4300"] * 4
    assert asks(CERTIFIER, NEW, TEST_CURRENCY) == ["5300"] * 4
    starting_and_ending_runs.let_pay(made, of(CERTIFIER))
    for payer, payee in ((NEW, CERTIFIER), (CERTIFIER, NEW)):
        assert asks(payer, payee, TEST_CURRENCY) == [PASSED_ON] * 4
        assert ask(payer, payee, "GET", f"/parties/MSISDN/{CERTIFIERS_NUMBER}") == PASSED_ON
    assert asks(NEW, CERTIFIER, "TZS") == asks(NEW, "green", TEST_CURRENCY) == ["4300"] * 4
    assert asks(CERTIFIER, NEW, "TZS") == asks("green", NEW, TEST_CURRENCY) == ["5300"] * 4
    mixed = messages.bulk_quote(2, payer=messages.party(NEW, NEWS_NUMBER))
    for item, currency in zip(mixed["individualQuotes"], (TEST_CURRENCY, "TZS"), strict=True):
        item |= {"payee": messages.party(CERTIFIER, CERTIFIERS_NUMBER), "amount": {"currency": currency, "amount": "1"}}
    assert ask(NEW, CERTIFIER, "POST", "/bulkQuotes", mixed) == "4300"


@pytest.mark.django_db(transaction=True)
def test_a_bulk_is_refused_item_by_item(committed_world: World) -> None:
    world = committed_world
    starting_and_ending_runs.let_pay(begin(world), of(CERTIFIER))
    for payer, payee, refusal in ((NEW, CERTIFIER, SEND), (CERTIFIER, NEW, RECEIVE)):
        asked = bulk_prepare(world, payer, payee, [1, 2])
        asked = replace(asked, items=[replace(asked.items[0], currency=TEST_CURRENCY), asked.items[1]])
        found: Any = run_bulk(asked)
        reasons = {item.currency: item.reason for item in found.items}
        assert reasons == {TEST_CURRENCY: None, "TZS": refusal}
