"""An operator finds a caller's payment by what the caller says, reads why it failed, and hands it to the bank."""

import re
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import override_settings

from directory import builtin_oracle
from directory.aliases import Alias
from hub.participants.models import Participant
from portal.permissions import Role
from tests.browser.conftest import Open
from tests.browser.looks import Look, faults_of, in_every_look
from tests.portal.people import person
from tests.portal.test_find_payments import answer, ask, look_up, refuse
from tests.world import World, fulfil, prepare, run


@pytest.fixture
def paid(committed_world: World) -> dict[str, str]:
    """Payments of one number, and attempts; the pages to look at by name."""
    cache.clear()
    builtin_oracle.register([Alias("MSISDN", "255655001005")], Participant.objects.get(name="blue"))
    look_up()
    quote = ask("350", personalInfo={"complexName": {"firstName": "Amina", "lastName": "Juma"}})
    answer(quote)
    run(prepare(committed_world, "green", "blue", 350, transfer_id=quote["transactionId"]))
    run(fulfil(committed_world, "blue", quote["transactionId"]))
    refused, left, large = ask("70"), ask("90"), ask("3000")
    refuse(refused)
    answer(left)
    answer(large)
    run(prepare(committed_world, "green", "blue", 3000, transfer_id=large["transactionId"]))
    look_up()
    return {
        "payments": "/portal/payments/?q=0655+001+005",
        "payments-empty": "/portal/payments/",
        "payments-error": "/portal/payments/?q=hello&amount=1.500",
        "payment-paid": f"/portal/transfers/{quote['transactionId']}/",
        "payment-refused": f"/portal/transfers/{large['transactionId']}/",
        "quote-refused": f"/portal/payments/quotes/{refused['quoteId']}/",
        "transfers-error": "/portal/transfers/?least=much",
    }


@pytest.mark.django_db(transaction=True)
@override_settings(SCHEME_COUNTRY="TZ")
def test_an_operator_finds_a_payment_and_hands_it_to_the_bank(
    open_window: Open, paid: dict[str, str], tmp_path: Path
) -> None:
    window = open_window(person(Role.OPERATOR))
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.go("/portal/payments/")
    box = window.page.get_by_label("Number, amount, time, DFSP or id")
    box.fill("green tzs")
    box.press("Enter")
    window.page.get_by_label("Name of the view").fill("Green's shillings")
    window.page.get_by_role("button", name="Save").click()
    window.page.get_by_role("link", name="Green's shillings").click()
    box.fill("0655 001 005 3,000")
    box.press("Enter")
    window.page.get_by_text("Searching for 255655001005 or 0655001005, amount 3,000").wait_for()
    window.page.get_by_role("link", name=re.compile("^Transfer ")).click()
    window.page.get_by_text("Not paid: the net debit cap of green was too low.").wait_for()
    window.page.get_by_role("button", name="Copy for the bank").click()
    copied = window.page.evaluate("navigator.clipboard.readText()")
    assert "This payment needed 3,000.00 TZS." in copied
    with window.page.expect_download() as download:
        window.page.get_by_role("link", name="PDF").click()
    download.value.save_as(tmp_path / "payment.pdf")
    assert (tmp_path / "payment.pdf").read_bytes().startswith(b"%PDF")


@in_every_look
@pytest.mark.django_db(transaction=True)
@override_settings(SCHEME_COUNTRY="TZ")
def test_the_pages_fit_and_are_accessible(open_window: Open, paid: dict[str, str], look: Look) -> None:
    assert faults_of(open_window, person(Role.OPERATOR), paid, look) == []
