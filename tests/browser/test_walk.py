"""The main ways through the portal, walked as people walk them."""

import csv
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from hub.audit.models import Approval
from hub.outbox.models import Message
from ledger.models import Account, Transfer
from portal.permissions import Role
from tests.browser import scheme
from tests.browser.conftest import Open
from tests.portal.people import IN_A_BROWSER_S, PASSWORD, code, person, set_up_app
from tests.world import CURRENCY, amount


@pytest.fixture(autouse=True)
def _scheme(transactional_db: None) -> None:
    cache.clear()
    scheme.begin(payments=24)


def test_an_invited_person_sets_a_password_and_a_second_factor_and_comes_in(open_window: Open) -> None:
    asha, juma = person(Role.ADMINISTRATOR, name="asha"), person(Role.ADMINISTRATOR, name="juma")
    maker, checker = open_window(asha), open_window(juma)
    maker.go("/portal/users/new/")
    maker.page.get_by_label("User name").fill("neema")
    maker.page.get_by_label("Email").fill("neema@example.org")
    maker.page.get_by_label("Viewer", exact=True).check()
    maker.page.get_by_label("Reason").fill("joins the team")
    maker.page.get_by_role("button", name="Submit request").click()
    checker.go("/portal/approvals/")
    checker.page.get_by_role("link", name="Create a user").click()
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_role("link", name="Open account neema").click()
    checker.page.get_by_role("button", name="Show code once").click()
    typed_code = checker.page.locator("code.secret").inner_text()
    checker.picture("code-light")
    maker.go("/portal/users/neema/")
    maker.page.get_by_role("button", name="Show link once").click()
    link = maker.page.locator("code.secret").inner_text()
    window = open_window()
    page = window.page
    page.goto(link)
    page.wait_for_url(re.compile("/portal/invitation/$"))  # the secret is in the form, and no more in the address
    assert not page.get_by_label("Invitation").is_visible()
    page.get_by_label("Code, if you have one").fill(typed_code)
    page.locator("#id_password1").fill(PASSWORD)
    page.locator("#id_password2").fill(PASSWORD)
    page.get_by_role("button", name="Set password").click()
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Username").fill("neema")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Set up one-time codes").wait_for()
    page.get_by_text("Cannot scan the QR code?").click()
    secret = page.locator("code.secret").inner_text()
    page.get_by_label("Authenticator code").fill(code(secret, sent_within_s=IN_A_BROWSER_S))
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    assert page.locator(".codes li").count() == 10
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_text("you can only read").wait_for()
    window.picture("unconfirmed-light")
    zuri = open_window(person(Role.ADMINISTRATOR, name="zuri"))
    zuri.go("/portal/users/")
    zuri.page.get_by_role("link", name="neema").click()
    zuri.picture("first-sign-in-light")
    zuri.page.get_by_role("button", name="Confirm sign-in").click()
    zuri.page.get_by_text("The sign-in is confirmed").wait_for()
    page.reload()
    assert not page.get_by_text("you can only read").is_visible()


def test_signing_in_takes_a_password_and_a_code(open_window: Open) -> None:
    secret = set_up_app(person(Role.VIEWER))
    window = open_window()
    page = window.page
    window.go("/portal/transfers/?state=COMMITTED")
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(code(secret, sent_within_s=IN_A_BROWSER_S))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/portal/transfers/\?state=COMMITTED"))
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()


@pytest.mark.thorough
def test_one_person_asks_for_a_cap_and_another_approves_it(open_window: Open) -> None:
    maker, checker = open_window(person(Role.RISK, name="asha")), open_window(person(Role.RISK, name="juma"))
    maker.go("/portal/participants/")
    maker.page.get_by_role("link", name="kilele-sacco").click()
    maker.page.get_by_role("link", name="Change cap").click()
    maker.page.get_by_label("New net debit cap").fill("8000")
    maker.page.get_by_label("Reason").fill("more customers")
    maker.page.get_by_role("button", name="Submit request").click()
    maker.page.get_by_text("You submitted this request. Another person must approve or reject your request.").wait_for()
    assert maker.page.get_by_role("button", name="Approve").count() == 0
    checker.go("/portal/overview/")
    checker.page.get_by_role("link", name="Approvals").click()
    checker.page.get_by_role("link", name="Change a net debit cap").click()
    checker.page.get_by_text("more customers").wait_for()
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_text("Request approved. The change has taken effect.").wait_for()
    cap = Account.objects.get(participant__name="kilele-sacco", type="POSITION").net_debit_cap
    assert cap == amount(8000)
    assert Approval.objects.get().state == "APPROVED"


def test_an_operator_follows_a_payment_and_sends_its_callback_again(open_window: Open) -> None:
    window = open_window(person(Role.OPERATOR))
    page = window.page
    window.go("/portal/overview/")
    page.get_by_role("link", name="Given up").click()
    page.get_by_role("button", name="Send now").first.click()
    page.get_by_text("The hub is sending this message").wait_for()
    assert not Message.objects.filter(state="DEAD").exists()
    transfer = Transfer.objects.filter(state="COMMITTED").latest("received_at")
    page.get_by_role("link", name="Transfers", exact=True).click()
    page.get_by_label("Any id", exact=True).fill(transfer.transfer_id)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=transfer.transfer_id).click()
    page.get_by_text("Fulfilled and committed").wait_for()
    page.get_by_text("Show message").first.click()


def test_a_treasurer_reads_what_an_account_stands_at_and_takes_it_home(open_window: Open) -> None:
    window = open_window(person(Role.PARTICIPANT_TREASURER, participant="simba-pesa"))
    page = window.page
    window.go("/portal/participants/simba-pesa/")
    page.get_by_role("link", name=f"POSITION {CURRENCY}").click()
    page.get_by_role("heading", name="Statement: simba-pesa POSITION").wait_for()
    window.picture("account-light")
    account = Account.objects.get(participant__name="simba-pesa", type="POSITION")
    closing = page.locator("tbody tr").first.locator("td.num").inner_text()
    balance = account.posted_debits - account.posted_credits
    assert re.sub("[^0-9-]", "", closing.replace("\u2212", "-")) == str(balance // 100)
    with page.expect_download() as fetched:
        page.get_by_role("link", name="CSV").click()
    opening, *entries, last = list(csv.DictReader(Path(fetched.value.path()).read_text().splitlines()))
    assert len(entries) == account.debits.count() + account.credits.count()
    assert (amount(opening["balance"]), last["kind"]) == (0, "CLOSING")
    assert entries[-1]["balance"] == last["balance"]
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="History").wait_for()
    window.picture("own-payment-light")


def test_two_administrators_give_somebody_a_role_and_an_auditor_finds_it(open_window: Open) -> None:
    joins = person(Role.VIEWER, name="neema")
    maker = open_window(person(Role.ADMINISTRATOR, name="asha"))
    checker = open_window(person(Role.ADMINISTRATOR, name="juma"))
    maker.go("/portal/users/")
    maker.page.get_by_role("link", name="neema").click()
    maker.page.get_by_role("link", name="Change roles").click()
    maker.page.get_by_label("Settlement officer").check()
    maker.page.get_by_label("Reason").fill("joins the settlement team")
    maker.page.get_by_role("button", name="Submit request").click()
    maker.page.get_by_text("You submitted this request. Another person must approve or reject your request.").wait_for()
    checker.go("/portal/approvals/")
    checker.page.get_by_role("link", name=re.compile("roles")).click()
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_text("Request approved. The change has taken effect.").wait_for()
    assert joins.groups.filter(name=Role.SETTLEMENT.value).exists()

    auditor = open_window(person(Role.AUDITOR))
    auditor.go("/portal/overview/")
    auditor.page.get_by_role("link", name="Audit trail").click()
    auditor.page.get_by_label("Subject").fill("neema")
    auditor.page.get_by_role("button", name="Search").click()
    auditor.page.get_by_role("row").filter(has_text="juma").first.wait_for()
    with auditor.page.expect_download() as fetched:
        auditor.page.get_by_role("link", name="CSV").click()
    assert "neema" in Path(fetched.value.path()).read_text()


def test_the_overview_refreshes_itself(open_window: Open) -> None:
    window = open_window(person(Role.VIEWER))
    window.go("/portal/overview/")
    window.page.locator("#volume canvas").wait_for()
    with window.page.expect_response(re.compile("/overview/live/")) as answer:
        pass
    assert answer.value.status == 200
    window.page.locator("#used canvas").wait_for()


def test_the_keyboard_is_enough(open_window: Open) -> None:
    window = open_window(person(Role.VIEWER))
    window.go("/portal/overview/")
    window.page.keyboard.press("Tab")
    assert window.page.evaluate("document.activeElement.className") == "skip"
    window.page.keyboard.press("Enter")
    assert window.page.evaluate("document.activeElement.id") == "main"


def test_a24_what_a_dfsp_wrote_is_shown_and_never_run(open_window: Open) -> None:
    strange = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    Message.objects.update(last_error=strange, state="DEAD")
    window = open_window(person(Role.OPERATOR))
    window.go("/portal/callbacks/")
    window.page.get_by_text("<script>alert(2)").first.wait_for()
    assert User.objects.filter(username="operator").exists()


def test_the_api_documentation_and_djangos_admin_work_under_the_policy(open_window: Open) -> None:
    root = person(Role.VIEWER, name="root")
    User.objects.filter(pk=root.pk).update(is_staff=True, is_superuser=True)
    window = open_window(User.objects.get(pk=root.pk))
    window.go("/docs/fspiop")
    window.page.locator(".opblock").first.wait_for(timeout=60_000)
    window.go("/admin/")
    window.page.get_by_role("link", name="Transfers", exact=True).click()
    window.page.get_by_text("Select transfer to view").wait_for()


def test_a_page_follows_the_theme_of_the_device_until_a_person_chooses_a_theme(open_window: Open) -> None:
    window = open_window(person(Role.VIEWER))
    page = window.page
    window.go("/portal/overview/")

    def theme() -> str:
        shown: str = page.evaluate("document.documentElement.dataset.bsTheme")
        return shown

    assert theme() == "light"
    page.emulate_media(color_scheme="dark")
    page.locator("html[data-bs-theme=dark]").wait_for(state="attached")  # the pages' policy allows no evaluated text
    page.locator("#theme").click()
    assert theme() == "light"
    page.emulate_media(color_scheme="light")
    page.emulate_media(color_scheme="dark")
    assert theme() == "light"
