"""A participant's life in the portal, walked by who asks and who approves in windows of their own."""

from pathlib import Path

import pytest
from django.core.cache import cache

from hub.participants.models import Credential, Participant
from ledger.models import Account, FundsMovement
from portal.permissions import Role
from tests import proofs, signing
from tests.browser import scheme
from tests.browser.conftest import Open, Window
from tests.browser.steps import approve, ask
from tests.outbox.test_courier import Sink, send_to
from tests.portal.people import person
from tests.settlement.test_closing_participants import pay_out
from tests.world import World, amount

BANK = "kilele-sacco"


@pytest.fixture(autouse=True)
def world_of_banks(transactional_db: None) -> World:
    cache.clear()
    return scheme.begin(payments=12)


@pytest.fixture
def two(open_window: Open) -> tuple[Window, Window]:
    """Who asks, and who approves."""
    return open_window(person(Role.OPERATOR, name="asha")), open_window(person(Role.RISK, name="juma"))


def expect_refusal(window: Window) -> None:
    """A form that comes back with its faults is a 400, of which Chromium's console speaks once."""
    assert len(window.complaints) == 1
    assert "400" in window.complaints.pop()


@pytest.mark.thorough
def test_a_participant_is_made_to_send_only(two: tuple[Window, Window]) -> None:
    maker, checker = two
    maker.go("/portal/participants/")
    maker.page.get_by_role("link", name=BANK).click()
    maker.page.get_by_role("link", name="Change permissions").click()
    maker.page.get_by_label("send only").check()
    ask(maker, "its accounts can not be credited")
    approve(checker, "Change whether a participant may send and receive")
    maker.go(f"/portal/participants/{BANK}/")
    maker.page.locator("h1").get_by_text("send only").wait_for()
    bank = Participant.objects.get(name=BANK)
    assert (bank.may_send, bank.may_receive) == (True, False)


def test_a_technician_has_a_certificate_signed_and_fetches_it(
    open_window: Open, tmp_path: Path, settings: object
) -> None:
    for name, value in signing.authority_in(tmp_path).items():
        setattr(settings, name, value)
    technician = open_window(person(Role.PARTICIPANT_TECHNICIAN, name="neema", participant=BANK))
    checker = open_window(person(Role.RISK, name="juma"))
    technician.go("/portal/")
    technician.page.get_by_role("link", name="Sign a certificate").click()
    technician.page.get_by_label("Signing request").fill("nonsense")
    technician.page.get_by_label("Reason").fill("first certificate")
    technician.page.get_by_role("button", name="Submit request").click()
    technician.page.get_by_text("the signing request cannot be read").wait_for()
    expect_refusal(technician)
    technician.page.get_by_label("Signing request").fill(signing.csr(BANK))
    technician.page.get_by_role("button", name="Submit request").click()
    technician.page.get_by_text("Another person must approve or reject your request.").wait_for()
    approve(checker, "Sign a certificate")
    technician.go(f"/portal/participants/{BANK}/")
    with technician.page.expect_download() as fetched:
        technician.page.get_by_role("link", name="Download as PEM").click()
    text = Path(fetched.value.path()).read_text()
    assert text == Credential.objects.get(participant__name=BANK).pem


@pytest.mark.thorough
def test_a_participant_is_onboarded_step_by_step(two: tuple[Window, Window]) -> None:
    maker, checker = two
    page = maker.page
    maker.go("/portal/participants/")
    page.get_by_role("link", name="Onboard a participant").click()
    page.get_by_label("Name").fill("ziwa-bank")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Net debit cap").first.fill("2500")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Callback URL").fill("https://ziwa.example/fsp")
    page.get_by_label("Allowed source addresses").fill("192.0.2.1/24")
    page.get_by_role("button", name="Next").click()
    page.get_by_text("is neither an address nor a network").wait_for()
    expect_refusal(maker)
    page.get_by_label("Allowed source addresses").fill("192.0.2.0/24")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("heading", name="Certificates and keys").wait_for()
    maker.go("/portal/participants/")  # and comes back later
    page.get_by_role("link", name="Onboard a participant").click()
    page.get_by_text("The form for ziwa-bank has not been submitted.").wait_for()
    maker.picture("onboarding-continued")
    page.get_by_role("link", name="Continue").click()
    page.get_by_role("heading", name="Certificates and keys").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Role").first.fill("operations")
    page.get_by_label("Name").first.fill("Neema")
    page.get_by_label("Telephone").first.fill("+255 22 211 3000")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("link", name="Identity").click()  # to look once more
    assert page.get_by_label("Name").input_value() == "ziwa-bank"
    maker.go("/portal/participants/new/review/")
    page.get_by_text("+255 22 211 3000").wait_for()
    ask(maker, "licensed last week")
    approve(checker, "Onboard a participant", told="Request approved. The participant exists, but it is not live")
    maker.go("/portal/participants/ziwa-bank/")
    page.get_by_role("link", name="Go-live").click()
    page.get_by_role("listitem").filter(has_text="Funds in TZS").get_by_text("missing").wait_for()
    maker.picture("go-live")
    maker.go("/portal/participants/ziwa-bank/")
    page.get_by_role("code").filter(has_text="192.0.2.0/24").wait_for()
    assert Participant.objects.get(name="ziwa-bank").contacts.get().name == "Neema"


@pytest.mark.thorough
def test_a_participant_is_off_boarded_step_by_step(two: tuple[Window, Window], world_of_banks: World) -> None:
    maker, checker = two
    page = maker.page
    bank = world_of_banks.onboard("ziwa-bank", ndc=0, cover=700)
    proofs.register_key("ziwa-bank")
    maker.go("/portal/participants/ziwa-bank/")
    page.get_by_role("link", name="Off-boarding").click()
    page.get_by_role("link", name="Stop new payments", exact=True).click()
    ask(maker, "its licence ends")
    approve(checker, "Begin the off-boarding of a participant")
    maker.go("/portal/participants/ziwa-bank/off-boarding/")
    maker.picture("off-boarding")
    page.get_by_text("700.00 TZS").wait_for()
    assert page.get_by_role("link", name="Close", exact=True).count() == 0
    pay_out(world_of_banks, "ziwa-bank")
    page.reload()
    page.get_by_role("link", name="Revoke", exact=True).click()
    ask(maker, "nothing is left")
    approve(checker, "Revoke all of a participant's credentials")
    maker.go("/portal/participants/ziwa-bank/off-boarding/")
    page.get_by_role("link", name="Close", exact=True).click()
    ask(maker, "the register says so")
    approve(checker, "Close a participant permanently")
    maker.go("/portal/participants/ziwa-bank/")
    page.locator("h1").get_by_text("closed").wait_for()
    bank.refresh_from_db()
    assert bank.closed_at is not None


@pytest.mark.thorough
def test_a_treasurer_asks_for_money_back_and_the_hub_pays_it_out(open_window: Open) -> None:
    treasurer = open_window(person(Role.PARTICIPANT_TREASURER, name="neema", participant=BANK))
    officer, checker = open_window(person(Role.SETTLEMENT, name="asha")), open_window(person(Role.RISK, name="juma"))
    treasurer.go("/portal/")
    treasurer.page.get_by_role("link", name="Funds out").click()
    treasurer.page.get_by_label("Amount").fill("1000")
    ask(treasurer, "less is paid from here than was thought")
    approve(checker, "Funds out")
    movement = FundsMovement.objects.get(kind="FUNDS_OUT")
    assert (movement.state, movement.amount) == ("RESERVED", amount(1000))

    officer.go(f"/portal/participants/{BANK}/")
    officer.page.get_by_role("link", name="Record outcome").click()
    officer.page.get_by_label("The bank paid the money out").check()
    officer.page.get_by_label("Bank's reference").fill("FT26331")
    ask(officer, "on the bank's list")
    approve(checker, "Record the outcome of funds out")
    movement.refresh_from_db()
    assert (movement.state, movement.external_reference) == ("COMMITTED", "FT26331")
    account = Account.objects.get(participant__name=BANK, type="SETTLEMENT")
    treasurer.go(f"/portal/participants/{BANK}/accounts/{account.pk}/")
    treasurer.page.get_by_role("row").filter(has_text=movement.transfer_id).get_by_text("8,000.00").wait_for()


def test_an_operator_sees_what_a_participants_endpoint_answers(open_window: Open) -> None:
    sink = Sink()
    send_to(BANK, sink.url)
    window = open_window(person(Role.OPERATOR))
    window.go(f"/portal/participants/{BANK}/")
    window.page.get_by_role("button", name="Test connection").first.click()
    window.page.get_by_text("responded with HTTP").wait_for()
    assert sink.got
    sink.server.shutdown()
