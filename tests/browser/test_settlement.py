"""A day's end in the portal: closed, settled step by step, agreed with the bank's statement, each by two people."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from directory import builtin_oracle
from directory.aliases import Alias
from directory.models import PartyIdentifier
from hub.participants.models import Participant
from ledger import accounts_and_funds as ledger
from ledger.models import SettlementWindow
from portal import users
from portal.permissions import HUB_ROLES, Role
from settlement import services
from settlement.models import Settlement
from settlement.states import State
from tests import fx_world
from tests.browser import scheme
from tests.browser.conftest import Open, Window
from tests.browser.looks import Look, faults_of, in_every_look
from tests.browser.steps import approve, ask
from tests.portal.people import person
from tests.portal.test_requests_checked_when_made import take_in
from tests.settlement.operator_steps import add_model, pay

BANK, OTHER = "kilele-sacco", "simba-pesa"
NUMBER = "255712000101"


@pytest.fixture(autouse=True)
def _scheme(transactional_db: None) -> None:
    cache.clear()
    scheme.begin(payments=24)
    add_model()


@pytest.fixture
def two(open_window: Open) -> tuple[Window, Window]:
    """Who asks, and who approves."""
    user = person(Role.SETTLEMENT, name="asha")
    users.set_roles(user, roles=frozenset({Role.SETTLEMENT, Role.OPERATOR}), actor="test")
    return open_window(user), open_window(person(Role.RISK, name="juma"))


@pytest.mark.thorough
def test_a_day_is_closed_settled_and_agreed_with_the_bank(two: tuple[Window, Window], tmp_path: Path) -> None:
    maker, checker = two
    page = maker.page
    maker.go("/portal/overview/")
    page.get_by_role("link", name="Settlement", exact=True).click()
    page.get_by_placeholder("Reason, for example: end of day").fill("end of day")
    page.get_by_role("button", name="Close this window").click()
    page.get_by_text("is closed. Window").wait_for()
    page.get_by_label("Model").select_option("DEFERREDNET")
    page.get_by_label("Reason").fill("end of day")
    page.get_by_role("button", name="Create settlement").click()
    page.get_by_role("heading", name="Entries of each step").wait_for()
    planned = page.locator(".posting")
    assert planned.count() > 2
    assert page.get_by_text("not posted").count() == planned.count()
    page.get_by_role("link", name="Continue settlement").click()
    page.get_by_label("Committed: net senders are settled in the hub").check()
    ask(maker, "the bank was told")
    approve(checker, "Continue a settlement", reads="NET SENDERS SETTLED")
    settlement = Settlement.objects.get()
    maker.go(f"/portal/settlement/{settlement.pk}/")
    assert page.get_by_text("not posted").count() == 0

    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download payments as CSV").click()
    said = Path(fetched.value.path()).read_text()
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(said.replace("DEBIT", "CREDIT", 1))
    right = tmp_path / "right.csv"
    right.write_text(said)
    page.locator("input[type=file]").set_input_files(wrong)
    page.get_by_role("button", name="Upload statement").click()
    page.get_by_text("The statement does not match this settlement.").wait_for()
    page.get_by_text("OTHER DIRECTION").wait_for()
    maker.picture("statement-wrong-light")
    maker.go(f"/portal/settlement/{settlement.pk}/")
    page.locator("input[type=file]").set_input_files(right)
    page.get_by_role("button", name="Upload statement").click()
    page.get_by_text(
        "The statement matches this settlement: every line is expected, and no line is missing."
    ).wait_for()
    page.get_by_role("link", name="Go to the next step").click()
    page.get_by_role("heading", name="Payments to record").wait_for()
    maker.picture("settlement-payments-light")
    page.get_by_role("link", name="Record payments and settle").click()
    ask(maker, "agreed with the bank")
    approve(checker, "Record the bank's payments and settle", reads="every line matches")
    page.goto(f"{maker.base_url}/portal/settlement/{settlement.pk}/")
    page.get_by_role("heading", name="Payments of the bank").wait_for()
    settlement.refresh_from_db()
    assert settlement.state == "SETTLED"


def test_a_day_is_settled_without_the_banks_statement_for_a_reason_that_the_second_person_reads(
    two: tuple[Window, Window],
) -> None:
    maker, checker = two
    page, why = maker.page, "its line is down; it said so by telephone"
    closed = services.close_window(reason="end of day", actor="test").closed
    made = services.create(model_name="DEFERREDNET", window_ids=[closed.pk], reason="end of day", actor="test")
    maker.go(f"/portal/settlement/{made.pk}/")
    page.get_by_role("link", name="Continue settlement").click()
    page.get_by_label("Settled: the bank has moved the money").check()
    page.get_by_label("Settle without a bank statement").check()
    page.get_by_label("Explanation of the missing statement").fill(why)
    ask(maker, "the day is over")
    approve(checker, "Continue a settlement", reads=why)
    made.refresh_from_db()
    assert made.state == "SETTLED"


def test_an_alias_moves_to_another_participant(two: tuple[Window, Window]) -> None:
    maker, checker = two
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name=BANK))
    maker.go("/portal/directory/")
    maker.page.get_by_label("Alias").fill(f"+{NUMBER}")
    maker.page.get_by_role("button", name="Search").click()
    maker.page.get_by_role("link", name="Move", exact=True).click()
    maker.page.get_by_label("To").select_option(OTHER)
    ask(maker, "the customer moved")
    approve(checker, "Move an alias to another participant", reads=NUMBER)
    assert PartyIdentifier.objects.get().fsp.name == OTHER


def _with_matching_statement() -> Settlement:
    """A second day's settlement, for which the bank has paid."""
    world = scheme.World()
    world.ids = dict(Participant.objects.values_list("name", "pk"))
    pay(world, BANK, OTHER, 120)
    pay(world, "uhuru-bank", OTHER, 75)
    services.close_window(reason="end of day", actor="test")
    window = SettlementWindow.objects.exclude(state="OPEN").latest("id")
    made = services.create(model_name="DEFERREDNET", window_ids=[window.pk], reason="end of day", actor="test")
    services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="end of day", actor="test")
    take_in(made)
    return made


def _pages_of_the_hub() -> dict[str, str]:
    services.close_window(reason="end of day", actor="test")
    window = SettlementWindow.objects.exclude(state="OPEN").get()
    settlement = services.create(model_name="DEFERREDNET", window_ids=[window.pk], reason="end of day", actor="test")
    services.advance(settlement.pk, to=State.PS_TRANSFERS_COMMITTED, reason="end of day", actor="test")
    rows = [
        f"{settlement.pk},{account.transfer_id},{account.account.participant.name},TZS,{number},DEBIT,B{number}"
        for number, account in enumerate(settlement.accounts.select_related("account__participant"), start=1)
    ]
    head = "settlement,reference,participant,currency,amount,direction,bankReference"
    octets = "\n".join([head, *rows[:-1]]).encode()
    statement = services.take_in(settlement.pk, name="bank-of-the-hub-2026-11-24.csv", octets=octets, actor="asha")
    builtin_oracle.register([Alias("MSISDN", NUMBER, currency="TZS")], Participant.objects.get(name=BANK))
    builtin_oracle.register([Alias("MSISDN", NUMBER, currency="KES")], Participant.objects.get(name=OTHER))
    account = settlement.accounts.select_related("account__participant").first()
    paid = _with_matching_statement()
    return {
        "settlement-payments": f"/portal/settlement/{paid.pk}/",
        "settlement-pay": f"/portal/settlement/{paid.pk}/pay/",
        "pause": f"/portal/participants/{account.account.participant.name}/activity/",
        "settlement-of": f"/portal/settlement/{settlement.pk}/",
        "statement": f"/portal/settlement/statements/{statement.pk}/",
        "settlement-step": f"/portal/settlement/{settlement.pk}/advance/",
        "alias": f"/portal/directory/?identifier={NUMBER}",
        "shared-aliases": "/portal/directory/shared/",
        "move-alias": f"/portal/directory/aliases/{PartyIdentifier.objects.first().pk}/move/",
        "oracle-new": "/portal/directory/oracles/new/",
    }


def _conversion(world: fx_world.World) -> str:
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        ledger.open_hub_account(account_type=account_type, currency="KES", actor="test")
    for currency in ("TZS", "KES"):
        world.onboard("fxp", ndc=1000, cover=5000, currency=currency)
    conversion = fx_world.fx_prepare(world, "b51ec534-ee48-4575-b6a9-ead2955b8069", initiator="uhuru-bank")
    fx_world.run(conversion)
    return f"/portal/conversions/{conversion.commit_request_id}/"


@pytest.fixture
def everybody() -> User:
    user = person(Role.OPERATOR, name="neema")
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    return user


@in_every_look
def test_the_pages_of_settlement_conversions_and_directory_fit_and_are_accessible(
    open_window: Open, everybody: User, look: Look
) -> None:
    world = scheme.World()
    world.ids = dict(Participant.objects.values_list("name", "pk"))
    pages = _pages_of_the_hub() | {
        "conversions": "/portal/conversions/",
        "conversion": _conversion(world),
        "terms": "/portal/conversions/terms/",
        "search-none": "/portal/transfers/?least=99999",
    }
    faults = faults_of(open_window, everybody, pages, look)
    own = person(Role.PARTICIPANT_TREASURER, participant=BANK)
    faults += faults_of(open_window, own, {"own-settlement": "/portal/own-settlement/"}, look)
    assert faults == []
