"""Every main page in every look: nothing wider than the window, no serious fault for who can not see."""

import uuid
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import override_settings

from hub.administration import services as administration
from hub.notifications import notify
from hub.notifications.models import Notification
from hub.participants import offboarding
from hub.participants import services as participants
from hub.participants.models import Participant
from hub.sweeps import store as skipped_rows
from ledger import accounts_and_funds
from ledger.models import Account, SettlementWindow, Transfer
from portal import changes, history, invitations, users
from portal.alarms import services
from portal.alarms.checks import Cause
from portal.models import Alarm, Profile
from portal.permissions import HUB_ROLES, Role
from portal.visitor import visitor_for
from tests.browser import scheme
from tests.browser.conftest import Open
from tests.browser.looks import ONE, Look, faults_of, in_every_look, in_half_of_the_looks
from tests.portal.people import person
from tests.world import CURRENCY, amount

BANK = "kilele-sacco"


@pytest.fixture
def everything(transactional_db: None) -> dict[str, str]:
    """Pages by name, in a scheme with something on each."""
    cache.clear()
    scheme.begin()
    asha = person(Role.RISK, name="asha")
    payload = {"participant": BANK, "currency": "TZS", "ndc_before": amount(6750), "ndc": amount(8000)}
    payload["alarm_percentage"] = 10
    approval = changes.ask(visitor_for(asha), "change_cap", subject=BANK, payload=payload, reason="more customers")
    paid = Transfer.objects.filter(state="COMMITTED").order_by("-received_at")[7].pk
    window = SettlementWindow.objects.get(state="OPEN").pk
    account = Account.objects.get(participant__name=BANK, type="POSITION").pk
    _somebody_new()
    _alarms()
    scheme.spread()
    history.fold()
    _rows_that_are_skipped(paid)
    return {
        "skipped": "/portal/skipped/",
        "overview": "/portal/overview/",
        "alarms": "/portal/alarms/",
        "runbook": "/portal/alarms/runbook/low_success/",
        "hub-accounts": "/portal/hub/",
        "settlement-models": "/portal/hub/models/",
        "new-settlement-model": "/portal/hub/models/new/",
        "currency-pairs": "/portal/hub/pairs/",
        "hub-certificates": "/portal/hub/certificates/",
        "settings": "/portal/hub/settings/",
        "history": "/portal/history/?grain=hour",
        "api-documents": "/docs/",
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
        "user": "/portal/users/neema/",
        "new-address": "/portal/users/neema/email/",
        "notifications": "/portal/notifications/",
        "audit": "/portal/audit/",
        "account": "/portal/account/",
    }


@pytest.fixture
def forms(transactional_db: None) -> dict[str, str]:
    """The forms of changes and of a user's own account, with a bank that is not live yet and a bank that leaves."""
    cache.clear()
    world = scheme.begin(payments=6)
    person(Role.SETTLEMENT, name="neema")
    world.onboard("new-bank", ndc=100, cover=0)
    Participant.objects.filter(name="new-bank").update(
        onboarding_since=datetime.now(UTC), may_send=False, may_receive=False
    )
    offboarding.begin(world.onboard("old-bank", ndc=100, cover=0), actor="asha")
    withdrawal = str(uuid.uuid4())
    accounts_and_funds.prepare_funds_out(
        Account.objects.get(participant__name=BANK, type="SETTLEMENT"),
        transfer_id=withdrawal,
        amount=amount(250),
        reason="surplus",
        external_reference="bank 17",
        actor="asha",
    )
    holder = person(Role.ADMINISTRATOR, name="asha")
    client = administration.add(
        name="reports", scopes=["administration:read"], days=365, holder=holder, actor="amani, approved by baraka"
    )
    bank = f"/portal/participants/{BANK}"
    return {
        "overview-joining-and-leaving": "/portal/overview/",
        "go-live": "/portal/participants/new-bank/go-live/",
        "go-live-request": "/portal/participants/new-bank/go-live/request/",
        "leaving-begun": "/portal/participants/old-bank/off-boarding/",
        "leaving-request": f"{bank}/off-boarding/begin_leaving/",
        "change-cap": f"{bank}/{CURRENCY}/cap/",
        "funds-in": f"{bank}/{CURRENCY}/funds-in/",
        "funds-out": f"{bank}/{CURRENCY}/funds-out/",
        "end-funds-out": f"{bank}/funds-out/{withdrawal}/end/",
        "endpoint": f"{bank}/endpoint/",
        "contact": f"{bank}/contacts/new/",
        "currency": f"{bank}/currencies/new/",
        "hub-account-new": "/portal/hub/accounts/new/",
        "currency-pair-new": "/portal/hub/pairs/new/",
        "settlements": "/portal/settlement/all/",
        "user-new": "/portal/users/new/",
        "user-roles": "/portal/users/neema/roles/",
        "user-activity": "/portal/users/neema/activity/",
        "second-factor": "/portal/users/neema/second-factor/",
        "clients": "/portal/clients/",
        "client-new": "/portal/clients/new/",
        "client-revoke": f"/portal/clients/{client.pk}/revoke/",
        "sessions": "/portal/account/sessions/",
        "password": "/portal/account/password/",
        "reauthenticate": "/portal/account/password/again/",
    }


def _rows_that_are_skipped(transfer_id: str) -> None:
    skipped_rows.remember("transfers", [transfer_id], "RaiseException: the transfer's state does not fit", attempts=3)
    why = "CanNotSettle: kilele-sacco has no SETTLEMENT account in KES"
    skipped_rows.remember("gross-settlement KES", ["17"], why, attempts=1)


def _alarms() -> None:
    """Some of different kinds, one of them acknowledged and assigned."""
    bank = {"participant": BANK}
    services.store("near_limit", [Cause("kilele-sacco TZS", {**bank, "currency": "TZS", "percent": 93})])
    rates = {**bank, "side": "PAYEE", "now": 71.4, "normal": 98.2, "count": 412}
    services.store("low_success", [Cause("kilele-sacco PAYEE", rates)])
    services.store("given_up_callbacks", [Cause(BANK, {**bank, "count": 14})])
    services.acknowledge(Alarm.objects.get(kind="given_up_callbacks").pk, actor="baraka")


def _somebody_new() -> None:
    """Invited by two, signed in, not confirmed; and e-mails that were not sent."""
    amani, baraka = person(Role.ADMINISTRATOR, name="amani"), person(Role.ADMINISTRATOR, name="baraka")
    neema = person(Role.SETTLEMENT, name="neema", is_confirmed=False)
    invitations.make(neema, asked_by=amani, approved_by=baraka)
    Profile.objects.filter(user=neema).update(
        signed_in_at=datetime.now(UTC), signed_in_from="196.41.7.20", signed_in_with="Mozilla/5.0 (X11; Linux x86_64)"
    )
    with override_settings(SENDS_EMAIL=True):
        notify(kind="first_sign_in", recipients=["baraka@example.org"], subject="neema signed in", text="x")
        notify(kind="invitation", recipients=["zuri@example.org"], subject="Your account", text="x", is_secret=True)
    Notification.objects.update(
        state="GIVEN_UP",
        sealed=None,
        ended_at=datetime.now(UTC),
        attempts=5,
        last_error="SMTPRecipientsRefused 550: no such mailbox",
    )


@pytest.fixture
def somebody(everything: dict[str, str]) -> User:
    user = person(Role.OPERATOR, name="juma")
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    return user


@in_every_look
def test_every_page_fits_and_is_accessible(
    open_window: Open, everything: dict[str, str], somebody: User, look: Look
) -> None:
    assert faults_of(open_window, somebody, everything, look) == []


@in_half_of_the_looks
def test_every_form_fits_and_is_accessible(open_window: Open, forms: dict[str, str], look: Look) -> None:
    user = person(Role.OPERATOR, name="juma")
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    assert faults_of(open_window, user, forms, look) == []


@in_every_look
def test_the_pages_of_a_dfsps_people_fit_and_are_accessible(
    open_window: Open, everything: dict[str, str], look: Look
) -> None:
    treasurer = person(Role.PARTICIPANT_TREASURER, participant=BANK)
    pages = {
        "own-page": "/portal/participants/kilele-sacco/",
        "own-transfers": "/portal/transfers/",
        "own-history": "/portal/history/?grain=hour",
        "own-callbacks": "/portal/callbacks/?state=all",
        "own-approvals": "/portal/approvals/",
        "own-funds-out": f"/portal/participants/{BANK}/{CURRENCY}/funds-out/",
        "own-settlement-none": "/portal/own-settlement/",
    }
    assert faults_of(open_window, treasurer, pages, look) == []


@in_half_of_the_looks
def test_the_pages_of_an_empty_hub_fit_and_are_accessible(
    open_window: Open, transactional_db: None, look: Look
) -> None:
    cache.clear()
    participants.hub()
    user = person(Role.OPERATOR, name="juma")
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    pages = ("overview", "alarms", "hub", "hub/models", "hub/pairs", "history", "transfers", "payments", "participants")
    pages += ("callbacks", "directory", "settlement", "approvals", "notifications", "skipped", "conversions", "alerts")
    pages += ("rules", "held", "lists", "lists/matches", "markers", "kill-switches", "hub/certificates", "clients")
    pages += ("certifications", "settlement/all", "directory/shared", "conversions/terms", "audit", "users")
    pages += ("rules/0/add", "rules/0/add/value-limit", "participants/new/identity")
    assert (
        faults_of(open_window, user, {f"empty-{name.replace('/', '-')}": f"/portal/{name}/" for name in pages}, look)
        == []
    )


def test_a_few_pages_fit_and_are_accessible(open_window: Open, everything: dict[str, str], somebody: User) -> None:
    pages = {name: everything[name] for name in ("overview", "alarms", "payment", "approvals", "settlement")}
    assert faults_of(open_window, somebody, pages, ONE) == []


@in_every_look
def test_the_pages_without_a_sign_in_fit_and_are_accessible(
    open_window: Open, transactional_db: None, look: Look
) -> None:
    pages = {"invitation-empty": "/portal/invitation/#a-token", "sign-in": "/portal/sign-in/"}
    assert faults_of(open_window, None, pages, look) == []
