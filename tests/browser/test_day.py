"""A day in the scheme as docs/operators.md describes it, walked by two people, each in a browser of their own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import override_settings

from directory import builtin_oracle
from directory.aliases import Alias
from hub.participants.models import Participant
from ledger.models import Account
from ledger.queries import cover_of
from portal import history, users
from portal.alarms import services as alarms
from portal.alarms.checks import Cause
from portal.history import folding
from portal.models import Alarm
from portal.permissions import Role
from settlement.models import Settlement
from tests.api.caller import dfsp
from tests.browser.conftest import Open, Window
from tests.browser.steps import approve, ask
from tests.outbox.test_courier import Sink
from tests.portal.people import person
from tests.portal.test_find_payments import NUMBER, answer, look_up
from tests.portal.test_find_payments import ask as ask_for_terms
from tests.settlement.operator_steps import add_model, pay
from tests.world import World, amount, prepare, run

NEW, TEST_NUMBER = "ziwa-bank", "255700000001"


@pytest.fixture
def bank() -> Iterator[Sink]:
    """The server of the bank that joins today."""
    sink = Sink()
    yield sink
    sink.server.shutdown()


@pytest.fixture
def scheme_at_work(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """What the night left: payments, one of them refused by a cap, and an alarm."""
    cache.clear()
    world = committed_world
    add_model()
    pay(world, "green", "blue", 350)
    pay(world, "blue", "red", 120)
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name="blue"))
    look_up()
    quote = ask_for_terms("3000")
    answer(quote)
    run(prepare(world, "green", "blue", 3000, transfer_id=quote["transactionId"]))
    alarms.store("given_up_callbacks", [Cause("blue", {"participant": "blue", "count": 3})])
    monkeypatch.setattr(folding, "HORIZON_S", 0)  # as a minute later
    return world


@pytest.fixture
def two(open_window: Open, scheme_at_work: World) -> tuple[Window, Window]:
    """The maker, who does the daily work, and the checker."""
    maker = person(Role.OPERATOR, name="asha")
    users.set_roles(maker, roles=frozenset({Role.OPERATOR, Role.SETTLEMENT, Role.RISK}), actor="test")
    return open_window(maker), open_window(person(Role.RISK, name="juma"))


@override_settings(SCHEME_COUNTRY="TZ")
def test_a_day_of_two_people(two: tuple[Window, Window], scheme_at_work: World, bank: Sink, tmp_path: Path) -> None:
    maker, checker = two
    _look_in_the_morning(maker)
    _work_on_the_alarm(maker)
    _find_the_payment_of_a_caller(maker)
    _onboard_a_bank(maker, checker, bank)
    _approve_several(maker, checker)
    _go_live(maker, checker, bank)
    scheme_at_work.ids[NEW] = Participant.objects.get(name=NEW).pk
    pay(scheme_at_work, "green", NEW, 40)
    _settle(maker, checker, tmp_path)
    _look_at_the_history(maker)
    _pause_and_resume(maker, checker)
    assert scheme_at_work.breaks() == []


def _look_in_the_morning(maker: Window) -> None:
    maker.go("/portal/overview/")
    maker.page.locator("#volume canvas").wait_for()
    tile = maker.page.locator(".tile").filter(has_text="Success rate")
    assert tile.locator("strong").inner_text() == "66.7 %"
    maker.page.get_by_role("row").filter(has_text="green").first.wait_for()


def _work_on_the_alarm(maker: Window) -> None:
    page = maker.page
    page.get_by_role("link", name=re.compile("^Alarms")).click()
    page.get_by_text("blue: the hub no longer tries to send 3 callbacks.").wait_for()
    page.get_by_role("link", name=re.compile("^What to do")).click()
    page.get_by_text("Test the connection on the").wait_for()
    page.go_back()
    page.get_by_role("button", name=re.compile("^Acknowledge")).click()
    page.get_by_text("acknowledged by asha").first.wait_for()
    page.get_by_label(re.compile("^Assigned to")).select_option("juma")
    page.get_by_role("button", name="Assign").click()
    page.get_by_text("assigned to juma").first.wait_for()
    alarm = Alarm.objects.get()
    assert alarm.assigned_to is not None
    assert (alarm.acknowledged_by, alarm.assigned_to.username) == ("asha", "juma")


def _find_the_payment_of_a_caller(maker: Window) -> None:
    page = maker.page
    page.get_by_role("link", name="Find a payment").click()
    box = page.get_by_label("Number, amount, time, DFSP or id")
    box.fill("0655 001 005")
    box.press("Enter")
    page.get_by_text("Searching for 255655001005").wait_for()
    page.get_by_role("link", name=re.compile("^Transfer ")).click()
    page.get_by_text("Not paid: the net debit cap of green was too low.").wait_for()
    page.get_by_text("This payment needed 3,000.00 TZS.").wait_for()


def _onboard_a_bank(maker: Window, checker: Window, bank: Sink) -> None:
    page = maker.page
    page.get_by_role("link", name="Participants", exact=True).click()
    page.get_by_role("link", name="Onboard a participant").click()
    page.get_by_label("Name").fill(NEW)
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Net debit cap").first.fill("2,500")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Callback URL").fill(bank.url)
    for heading in ("Certificates and keys", "Contacts"):
        page.get_by_role("button", name="Next").click()
        page.get_by_role("heading", name=heading).wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("2,500.00").first.wait_for()
    ask(maker, "licensed last week")
    approve(checker, "Onboard a participant", reads=NEW, told="The participant exists, but it is not live")


def _approve_several(maker: Window, checker: Window) -> None:
    """A higher cap for the caller's bank, and the first funds of the new bank: both from the list of requests."""
    page = maker.page
    maker.go("/portal/participants/green/")
    page.get_by_role("link", name="Change cap").click()
    page.get_by_label("New net debit cap").fill("4,000")
    ask(maker, "more customers")
    maker.go(f"/portal/participants/{NEW}/")
    page.get_by_role("link", name="Funds in").click()
    page.get_by_label("Amount").fill("5,000")
    page.get_by_label("Bank's reference").fill("FT26333")
    ask(maker, "on the bank's list")
    checker.go("/portal/overview/")
    checker.page.get_by_role("link", name="Approvals").click()
    checker.page.get_by_text("5,000.00 TZS").first.wait_for()
    for request in ("Choose: Change a net debit cap green", f"Choose: Record funds in {NEW}"):
        checker.page.get_by_label(request).check()
    checker.agrees_to = "Approve all chosen requests?"
    checker.page.get_by_role("button", name="Approve the chosen requests").click()
    checker.page.get_by_text("Approved: ").wait_for()
    checker.page.get_by_text("No requests are waiting for approval.").wait_for()
    assert Account.objects.get(participant__name="green", type="POSITION").net_debit_cap == amount(4000)


def _go_live(maker: Window, checker: Window, bank: Sink) -> None:
    page = maker.page
    maker.go(f"/portal/participants/{NEW}/")
    page.get_by_role("link", name="Go-live").click()
    page.get_by_role("listitem").filter(has_text="Funds in TZS").get_by_text("passed").wait_for()
    assert page.get_by_role("link", name="Request go-live").count() == 0
    page.get_by_label("Test number").fill(f"+{TEST_NUMBER}")
    page.get_by_role("button", name="Send the lookup").click()
    page.get_by_text("The request was sent. Load this page again to see the answer.").wait_for()
    assert [(method, path) for method, path, _body in bank.got] == [("GET", f"/parties/MSISDN/{TEST_NUMBER}")]
    info = {"partyIdType": "MSISDN", "partyIdentifier": TEST_NUMBER, "fspId": NEW}
    said = {"party": {"partyIdInfo": info, "name": "Test"}}
    put = dfsp("PUT", f"/parties/MSISDN/{TEST_NUMBER}", said, source=NEW, destination="Hub")
    assert put.status_code == 200, put.content
    page.reload()
    page.get_by_role("link", name="Request go-live").click()
    ask(maker, "every check has passed")
    approve(checker, "Let a participant go live", reads="passed: answered correctly")
    assert Participant.objects.get(name=NEW).may_receive


def _settle(maker: Window, checker: Window, folder: Path) -> None:
    page = maker.page
    page.get_by_role("link", name="Settlement", exact=True).click()
    page.get_by_placeholder("Reason, for example: end of day").fill("end of day")
    page.get_by_role("button", name="Close this window").click()
    page.get_by_text("is closed. Window").wait_for()
    page.get_by_label("Model").select_option("DEFERREDNET")
    page.get_by_label("Reason").fill("end of day")
    page.get_by_role("button", name="Create settlement").click()
    page.get_by_role("link", name="Continue settlement").click()
    page.get_by_label("Committed: net senders are settled in the hub").check()
    ask(maker, "the bank was told")
    approve(checker, "Continue a settlement")
    settlement = Settlement.objects.get()
    maker.go(f"/portal/settlement/{settlement.pk}/")
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download payments as CSV").click()
    statement = folder / "statement.csv"
    statement.write_text(Path(fetched.value.path()).read_text())
    page.locator("input[type=file]").set_input_files(statement)
    page.get_by_role("button", name="Upload statement").click()
    page.get_by_role("link", name="Go to the next step").click()
    proposed = page.get_by_role("region", name="Payments to record")
    assert proposed.get_by_role("row").filter(has_text=NEW).get_by_text("Funds in").count() == 1
    assert proposed.get_by_role("row").filter(has_text="green").get_by_text("Funds out").count() == 1
    page.get_by_role("link", name="Record payments and settle").click()
    ask(maker, "agreed with the bank")
    approve(checker, "Record the bank's payments and settle", reads="every line matches")
    checker.page.get_by_role("link", name="Open the settlement").click()
    checker.page.get_by_role("heading", name="Payments of the bank").wait_for()
    settlement.refresh_from_db()
    assert settlement.state == "SETTLED"
    paid = {name: Account.objects.get(participant__name=name, type="SETTLEMENT") for name in ("green", NEW)}
    cover = {name: cover_of(account) for name, account in paid.items()}
    assert cover == {"green": amount(5000 - 390), NEW: amount(5040)}


def _look_at_the_history(maker: Window) -> None:
    history.fold()
    page = maker.page
    maker.go("/portal/overview/")
    page.get_by_role("link", name="History", exact=True).click()
    page.get_by_label("Period", exact=True).select_option("hour")
    page.get_by_role("button", name="Search").click()
    page.locator(".tile").filter(has_text="Payments").first.wait_for()
    page.get_by_role("link", name="Reason of failure").click()
    page.get_by_role("link", name=re.compile("^4200")).click()
    page.get_by_role("heading", name="Transfers").wait_for()
    page.get_by_role("row").filter(has_text="3,000.00").wait_for()


def _pause_and_resume(maker: Window, checker: Window) -> None:
    page = maker.page
    for button, reason, is_active in (("Pause", "its line is down", False), ("Resume", "its line is up again", True)):
        maker.go("/portal/participants/")
        page.get_by_role("link", name="red", exact=True).click()
        page.get_by_role("link", name=button, exact=True).click()
        ask(maker, reason)
        approve(checker, "Pause or resume a participant", reads=reason)
        assert Participant.objects.get(name="red").is_active is is_active
