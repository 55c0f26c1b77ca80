"""On a phone a list shows what matters; what was typed into a step of onboarding stays; dots follow the postings."""

import pytest
from django.core.cache import cache

from ledger.models import SettlementWindow
from portal import history
from portal.permissions import Role
from tests.browser.conftest import Open
from tests.browser.looks import faults_for_who_can_not_see
from tests.portal.people import person
from tests.world import World, fulfil, prepare, run


@pytest.fixture
def world(transactional_db: None) -> World:
    cache.clear()
    return World.begin()


def test_on_a_phone_a_list_shows_amount_payer_payee_and_state(open_window: Open, world: World) -> None:
    payment = prepare(world, "green", "blue", "123.45")
    run(payment)
    run(fulfil(world, "blue", payment.transfer_id))
    window = open_window(person(Role.VIEWER), width=390, height=844)
    window.go("/portal/transfers/")
    for text in ("123.45", "green", "blue", "COMMITTED"):
        box = window.page.locator("tbody").get_by_text(text).first.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 390, text
    overflow = "document.querySelector('.table-box').scrollWidth - document.querySelector('.table-box').clientWidth"
    assert window.page.evaluate(overflow) <= 0
    assert faults_for_who_can_not_see(window) == []


def test_ids_do_not_take_the_widest_column(open_window: Open, world: World) -> None:
    run(prepare(world, "green", "blue", "123.45"))
    window = open_window(person(Role.VIEWER), width=1440)
    window.go("/portal/transfers/")
    widths = window.page.evaluate("[...document.querySelectorAll('thead th')].map((head) => head.offsetWidth)")
    assert widths[1] < max(widths)


def test_a_half_filled_step_stays_when_onboarding_is_opened_again(open_window: Open, world: World) -> None:
    window = open_window(person(Role.OPERATOR))
    page = window.page
    window.go("/portal/participants/")
    page.get_by_role("link", name="Onboard a participant").click()
    page.get_by_label("Name").fill("kilele-bank")
    window.go("/portal/participants/")
    page.get_by_role("link", name="Onboard a participant").click()
    assert page.get_by_label("Name").input_value() == "kilele-bank"
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Net debit cap").first.fill("5000")
    page.get_by_role("link", name="Back", exact=True).click()
    window.go("/portal/participants/")
    page.get_by_role("link", name="Onboard a participant").click()
    page.get_by_role("link", name="Continue").click()
    assert page.get_by_label("Net debit cap").first.input_value() == "5000"


def test_on_a_phone_the_history_leaves_out_periods_without_a_payment(open_window: Open, world: World) -> None:
    payment = prepare(world, "green", "blue", 10)
    run(payment)
    run(fulfil(world, "blue", payment.transfer_id))
    folding = pytest.MonkeyPatch()
    folding.setattr("portal.history.folding.HORIZON_S", 0)  # as a minute later
    history.fold()
    folding.undo()
    user = person(Role.VIEWER)
    for width, least in ((1440, 24), (390, 1)):
        window = open_window(user, width=width, height=844)
        window.go("/portal/history/?grain=hour")
        rows = window.page.get_by_role("region", name="By period").locator("tbody tr")
        shown = [row for row in rows.all() if row.is_visible()]
        assert (len(shown) >= least) if width > 390 else (len(shown) == least)


def test_the_methods_of_a_settlement_model_are_read_whole_on_a_phone(open_window: Open, world: World) -> None:
    window = open_window(person(Role.SETTLEMENT), width=390, height=844)
    window.go("/portal/hub/models/new/")
    for text in ("one net amount for each pair of participants", "each payment within about a second"):
        label = window.page.locator("label").filter(has_text=text)
        box = label.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
        assert label.evaluate("label => label.scrollWidth <= label.clientWidth + 1")


def test_on_a_phone_a_certificate_is_named_before_its_dates(open_window: Open, world: World) -> None:
    window = open_window(person(Role.VIEWER), width=390, height=844)
    window.go("/portal/hub/certificates/")
    row = window.page.locator("tbody tr").first
    cells = row.locator("td")
    tops = [box["y"] for cell in cells.all() if (box := cell.bounding_box()) is not None]
    assert tops[0] == min(tops)
    assert cells.first.inner_text().startswith("Authority")


def test_on_a_phone_a_windows_net_positions_name_the_participant_first(open_window: Open, world: World) -> None:
    payment = prepare(world, "green", "blue", 10)
    run(payment)
    run(fulfil(world, "blue", payment.transfer_id))
    window = open_window(person(Role.VIEWER), width=390, height=844)
    window.go(f"/portal/settlement/windows/{SettlementWindow.objects.get().pk}/")
    row = window.page.get_by_role("row").filter(has_text="is owed")
    name, amount = row.get_by_role("rowheader").bounding_box(), row.locator(".num").first.bounding_box()
    assert name is not None
    assert amount is not None
    assert name["y"] < amount["y"]
