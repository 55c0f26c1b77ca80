"""Requests that need three people, requests approved together, what comes next, and mail to people who may check."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, transaction
from django.test import Client, override_settings

from fspiop.money import parse_amount
from hub.audit import amount_rules
from hub.audit.models import Approval, Consent
from hub.audit.models import Entry as AuditEntry
from hub.notifications.models import Notification
from hub.setting_choices import amounts
from ledger.models import FundsMovement
from portal import approval_mail
from portal.permissions import Role
from tests.portal.people import browser, browser_of, person
from tests.world import World, amount

CAP = "/portal/participants/green/TZS/cap/"
LARGE = override_settings(THREE_PEOPLE_FROM={"TZS": amount(2000)})


def latest() -> Approval:
    return Approval.objects.latest("id")


def ask_for_cap(client: Client, text: str) -> Approval:
    assert client.post(CAP, {"ndc": text, "alarm_percentage": "15", "reason": "grows"}).status_code == 302
    return latest()


@LARGE
def test_a_large_amount_needs_three_people_and_the_database_sees_to_it(world: World) -> None:
    asha, juma, zuri = (browser(Role.RISK, name=name) for name in ("asha", "juma", "zuri"))
    approval = ask_for_cap(asha, "2000")
    assert approval.checkers_needed == 2
    url = f"/portal/approvals/{approval.pk}/approve/"
    page = juma.post(url, follow=True).content.decode()
    assert "It takes effect once another person approves it too." in page
    assert world.account("green").net_debit_cap == amount(1000)
    with pytest.raises(DatabaseError, match="needs 2 checkers"), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(
            state="APPROVED", checker=Consent.objects.get().checker, decided_at=datetime.now(UTC)
        )
    for client, said in ((juma, "You have already approved this request"), (asha, "cannot approve it")):
        assert said in client.post(url, follow=True).content.decode()
    assert world.account("green").net_debit_cap == amount(1000)
    zuri.post(url)
    assert world.account("green").net_debit_cap == parse_amount("2000")
    done = latest()
    assert (done.state, done.checker.username, done.consents.get().checker.username) == ("APPROVED", "zuri", "juma")
    assert "approval_consented" in AuditEntry.objects.values_list("action", flat=True)


@LARGE
def test_an_amount_below_needs_two_people(world: World) -> None:
    asha, juma = browser(Role.RISK, name="asha"), browser(Role.RISK, name="juma")
    approval = ask_for_cap(asha, "1999.99")
    juma.post(f"/portal/approvals/{approval.pk}/approve/")
    assert latest().state == "APPROVED"


@LARGE
def test_two_accounts_of_one_person_are_one_person_of_the_three(world: World) -> None:
    asha, juma = browser(Role.RISK, name="asha"), browser(Role.RISK, name="juma")
    twin = person(Role.RISK, name="juma2")
    type(twin).objects.filter(pk=twin.pk).update(email="juma+2@example.org")
    url = f"/portal/approvals/{ask_for_cap(asha, '3000').pk}/approve/"
    juma.post(url)
    assert "already approved" in browser_of(twin).post(url, follow=True).content.decode()
    assert latest().state == "PENDING"


@LARGE
def test_a_consent_of_the_requester_or_after_the_decision_is_refused_by_the_database(world: World) -> None:
    asha, juma = person(Role.RISK, name="asha"), person(Role.RISK, name="juma")
    approval = ask_for_cap(browser_of(asha), "3000")
    with pytest.raises(DatabaseError, match="requester consents"), transaction.atomic():
        Consent.objects.create(approval=approval, checker=asha)
    browser_of(juma).post(f"/portal/approvals/{approval.pk}/refuse/", {"reason": "no"})
    with pytest.raises(DatabaseError, match="was decided"), transaction.atomic():
        Consent.objects.create(approval=approval, checker=juma)


def test_the_rule_finds_every_amount_of_a_payload_and_refuses_settings_that_it_cannot_read() -> None:
    payload = {"currencies": [{"currency": "KES", "ndc": 7}], "owed": [["TZS", 5]], "amount": 3, "currency": "UGX"}
    assert sorted(amount_rules.amounts_in(payload)) == [("KES", 7), ("TZS", 5), ("UGX", 3)]
    assert amounts({"TZS": "50000000"}) == {"TZS": 500_000_000_000}
    for wrong in ({"TSH": "1"}, {"TZS": "much"}, {"TZS": "-1"}):
        with pytest.raises(ImproperlyConfigured):
            amounts(wrong)


def test_several_requests_are_approved_from_the_list_and_one_that_fails_stops_no_other(world: World) -> None:
    officer, checker = browser(Role.SETTLEMENT, name="asha"), browser(Role.RISK, name="juma")
    for name, text in (("green", "10"), ("blue", "4000"), ("blue", "2000"), ("red", "12")):
        officer.post(f"/portal/participants/{name}/TZS/funds-out/", {"amount": text, "reason": f"weekly {name}"})
    page = checker.get("/portal/approvals/").content.decode()
    assert "Approve the chosen requests" in page
    assert "weekly green" in page
    assert "4,000.00 TZS" in page
    numbers = list(Approval.objects.order_by("pk").values_list("pk", flat=True))
    answer = checker.post("/portal/approvals/several/", {"request": [*numbers, "x", "999999"]}, follow=True)
    assert "At most 1,000.00 TZS can be paid out" in answer.content.decode()
    assert sorted(Approval.objects.values_list("state", flat=True)) == ["APPROVED", "APPROVED", "APPROVED", "PENDING"]
    assert sorted(FundsMovement.objects.filter(kind="FUNDS_OUT").values_list("amount", flat=True)) == [
        amount(10),
        amount(12),
        amount(4000),
    ]
    # nobody approves their own, also not together with others
    own = officer.post("/portal/approvals/several/", {"request": numbers}, follow=True).content.decode()
    assert "Your roles do not allow" in own or "cannot approve it" in own
    assert Approval.objects.filter(state="PENDING").count() == 1


def test_an_approved_request_links_to_what_comes_next(world: World) -> None:
    officer, checker = browser(Role.SETTLEMENT, name="asha"), browser(Role.RISK, name="juma")
    officer.post("/portal/participants/green/TZS/funds-out/", {"amount": "10", "reason": "weekly"})
    approval = latest()
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    movement = FundsMovement.objects.get(kind="FUNDS_OUT").pk
    page = officer.get(f"/portal/approvals/{approval.pk}/").content.decode()
    assert f"/portal/participants/green/funds-out/{movement}/end/" in page
    assert "/portal/participants/green/" in checker.get(f"/portal/approvals/{approval.pk}/").content.decode()


@override_settings(SENDS_EMAIL=True, PORTAL_URL="https://hub.example")
def test_people_who_may_check_get_one_mail_for_all_new_requests(world: World) -> None:
    asha, juma = person(Role.RISK, name="asha"), person(Role.RISK, name="juma")
    person(Role.OPERATOR, name="operator"), person(Role.RISK, name="new", is_confirmed=False)
    client = browser_of(asha)
    first, second = ask_for_cap(client, "2500"), ask_for_cap(client, "2600")
    assert approval_mail.write_to_checkers() == 2
    assert approval_mail.write_to_checkers() == 0
    mail = Notification.objects.get(kind="approvals")
    assert mail.recipient == juma.email
    assert mail.subject == "2 requests wait for your approval"
    for text in ("2500 TZS", "requested by asha: grows", f"https://hub.example/portal/approvals/{first.pk}/"):
        assert text in mail.text
    # within a minute no second mail
    ask_for_cap(client, "2700")
    assert approval_mail.write_to_checkers() == 0
    Approval.objects.filter(pk__in=[first.pk, second.pk]).update(mailed_at=datetime.now(UTC) - timedelta(minutes=2))
    assert approval_mail.write_to_checkers() == 1
    assert Notification.objects.filter(kind="approvals").count() == 2
