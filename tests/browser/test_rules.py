"""Rules and fraud control as people see and use them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from hub.audit.models import Approval
from ledger import quoted_facts
from ledger.models import HeldTransfer
from portal import changes, replays, users
from portal.permissions import HUB_ROLES, Role
from portal.visitor import visitor_for
from rules.alerts import services as alerts
from rules.alerts import tasks
from rules.alerts.models import Alert
from rules.alerts.services import Sighting
from rules.decide import judge, verdict_of
from rules.language.templates import TEMPLATES, make_rules
from rules.lists import services as lists
from rules.lists.models import KillSwitch
from rules.lists.party_files import Line
from rules.markers import services as markers
from rules.party_keys import key_of
from rules.rulesets import active_rules, queries, services
from tests.browser import scheme
from tests.browser.conftest import Open
from tests.browser.looks import Look, faults_of, in_every_look, in_half_of_the_looks
from tests.portal.people import person
from tests.portal.test_rules_pages import TEN
from tests.rules.documents import FixedCounters
from tests.rules.limits import facts_of_quotes
from tests.rules.two_people import decide
from tests.world import prepare, run

ADA, BEN = key_of("MSISDN", "255712001001"), key_of("MSISDN", "255712001002")
RULES = [
    ("value_limit", {"id": "p2p-daily", "title": "At most 5,000,000 TZS in 24 hours", "subject": "payer"}),
    ("new_payee_delay", {"id": "new-payee", "title": "Payments to new payees wait an hour", "hold_for": "PT1H"}),
    ("hours", {"id": "hours", "title": "Withdrawals by day", "from": "06:00", "to": "22:00", "mode": "shadow"}),
]


# The browser has sent the first request, and has no answer yet, when the second click comes.
TWO_CLICKS = "button => { button.click(); setTimeout(() => button.click(), 30); }"


def document(*, cap: str = "1000") -> dict[str, object]:
    def tzs(amount: str) -> dict[str, str]:
        return {"amount": amount, "currency": "TZS"}

    more = [
        {"most": tzs("5000000"), "most_payments": 50, "scenarios": ["TRANSFER"]},
        {"above": tzs("200000")},
        {"scenarios": ["WITHDRAWAL"], "weekdays": ["MON", "TUE", "WED", "THU", "FRI", "SAT"]},
    ]
    made = [
        rule
        for (template, values), others in zip(RULES, more, strict=True)
        for rule in make_rules(template, {**values, **others})
    ]
    large = {
        "id": "large",
        "title": "Large payments wait for the fraud desk",
        "kind": "fraud",
        "gate": "transfer",
        "when": {"currencies": ["TZS"]},
        "if": {"fact": "amount", "is": "above", "value": tzs(cap)},
        "then": {"action": "hold", "for": "PT2H"},
    }
    return {"language": 1, "name": "Scheme rules 2027", "time_zone": "Africa/Dar_es_Salaam", "rules": [*made, large]}


def sighting(version: int, payment: str, party: int = ADA) -> Sighting:
    reading = {
        "fact": "amount",
        "operator": "above",
        "threshold": 1_000_0000,
        "value": 2_400_0000,
        "holds": True,
        "unit": "amount",
        "currency": "TZS",
    }
    return Sighting(
        kind=alerts.RULE,
        party=party,
        rule="large",
        rules_version=version,
        gate="transfer",
        subject=payment,
        payer_dfsp="uhuru-bank",
        payee_dfsp="simba-pesa",
        amount=2_400_0000,
        currency="TZS",
        details={"rule": "large", "action": "hold", "readings": [reading]},
    )


@pytest.fixture
def fraud_desk(fraud_pages: tuple[dict[str, str], dict[str, str]]) -> dict[str, str]:
    return fraud_pages[0]


@pytest.fixture
def fraud_forms(fraud_pages: tuple[dict[str, str], dict[str, str]]) -> dict[str, str]:
    return fraud_pages[1]


@pytest.fixture
def fraud_pages(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, str], dict[str, str]]:
    """Pages by name, with something on each; and the forms."""
    cache.clear()
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    world = scheme.begin(payments=6)
    by = "asha, approved by ben"
    asha, ben = person(Role.RISK, name="asha"), person(Role.RISK, name="ben")
    first = services.create(document(), actor="asha")
    services.activate(first.pk, reason="agreed by the council", actor=by)
    payment = prepare(world, "uhuru-bank", "simba-pesa", 2_400, expires_in=86_400)
    for command in (payment, prepare(world, "uhuru-bank", "kilele-sacco", 1_200, expires_in=86_400)):
        run(command)
    assert HeldTransfer.objects.count() == 2
    second = services.create(document(cap="2000"), actor="asha")
    terms = services.activation_terms(second.pk, reason="fewer alerts")
    waiting = changes.ask(visitor_for(asha), "activate_rules", subject="rules", payload=terms, reason="fewer alerts")
    until = datetime.now(UTC) + timedelta(days=90)
    services.grant_variance("p2p-daily", "bahari-wallet", until=until, reason="a pilot", actor=by)
    alerts.raise_alerts(
        [sighting(first.pk, *about) for about in ((payment.transfer_id,), (payment.transfer_id,), ("x", BEN))]
    )
    tasks.merge()
    alert = Alert.objects.get(key=ADA)
    alerts.assign(alert.pk, to=ben, actor="asha")
    alerts.add_note(alert.pk, text="The customer does not answer the telephone.", actor="ben")
    lists.create(name="excluded", kind="EXCLUSION", title="Excluded by the council", actor="asha")
    for number, party in enumerate((ADA, BEN)):
        lists.add_entry("excluded", Line(party, "", "", f"2026-{number + 17}"), actor=by)
    marker = markers.file_by_operators(ADA, kind="MULE_ACCOUNT", reason="passed on stolen money", actor=by)
    decide("kill_switch", {"kind": "ALIAS", "party": ADA, "on": True, "reason": "stolen telephone"})
    job = replays.ask(second, asked_by="asha")
    assert replays.take() == job
    replays.run(job.pk)
    forms = {
        "switch-off": f"/portal/kill-switches/{KillSwitch.objects.get().pk}/off/",
        "rules-off": "/portal/rules/off/",
        "rules-changes": f"/portal/approvals/{waiting.pk}/",
        "held-release": f"/portal/held/{payment.transfer_id}/release/",
        "alert-block": f"/portal/alerts/{alert.pk}/block/",
        "alert-mark": f"/portal/alerts/{alert.pk}/mark/",
        "alert-stop": f"/portal/alerts/{alert.pk}/stop/",
        "list-new": "/portal/lists/new/",
        "list-add": "/portal/lists/of/excluded/add/",
        "marker-new": "/portal/markers/new/",
        "marker-lift": f"/portal/markers/{marker.pk}/lift/",
    }
    return {
        "rules": "/portal/rules/",
        "rules-replays": f"/portal/rules/{second.pk}/replays/",
        "rules-replay": f"/portal/rules/replays/{job.pk}/",
        "rules-version": f"/portal/rules/{second.pk}/",
        "rules-templates": f"/portal/rules/{first.pk}/add/",
        "rules-form": f"/portal/rules/{first.pk}/add/value-limit/",
        "rules-import": "/portal/rules/import/",
        "rules-activate": f"/portal/rules/{second.pk}/activate/",
        "rules-exception": "/portal/rules/exceptions/new/",
        "held": "/portal/held/",
        "held-refuse": f"/portal/held/{payment.transfer_id}/refuse/",
        "held-payment": f"/portal/transfers/{payment.transfer_id}/",
        "alerts": "/portal/alerts/",
        "alert": f"/portal/alerts/{alert.pk}/",
        "lists": "/portal/lists/",
        "list": "/portal/lists/of/excluded/",
        "list-import": "/portal/lists/of/excluded/import/",
        "matches": "/portal/lists/matches/",
        "markers": "/portal/markers/",
        "switches": "/portal/kill-switches/",
        "switch-on": "/portal/kill-switches/new/",
    }, forms


@pytest.fixture
def somebody(fraud_desk: dict[str, str]) -> User:
    user = person(Role.OPERATOR, name="juma")
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    return user


@in_every_look
def test_every_page_of_rules_fits_and_is_accessible(
    open_window: Open, fraud_desk: dict[str, str], somebody: User, look: Look
) -> None:
    assert faults_of(open_window, somebody, fraud_desk, look) == []


@in_half_of_the_looks
def test_every_form_of_fraud_control_fits_and_is_accessible(
    open_window: Open, fraud_forms: dict[str, str], somebody: User, look: Look
) -> None:
    assert faults_of(open_window, somebody, fraud_forms, look) == []


def test_one_person_makes_a_rule_by_a_form_and_another_activates_it(open_window: Open, transactional_db: None) -> None:
    cache.clear()
    scheme.begin(payments=6)
    maker, checker = open_window(person(Role.RISK, name="asha")), open_window(person(Role.RISK, name="ben"))
    page = maker.page
    maker.go("/portal/rules/")
    page.get_by_role("link", name="Create the first rule").click()
    page.get_by_role("link", name="Largest amount").click()
    page.get_by_label("Name of the rules").fill("Scheme rules 2027")
    page.get_by_label("Time zone").select_option("Africa/Dar_es_Salaam")
    page.get_by_label("Id", exact=False).first.fill("p2p-cap")
    page.get_by_label("Title").fill("At most 1,000,000 TZS")
    page.get_by_label("Largest amount").fill("1000000")
    page.get_by_label("TRANSFER").check()
    maker.picture("rules-filled-form-light")
    page.get_by_role("button", name="Make a version").click()
    page.get_by_text("This version judges payments once two people have activated it.").first.wait_for()
    page.get_by_text("above 1,000,000.00 TZS").wait_for()
    page.get_by_label("Mode").select_option("live")
    page.get_by_role("button", name="Change mode").click()
    page.get_by_role("link", name="Request activation").click()
    page.get_by_label("Reason").fill("agreed by the council")
    page.get_by_role("button", name="Submit request").click()
    page.get_by_text("You submitted this request.").wait_for()
    checker.go("/portal/approvals/")
    checker.page.get_by_role("link", name="Activate a version of the rules").click()
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_text("The change has taken effect").wait_for()
    maker.go("/portal/rules/")
    page.get_by_text("asha, approved by ben").first.wait_for()
    active = queries.active()
    assert active is not None
    assert active.version is not None
    assert [rule["mode"] for rule in active.version.content["rules"]] == ["live"]


def test_a_double_click_submits_and_approves_a_request_once(open_window: Open, fraud_desk: dict[str, str]) -> None:
    maker, checker = open_window(User.objects.get(username="asha")), open_window(User.objects.get(username="ben"))
    posts: list[str] = []
    for window in (maker, checker):
        window.page.on("request", lambda sent: sent.method == "POST" and posts.append(sent.url))
    before = Approval.objects.count()
    maker.go("/portal/rules/off/")
    maker.page.get_by_label("Reason").fill("agreed by the council")
    maker.page.get_by_role("button", name="Submit request").evaluate(TWO_CLICKS)
    maker.page.get_by_text("You submitted this request.").wait_for()
    assert (len(posts), Approval.objects.count()) == (1, before + 1)
    checker.go(f"/portal/approvals/{Approval.objects.latest('pk').pk}/")
    checker.page.get_by_role("button", name="Approve").evaluate(TWO_CLICKS)
    checker.page.get_by_text("The change has taken effect").wait_for()
    assert len(posts) == 2
    # The page that the back button shows offers no second approval.
    checker.page.go_back()
    checker.page.reload()
    checker.page.get_by_text("APPROVED", exact=True).first.wait_for()
    assert checker.page.get_by_role("button", name="Approve").count() == 0


def fill_in(page: Any, said: dict[str, Any]) -> None:
    """Fills in a form's fields as a person does, by the fields' names."""
    for name, value in said.items():
        field = page.locator(f'[name="{name}"]')
        if field.first.get_attribute("type") == "checkbox":
            for each in value:
                page.locator(f'[name="{name}"][value="{each}"]').check()
        elif field.first.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)


def test_a_person_makes_tests_and_activates_the_ten_commonest_rules(open_window: Open, transactional_db: None) -> None:
    """As docs/rules.md says, from the first rule to the verdicts of the active version."""
    cache.clear()
    world = scheme.begin(payments=6)
    for name in ("green", "blue"):
        world.onboard(name, ndc=1000, cover=5000)
    lists.create(name="excluded", kind="EXCLUSION", title="Excluded by the council", actor="asha")
    maker, checker = open_window(person(Role.RISK, name="asha")), open_window(person(Role.RISK, name="ben"))
    page = maker.page
    maker.go("/portal/rules/")
    page.get_by_role("link", name="Create the first rule").click()
    for number, (template, said, _payments) in enumerate(TEN):
        if number:
            page.get_by_role("link", name="Add a rule").click()
        page.get_by_role("link", name=TEMPLATES[template.replace("-", "_")].title, exact=False).first.click()
        begun = {"rules_name": "Scheme rules", "time_zone": "Africa/Dar_es_Salaam"} if not number else {}
        fill_in(page, {**begun, "id": template, "title": f"Rule {number}", "mode": "live", **said})
        page.get_by_role("button", name="Make a version").click()
        page.locator(f'[id^="rule-{template}"]').first.wait_for()
    page.get_by_role("link", name="Replay").click()
    page.get_by_role("button", name="Begin a replay").click()
    job = replays.take()
    assert job is not None
    replays.run(job.pk)
    page.get_by_text("Difference from the actual outcome").wait_for()
    page.get_by_role("link", name=str(job.version)).click()
    page.get_by_role("link", name="Request activation").click()
    page.get_by_label("Reason").fill("agreed by the council")
    page.get_by_role("button", name="Submit request").click()
    page.get_by_text("You submitted this request.").wait_for()
    checker.go("/portal/approvals/")
    checker.page.get_by_role("link", name="Activate a version of the rules").click()
    checker.page.get_by_text("Added rules").wait_for()
    checker.picture("rules-approval-light")
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_text("The change has taken effect").wait_for()
    active = active_rules.current_at()
    assert active is not None
    for template, _said, payments in TEN:
        for payment, counters, expected in payments:
            verdict = verdict_of(judge(payment, active[0].rules.by_gate[payment.gate], FixedCounters(counters)))
            hits = [hit.rule for hit in verdict.hits if not hit.skipped]
            is_hit = any(rule == template or rule.startswith(f"{template}-") for rule in hits)
            assert is_hit == (expected != "ALLOW"), (template, payment, hits)


def test_a_person_sees_why_a_payment_is_held_and_another_releases_it(
    open_window: Open, fraud_desk: dict[str, str]
) -> None:
    maker, checker = open_window(User.objects.get(username="asha")), open_window(User.objects.get(username="ben"))
    page = maker.page
    for name in ("rules", "rules-version", "rules-replay"):
        maker.go(fraud_desk[name])
        maker.picture(f"{name}-light")
    maker.go(fraud_desk["held"])
    page.get_by_role("link", name=HeldTransfer.objects.order_by("until").first().pk).click()
    page.get_by_text("Large payments wait for the fraud desk").wait_for()
    page.get_by_text(re.compile(r"\d+ rules? that did not fire")).first.click()
    page.get_by_text("above 5,000,000.00 TZS").wait_for()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    maker.picture("rules-payment-light")
    page.get_by_role("link", name="Release").click()
    page.get_by_label("Reason").fill("the customer confirmed it")
    page.get_by_role("button", name="Submit request").click()
    page.get_by_text("You submitted this request.").wait_for()
    checker.go("/portal/approvals/")
    checker.page.get_by_role("link", name="Release a held transfer").click()
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_text("The change has taken effect").wait_for()
    assert HeldTransfer.objects.order_by("until").first().state == "RELEASED"
