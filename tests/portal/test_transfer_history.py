"""A payment's page tells all of it: who was asked about the payee, terms, postings, signatures, window, settlement."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from directory import builtin_oracle
from directory.aliases import Alias
from hub.outbox import store
from hub.outbox.models import Delivery, Message
from hub.participants.models import Participant
from ledger.decide import PREPARE_IS_REFUSED_BY
from ledger.models import SettlementWindow, Transfer
from portal.permissions import Role
from portal.queries import transfer_history, transfer_prepare_checks
from portal.queries.transfer_history import lookup_of
from quotes.models import Quote
from settlement import services
from settlement.models import Settlement
from settlement.states import State
from tests.api import messages
from tests.api.caller import dfsp
from tests.portal.people import browser, browser_of, person
from tests.settlement import operator_steps
from tests.settlement.operator_steps import add_model
from tests.world import World, fulfil, prepare, run

NUMBER = "255655001001"


def deliver() -> None:
    """All that waits is taken by whom it is for."""
    store.delivered([(number, 202) for number in Message.objects.order_by("id").values_list("id", flat=True)])


@pytest.fixture
def paid(committed_world: World) -> str:
    """A payment of green's to blue, from the lookup on."""
    world = committed_world
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name="blue"))
    assert dfsp("GET", f"/parties/MSISDN/{NUMBER}").status_code == 202
    deliver()
    who = {"party": messages.party("blue", NUMBER)}
    assert dfsp("PUT", f"/parties/MSISDN/{NUMBER}", who, source="blue", destination="green").status_code == 200
    deliver()
    quote = messages.quote(payee=messages.party("blue", NUMBER))
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    answered = dfsp("PUT", f"/quotes/{quote['quoteId']}", messages.terms(), source="blue", destination="green")
    assert answered.status_code == 200
    command = prepare(world, "green", "blue", 100, transfer_id=quote["transactionId"])
    command.message.headers["fspiop-signature"] = '{"signature":"x"}'
    run(command)
    run(fulfil(world, "blue", command.transfer_id))
    deliver()
    return command.transfer_id


def page_of(client: Any, transfer_id: str) -> str:
    answer = client.get(f"/portal/transfers/{transfer_id}/")
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found


@pytest.mark.django_db(transaction=True)
def test_a_payments_page_goes_from_the_lookup_to_the_settlement(paid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = browser(Role.VIEWER)
    page = page_of(viewer, paid)
    parts = [
        "blue received the lookup of the payee",
        "green received the result of the lookup",
        "green requested terms from blue",
        "Quote returned",
        "Prepared and reserved",
        "Fulfilled and committed",
    ]
    places = [page.find(part) for part in parts]
    assert -1 not in places, parts
    assert places == sorted(places)
    assert "blue was notified" in page
    assert "green POSITION" in page
    assert "PENDING_SETTLEMENT" not in page
    add_model()
    services.close_window(reason="test", actor="test")
    window = SettlementWindow.objects.exclude(state="OPEN").get()
    made = services.create(model_name="DEFERREDNET", window_ids=[window.pk], reason="test", actor="test")
    services.abort(made.pk, reason="test", actor="test")
    made = services.create(model_name="DEFERREDNET", window_ids=[window.pk], reason="test", actor="test")
    services.advance(made.pk, to=State.SETTLED, reason="test", actor="test")
    page = page_of(viewer, paid)
    assert f"/portal/settlement/{made.pk}/" in page
    taken_back = Settlement.objects.get(state="ABORTED").pk
    assert f"/portal/settlement/{taken_back}/" not in page


@pytest.mark.django_db(transaction=True)
def test_a_signature_is_said_to_be_checked_only_where_the_hub_checks(paid: str) -> None:
    viewer = browser(Role.VIEWER)
    page = page_of(viewer, paid)
    assert "signature checked" not in page
    assert ">signed<" in page
    with override_settings(SIGNATURES="required"):
        assert "signature checked" in page_of(viewer, paid)


@pytest.mark.django_db(transaction=True)
def test_a_payments_page_stays_short_and_shows_no_message_to_a_stranger(
    paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_history, "_MOST_DELIVERED", 5)
    for source in ("red", *["green"] * 6):
        assert dfsp("GET", f"/transfers/{paid}", source=source).status_code == 202
        deliver()
    assert Delivery.objects.filter(subject=paid).count() == 9
    page = page_of(browser(Role.VIEWER), paid)
    assert "red was notified" not in page
    assert page.count("was notified</strong>") == 5
    assert "Only the first 5 are shown." in page


def test_each_rule_by_which_a_prepare_is_refused_is_shown_as_one_check() -> None:
    checks = [check for check, _rules in transfer_prepare_checks.CHECKS]
    assert len(checks) == len(set(checks))  # the rules of one are next to each other
    assert set(checks) == set(transfer_prepare_checks.BY_RULE.values())
    assert [rule for rule in transfer_prepare_checks.BY_RULE if rule not in PREPARE_IS_REFUSED_BY] == []


def test_a_payments_page_says_what_was_checked_and_which_rule_refused_it(world: World) -> None:
    paid, refused = prepare(world, "green", "blue", 10), prepare(world, "green", "red", 2000)
    run(paid)
    run(refused)
    client = browser(Role.VIEWER)
    page = page_of(client, paid.transfer_id)
    assert "Checks by the hub" in page
    assert "the net debit cap of the paying participant is enough" in page
    assert "the conversion is agreed" not in page  # it has none
    assert "the terms of the quote" not in page  # it is not recorded whether that was checked
    page = page_of(client, refused.transfer_id)
    assert "the net debit cap of the paying participant is enough: <code>NDC</code>" in page
    assert "the cover of the paying participant is enough" in page
    early = prepare(world, "green", "blue", 1, expires_in=-5)
    run(early)
    page = page_of(client, early.transfer_id)
    assert "<code>EXPIRED_ON_ARRIVAL</code>" in page
    assert "payer and payee are different participants" in page
    assert "the cover of the paying participant is enough" not in page  # it was not come to


@pytest.mark.django_db(transaction=True)
def test_another_payments_lookup_is_not_in_the_story(paid: str, committed_world: World) -> None:
    other = prepare(committed_world, "green", "blue", 5, transfer_id=str(uuid.uuid4()))
    run(other)
    page = page_of(browser_of(person(Role.PARTICIPANT_VIEWER, participant="green")), other.transfer_id)
    assert "received the lookup of the payee" not in page


def look_up_and_quote(world: World, *, payer: str = "255712001001", late: bool = False) -> str:
    """A payment of one of green's customers to NUMBER; `late`: the answer's delivery is recorded after the quote."""
    assert dfsp("GET", f"/parties/MSISDN/{NUMBER}").status_code == 202
    deliver()
    who = {"party": messages.party("blue", NUMBER)}
    assert dfsp("PUT", f"/parties/MSISDN/{NUMBER}", who, source="blue", destination="green").status_code == 200
    if not late:
        deliver()
    quote = messages.quote(payee=messages.party("blue", NUMBER), payer=messages.party("green", payer))
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    deliver()
    run(prepare(world, "green", "blue", 5, transfer_id=quote["transactionId"]))
    return quote["transactionId"]


@pytest.mark.django_db(transaction=True)
def test_another_customers_lookup_of_the_same_payee_is_not_in_the_story(paid: str, committed_world: World) -> None:
    second = look_up_and_quote(committed_world, payer="255712001002")
    third = look_up_and_quote(committed_world, payer="255712001003")
    viewer = browser(Role.VIEWER)
    for transfer_id in (paid, second, third):
        page = page_of(viewer, transfer_id)
        assert page.count("blue received the lookup of the payee") == 1, transfer_id
        assert page.count("green received the result of the lookup") == 1, transfer_id
    assert "cannot tell" not in page_of(viewer, third)


@pytest.mark.django_db(transaction=True)
def test_customers_whose_lookups_were_open_at_once_share_none(paid: str, committed_world: World) -> None:
    """Messages of lookups have no id: each is in one story at most, and the page says so."""
    who = {"party": messages.party("blue", NUMBER)}
    for _ in range(2):
        assert dfsp("GET", f"/parties/MSISDN/{NUMBER}").status_code == 202
        deliver()
        assert dfsp("PUT", f"/parties/MSISDN/{NUMBER}", who, source="blue", destination="green").status_code == 200
        deliver()
    stories = []
    for _ in range(2):
        quote = messages.quote(payee=messages.party("blue", NUMBER))
        assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
        run(prepare(committed_world, "green", "blue", 5, transfer_id=quote["transactionId"]))
        found = lookup_of(Quote.objects.select_related("payer").get(pk=quote["quoteId"]))
        assert found is not None
        stories.append((found.answer.pk, found.request.pk, found.others))
    assert stories[0][:2] != stories[1][:2]
    assert [others for *_, others in stories] == [1, 0]
    assert "cannot tell" in page_of(browser(Role.VIEWER), Transfer.objects.order_by("received_at")[1].pk)


@pytest.mark.django_db(transaction=True)
def test_an_answer_whose_delivery_was_recorded_after_the_quote_is_in_the_story(committed_world: World) -> None:
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name="blue"))
    page = page_of(browser(Role.VIEWER), look_up_and_quote(committed_world, late=True))
    assert 0 < page.find("green received the result of the lookup") < page.find("green requested terms from blue")


@pytest.mark.django_db(transaction=True)
def test_a_page_about_one_thing_costs_the_same_however_much_hangs_on_it(committed_world: World) -> None:
    world = committed_world
    add_model()

    def a_day(payments: int) -> tuple[str, int]:
        """A payment and the settlement of its window."""
        for payer, payee in [("green", "blue"), ("blue", "red"), ("red", "grey")][: 1 + payments // 2]:
            for _ in range(payments):
                paid = operator_steps.pay(world, payer, payee, 1)
        services.close_window(reason="test", actor="test")
        window = SettlementWindow.objects.exclude(state="OPEN").latest("id")
        made = services.create(model_name="DEFERREDNET", window_ids=[window.pk], reason="test", actor="test")
        services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
        return paid, made.pk

    viewer, own = browser(Role.VIEWER), browser_of(person(Role.PARTICIPANT_VIEWER, participant="green"))

    def counts(paid: str, settlement: int) -> list[int]:
        found = []
        for client, path in (
            (viewer, f"transfers/{paid}/"),
            (viewer, f"settlement/{settlement}/"),
            (own, "own-settlement/"),
        ):
            client.get(f"/portal/{path}")
            with CaptureQueriesContext(connection) as captured:
                assert client.get(f"/portal/{path}").status_code == 200
            found.append(len(captured))
        return found

    first = counts(*a_day(1))
    assert counts(*a_day(4)) == first
    assert max(first) <= 20
