"""Every main page in light, dark and on a phone: nothing wider than the window, no serious fault for who can not see.

With SCREENSHOTS=folder it leaves a picture of each.
"""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from ledger.models import Account, SettlementWindow, Transfer
from portal import changes, users
from portal.permissions import HUB_ROLES, Role
from portal.visitor import visitor_for
from tests.browser import scheme
from tests.browser.conftest import Open
from tests.browser.looks import SIZES, faults_for_who_can_not_see, faults_of
from tests.portal.people import person
from tests.world import amount


@pytest.fixture
def everything(transactional_db: None) -> dict[str, str]:
    """Pages by name, in a scheme with something on each."""
    cache.clear()
    scheme.begin()
    asha = person(Role.RISK, name="asha")
    payload = {"participant": "kilele-sacco", "currency": "TZS", "ndc_before": amount(6750), "ndc": amount(8000)}
    payload["alarm_percentage"] = 10
    approval = changes.ask(
        visitor_for(asha), "change_cap", subject="kilele-sacco", payload=payload, reason="more customers"
    )
    paid = Transfer.objects.filter(state="COMMITTED").order_by("-received_at")[7].pk
    window = SettlementWindow.objects.get(state="OPEN").pk
    account = Account.objects.get(participant__name="kilele-sacco", type="POSITION").pk
    scheme.spread()
    return {
        "overview": "/portal/overview/",
        "transfers": "/portal/transfers/",
        "payment": f"/portal/transfers/{paid}/",
        "participants": "/portal/participants/",
        "participant": "/portal/participants/kilele-sacco/",
        "account-statement": f"/portal/participants/kilele-sacco/accounts/{account}/",
        "onboarding": "/portal/participants/new/identity/",
        "certificate": "/portal/participants/kilele-sacco/certificates/new/",
        "key": "/portal/participants/kilele-sacco/credentials/new/",
        "leaving": "/portal/participants/kilele-sacco/off-boarding/",
        "networks": "/portal/participants/kilele-sacco/networks/",
        "directions": "/portal/participants/kilele-sacco/directions/",
        "callbacks": "/portal/callbacks/?state=all",
        "directory": "/portal/directory/",
        "settlement": "/portal/settlement/",
        "window": f"/portal/settlement/windows/{window}/",
        "approvals": "/portal/approvals/",
        "approval": f"/portal/approvals/{approval.pk}/",
        "users": "/portal/users/",
        "audit": "/portal/audit/",
        "account": "/portal/account/",
    }


@pytest.fixture
def somebody(everything: dict[str, str]) -> User:
    user = person(Role.OPERATOR, name="juma")
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    return user


@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits_and_is_accessible(
    open_window: Open, everything: dict[str, str], somebody: User, size: str
) -> None:
    assert faults_of(open_window, somebody, everything, size) == []


def test_the_sign_in_is_accessible(open_window: Open, transactional_db: None) -> None:
    window = open_window()
    window.go("/portal/sign-in/")
    window.picture("sign-in-light")
    assert faults_for_who_can_not_see(window) == []
