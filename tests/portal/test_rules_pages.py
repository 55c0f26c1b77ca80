"""The pages of rules: versions made by forms and from JSON, activated by two people, and what they decided."""

import gc
import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hub.audit.models import Approval, Entry
from hub.sweeps.models import Erasure
from ledger import accounts_and_funds
from ledger.held_transfers import services
from ledger.models import HeldTransfer
from portal import changes, replays
from portal.models import Profile, RuleReplay
from portal.permissions import Role
from portal.rules import fault_texts, sentences
from portal.tasks import replay_rules
from portal.views import held_transfers
from portal.visitor import visitor_for
from rules.decide import Hit, Verdict, judge, verdict_of
from rules.facts import Facts
from rules.language import faults
from rules.language.fact_catalogue import FACTS
from rules.language.parse import MOST_BYTES
from rules.language.rule_types import Operator
from rules.language.schema import schema
from rules.language.templates import TEMPLATES, make_rules
from rules.lists import services as lists
from rules.rulesets import active_rules, decisions, queries
from rules.rulesets.decisions import Judged
from rules.rulesets.models import RuleSetVersion
from tests.concurrency.together import together
from tests.portal.people import browser_of, person
from tests.rules.documents import FixedCounters, facts
from tests.rules.limits import limit
from tests.rules.rule_sets import above, activate, cap, create, document, hold, refuse, rule
from tests.world import World, prepare, run


@pytest.fixture
def rita(world: World) -> Client:
    return browser_of(person(Role.RISK, name="rita"))


@pytest.fixture
def ron(world: World) -> Client:
    return browser_of(person(Role.RISK, name="ron"))


def page(client: Client, path: str) -> str:
    answer = client.get(f"/portal/{path}")
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.content.decode()


def approve(client: Client) -> None:
    """Approves the latest request, as a second person."""
    request = Approval.objects.latest("pk")
    client.post(f"/portal/approvals/{request.pk}/approve/")
    request.refresh_from_db()
    assert request.state == "APPROVED", request.state


def at(hour: int, day: int = 27) -> datetime:
    """A moment in Dar es Salaam. The 27th is a Friday."""
    return datetime(2026, 11, day, hour - 3, tzinfo=UTC)


def tzs(name: str, amount: str) -> dict[str, str]:
    return {name: amount, f"{name}_currency": "TZS"}


def limits(count: int, value: int) -> dict[str, int]:
    return {"payer.sent_count": count, "payer.sent_value": value}


# The ten commonest rules, as docs/rules.md has them: the form, what a person writes, and payments with their verdicts.
TEN: list[tuple[str, dict[str, Any], list[tuple[Facts, dict[str, Any], str | int]]]] = [
    (
        "amount-cap",
        tzs("most", "100") | {"scenarios": ["TRANSFER"], "payer_types": ["CONSUMER"]},
        [(facts(amount=100_0001), {}, "3140"), (facts(amount=100_0000), {}, "ALLOW")],
    ),
    (
        "amount-floor",
        tzs("least", "1.5"),
        [(facts(amount=1_4999), {}, "3140"), (facts(amount=1_5000), {}, "ALLOW")],
    ),
    (
        "count-limit",
        {"subject": "payer", "most_payments": "20", "window": "24", "window_unit": "H"},
        [
            (facts("transfer"), {"payer.sent_count": 21}, "4240"),
            (facts("transfer"), {"payer.sent_count": 20}, "ALLOW"),
        ],
    ),
    (
        "value-limit",
        tzs("most", "1000000") | {"subject": "payer", "most_payments": "50", "window": "1", "window_unit": "D"},
        [
            (facts("transfer"), limits(2, 1_000_000_0001), "4241"),
            (facts("transfer"), limits(51, 1), "4240"),
            (facts("transfer"), limits(50, 1_000_000_0000), "ALLOW"),
        ],
    ),
    (
        "closed-corridor",
        {"payer_dfsps": ["green"], "payee_dfsps": ["blue"]},
        [(facts(), {}, "3140"), (facts(payee_dfsp="red"), {}, "ALLOW")],
    ),
    (
        "hours",
        {"from": "08:00", "to": "18:00", "weekdays": ["MON", "FRI"], "scenarios": ["WITHDRAWAL"]},
        [
            (facts(now=at(7), scenario="WITHDRAWAL"), {}, "3140"),
            (facts(now=at(9, day=28), scenario="WITHDRAWAL"), {}, "3140"),
            (facts("transfer", now=at(19), scenario="WITHDRAWAL"), {}, "3140"),
            (facts(now=at(9), scenario="WITHDRAWAL"), {}, "ALLOW"),
        ],
    ),
    (
        "expiration",
        {"gate": "transfer", "shortest": "10", "shortest_unit": "S", "longest": "5", "longest_unit": "M"},
        [
            (facts("transfer", expires_in_s=9), {}, "3142"),
            (facts("transfer", expires_in_s=301), {}, "3142"),
            (facts("transfer", expires_in_s=300), {}, "ALLOW"),
        ],
    ),
    (
        "excluded-parties",
        {"lists": ["excluded"]},
        [
            (facts(payer_lists=frozenset({"excluded"})), {}, "4540"),
            (facts(payee_lists=frozenset({"excluded"})), {}, "5540"),
            (facts(payee_lists=frozenset({"others"})), {}, "ALLOW"),
        ],
    ),
    (
        "new-payee-delay",
        tzs("above", "50") | {"hold_for": "1", "hold_for_unit": "H"},
        [
            (facts(), {"pair.paid_before": False}, 3600),
            (facts(amount=50_0000), {"pair.paid_before": False}, "ALLOW"),
            (facts(), {"pair.paid_before": True}, "ALLOW"),
        ],
    ),
    (
        "marked-parties",
        {"party": "payee", "markers": ["CONFIRMED"], "action": "refuse"},
        [
            (facts(payee_markers=frozenset({"CONFIRMED", "OTHER"})), {}, "5540"),
            (facts(payee_markers=frozenset({"MULE_ACCOUNT"})), {}, "ALLOW"),
        ],
    ),
]


@pytest.mark.parametrize(("template", "said", "payments"), TEN, ids=[each[0] for each in TEN])
def test_each_of_the_ten_commonest_rules_is_made_by_its_form_and_judges(
    rita: Client, template: str, said: dict[str, Any], payments: list[Any]
) -> None:
    lists.create(name="excluded", kind="EXCLUSION", actor="rita")
    common = {"id": "a-rule", "title": "A rule", "mode": "live", "on_missing": "open"}
    begun = {"rules_name": "Scheme rules", "time_zone": "Africa/Dar_es_Salaam"}
    answer = rita.post(f"/portal/rules/0/add/{template}/", common | begun | said)
    assert answer.status_code == 302, answer.context["form"].errors
    version = RuleSetVersion.objects.get()
    assert (version.author, version.name) == ("rita", "Scheme rules")
    assert "a-rule" in page(rita, f"rules/{version.pk}/")
    read = active_rules.read(version.pk)
    for payment, counters, expected in payments:
        verdict = verdict_of(judge(payment, read.by_gate[payment.gate], FixedCounters(counters)))
        found = verdict.code or verdict.hold_for_s or verdict.outcome
        assert found == expected, payment


def test_every_form_is_offered_and_says_what_is_missing(rita: Client) -> None:
    choices = page(rita, "rules/0/add/")
    for name, template in TEMPLATES.items():
        slug = name.replace("_", "-")
        assert f"/portal/rules/0/add/{slug}/" in choices
        assert template.title in page(rita, f"rules/0/add/{slug}/")
        answer = rita.post(f"/portal/rules/0/add/{slug}/", {"mode": "live"})
        assert answer.status_code == 400
        assert {"id", "title", "rules_name"} <= set(answer.context["form"].errors)
    assert RuleSetVersion.objects.count() == 0
    assert rita.get("/portal/rules/0/add/another/").status_code == 404


def test_the_page_says_to_which_version_a_rule_is_added(rita: Client) -> None:
    active = activate(cap("10"))
    assert "A newer version exists" not in page(rita, f"rules/{active}/add/")
    draft = create(cap("10"), cap("20"))
    text = page(rita, f"rules/{active}/add/")
    assert f"The new version will have the rules of version {active} " in text
    assert f'open it first: <a href="/portal/rules/{draft.pk}/">' in text
    assert "A newer version exists" not in page(rita, f"rules/{draft.pk}/add/")


def test_a_fault_is_shown_beside_its_field(rita: Client) -> None:
    version = create(cap("10"))
    said = tzs("most", "5") | {"id": "cap-10", "title": "x", "mode": "live", "on_missing": "open"}
    answer = rita.post(f"/portal/rules/{version.pk}/add/amount-cap/", said)
    assert answer.context["form"].errors == {"id": ["another rule has the id cap-10"]}
    said |= {"id": "other", "most": "a thousand"}
    answer = rita.post(f"/portal/rules/{version.pk}/add/amount-cap/", said)
    assert set(answer.context["form"].errors) == {"most"}
    # With several currencies, a person chooses one, because a rule looks at payments in this currency only.
    accounts_and_funds.open_hub_account(account_type="HUB_RECONCILIATION", currency="KES", actor="rita")
    said = {"id": "x", "title": "x", "mode": "live", "on_missing": "open", "hold_for": "1", "hold_for_unit": "H"}
    for template, name in (("high-value-delay", "above"), ("new-payee-delay", "above")):
        path = f"/portal/rules/{version.pk}/add/{template}/"
        assert [value for value, _ in rita.get(path).context["form"].fields[f"{name}_currency"].choices] == [
            "",
            "KES",
            "TZS",
        ]
        answer = rita.post(path, said | {name: "50", f"{name}_currency": ""})
        assert set(answer.context["form"].errors) == {f"{name}_currency"}, template
    said = {"id": "x", "title": "x", "mode": "live", "on_missing": "open", "gate": "transfer"}
    said |= {"shortest_unit": "S", "longest_unit": "S"}
    answer = rita.post(f"/portal/rules/{version.pk}/add/expiration/", said)
    assert set(answer.context["form"].errors) == {"shortest"}
    assert RuleSetVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("template", "said"), [("count-limit", {}), ("value-limit", {"most": "100", "most_currency": "TZS"})]
)
def test_a_limit_that_is_too_high_is_reported_beside_the_number_of_payments(
    rita: Client, template: str, said: dict[str, str]
) -> None:
    common = {"id": "a-rule", "title": "A rule", "mode": "live", "on_missing": "open"}
    begun = {"rules_name": "Scheme rules", "time_zone": "Africa/Dar_es_Salaam"}
    limit = {"subject": "payer", "most_payments": "64", "window": "1", "window_unit": "D"}
    answer = rita.post(f"/portal/rules/0/add/{template}/", common | begun | limit | said)
    errors = answer.context["form"].errors
    assert (set(errors), len(errors["most_payments"])) == ({"most_payments"}, 1)
    assert "exact only up to 63 payments" in errors["most_payments"][0]


def test_people_get_the_json_schema_of_rule_sets(rita: Client) -> None:
    assert "/portal/rules/rules.schema.json" in page(rita, "rules/")
    assert json.loads(page(rita, "rules/rules.schema.json")) == schema()


def test_json_is_imported_or_refused_with_each_place(rita: Client) -> None:
    bad = document(cap("10"), cap("10"), rule("odd", {"fact": "amuont", "is": "above", "value": 3}, refuse()))
    answer = rita.post("/portal/rules/import/", {"text": json.dumps(bad)})
    assert answer.status_code == 400
    places = [place for place, _text in answer.context["faults"]]
    assert sorted(places) == ["rules[1].id", "rules[2].if.fact"]
    assert "<code>rules[2].if.fact</code>" in answer.content.decode()
    assert rita.post("/portal/rules/import/", {"text": "{"}).status_code == 400
    assert rita.post("/portal/rules/import/", {"text": " "}).status_code == 400
    assert RuleSetVersion.objects.count() == 0
    answer = rita.post("/portal/rules/import/", {"text": json.dumps(document(cap("10")))})
    version = RuleSetVersion.objects.get()
    assert answer["Location"] == f"/portal/rules/{version.pk}/"
    assert json.loads(page(rita, f"rules/{version.pk}/rules.json")) == document(cap("10"))
    assert "cap-10" in page(rita, f"rules/import/?from={version.pk}")
    assert rita.get("/portal/rules/import/?from=77").status_code == 404


def test_rules_of_every_permitted_size_are_imported_and_edited(rita: Client) -> None:
    large = document(*(cap("10") | {"id": f"cap-{number}", "title": "é" * 190} for number in range(400)))
    text = json.dumps(large, ensure_ascii=False, indent=1)
    assert len(text.encode()) > 3 * 65_536
    answer = rita.post("/portal/rules/import/", {"text": text.replace("\n", "\r\n")})
    assert answer.status_code == 302, answer.status_code
    first = RuleSetVersion.objects.get()
    begun = rita.get(f"/portal/rules/import/?from={first.pk}").context["form"].initial["text"]
    assert json.loads(begun) == large
    large["name"] = "Others"
    file = SimpleUploadedFile("rules.json", json.dumps(large).encode())
    assert rita.post("/portal/rules/import/", {"file": file}).status_code == 302
    # The indented form would be larger than an import may be.
    dfsps = [f"d{number}" for number in range(100)]
    most = create(*(cap("10") | {"id": f"r{number}", "when": {"payer_dfsps": dfsps}} for number in range(700)))
    assert len(json.dumps(most.content, indent=2)) > MOST_BYTES
    exported = page(rita, f"rules/{most.pk}/rules.json")
    assert len(exported.encode()) <= MOST_BYTES
    assert json.loads(exported) == most.content
    # Only people with the page's right may send so much, and to this page only.
    viewer, big = browser_of(person(Role.VIEWER, name="vera")), "x" * 100_000
    for client, path in ((viewer, "rules/import/"), (rita, "rules/off/"), (Client(), "rules/import/")):
        assert client.post(f"/portal/{path}", {"text": big}).status_code == 413, path
    assert rita.post("/portal/rules/import/", {"text": "x" * 1_200_000}).status_code == 413


def test_equal_rules_that_arrive_at_once_are_one_version(committed_world: World) -> None:
    made = together([lambda: create(cap("10"))] * 6)
    assert made == [RuleSetVersion.objects.get()] * 6
    assert Entry.objects.filter(action="rules_created").count() == 1


def test_two_people_activate_a_version_and_roll_back_by_one_click(rita: Client, ron: Client) -> None:
    old, new = create(cap("10")), create(cap("20"), hold())
    for version in (old, new):
        answer = rita.post(f"/portal/rules/{version.pk}/activate/", {"reason": "agreed"})
        assert answer.status_code == 302
        request = Approval.objects.latest("pk")
        assert [each["state"] for each in states(rita)][-version.pk + old.pk - 1] == "REQUESTED"
        assert rita.post(f"/portal/approvals/{request.pk}/approve/").status_code == 302
        assert Approval.objects.get(pk=request.pk).state == "PENDING"
        approve(ron)
    assert [each["state"] for each in states(rita)] == ["ACTIVE", "PAST"]
    text = page(rita, "rules/")
    assert "rita, approved by ron" in text
    assert f"Roll back to {old.pk} " in text
    assert "hold-10" in page(rita, f"rules/{old.pk}/")  # a difference from the active version
    answer = rita.post("/portal/rules/roll-back/")
    assert answer["Location"] == f"/portal/approvals/{Approval.objects.latest('pk').pk}/"
    approve(ron)
    active = queries.active()
    assert active is not None
    assert active.version_id == old.pk
    rita.post("/portal/rules/off/", {"reason": "an incident"})
    approve(ron)
    assert "No rules judge payments." in page(rita, "rules/")


def test_a_request_names_a_change_of_the_order_and_of_the_time_zone(rita: Client, ron: Client) -> None:
    activate(cap("10"), cap("20"))
    changed = create(cap("20"), cap("10"), time_zone="Africa/Dar_es_Salaam")
    same = create(cap("10"), cap("20"), time_zone="UTC")
    for version, is_changed in ((changed, True), (same, False)):
        forms = [page(rita, f"rules/{version.pk}/activate/")]
        rita.post(f"/portal/rules/{version.pk}/activate/", {"reason": "agreed"})
        forms += [page(ron, f"approvals/{Approval.objects.latest('pk').pk}/")]
        for text in forms:
            assert ("UTC → Africa/Dar_es_Salaam" in text) == is_changed
            assert ("returns the error code of the first of these rules" in text) == is_changed


def states(client: Client) -> list[dict[str, Any]]:
    shown = client.get("/portal/rules/").context["versions"]
    return [{"version": each.version.pk, "state": each.state} for each in shown]


def test_a_planned_activation_is_cancelled(rita: Client, ron: Client) -> None:
    version = create(cap("10"))
    begins = datetime.now(UTC) + timedelta(days=2)
    past = rita.post(f"/portal/rules/{version.pk}/activate/", {"valid_from": "2020-01-01T10:00", "reason": "x"})
    assert set(past.context["form"].errors) == {"valid_from"}
    said = {"valid_from": f"{begins:%Y-%m-%dT%H:%M}", "reason": "x"}
    assert rita.post(f"/portal/rules/{version.pk}/activate/", said).status_code == 302
    approve(ron)
    assert states(rita)[0]["state"] == "PLANNED"
    planned = queries.planned().get()
    assert rita.post(f"/portal/rules/activations/{planned.pk}/cancel/", {"reason": "x"}).status_code == 302
    approve(ron)
    assert states(rita)[0]["state"] == "DRAFT"
    assert rita.get(f"/portal/rules/activations/{planned.pk}/cancel/").status_code == 404


def test_a_rule_gets_another_mode_or_goes_by_a_new_version(rita: Client) -> None:
    first = create(cap("10"), hold())
    rita.post(f"/portal/rules/{first.pk}/cap-10/mode/", {"mode": "shadow"})
    second = RuleSetVersion.objects.latest("pk")
    assert [each.get("mode", "live") for each in second.content["rules"]] == ["shadow", "live"]
    rita.post(f"/portal/rules/{second.pk}/cap-10/remove/")
    third = RuleSetVersion.objects.latest("pk")
    assert [each["id"] for each in third.content["rules"]] == ["hold-10"]
    assert rita.post(f"/portal/rules/{first.pk}/another/remove/").status_code == 404
    assert rita.post(f"/portal/rules/{first.pk}/cap-10/mode/", {"mode": "on"}).status_code == 404
    first.refresh_from_db()
    assert first.content == document(cap("10"), hold())
    rita.post(f"/portal/rules/{second.pk}/modes/", {"mode": "draft"})
    fourth = RuleSetVersion.objects.latest("pk")
    assert [each["mode"] for each in fourth.content["rules"]] == ["draft", "draft"]
    assert rita.post(f"/portal/rules/{first.pk}/modes/", {"mode": "on"}).status_code == 404


def test_a_dfsp_is_exempt_from_a_rule_until_two_people_end_it(rita: Client, ron: Client) -> None:
    activate(cap("10"))
    day = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
    said = {"rule": "cap-10", "dfsp": "green", "until": day, "reason": "a pilot"}
    assert rita.post("/portal/rules/exceptions/new/", said | {"until": "2020-01-01"}).status_code == 400
    assert rita.post("/portal/rules/exceptions/new/", said).status_code == 302
    approve(ron)
    (found,) = queries.exceptions()
    assert "green: cap-10" in page(rita, "rules/")
    assert rita.post(f"/portal/rules/exceptions/{found.pk}/end/", {"reason": "over"}).status_code == 302
    approve(ron)
    assert queries.exceptions() == []


def test_the_page_of_a_payment_shows_every_rule_that_was_judged(rita: Client, world: World) -> None:
    shadow = cap("5", gate="transfer", mode="shadow")
    activate(hold("PT1H", gate="transfer"), shadow, cap("100", gate="transfer"))
    command = prepare(world, "green", "blue", 20, expires_in=86_400)
    run(command)
    text = page(rita, f"transfers/{command.transfer_id}/")
    assert "above 10.00 TZS" in text
    assert "1 rule that did not fire" in text
    (judged,) = rita.get(f"/portal/transfers/{command.transfer_id}/").context["decided"].judgements
    assert [(each.id, each.effect, each.is_shadow) for each in judged.rules] == [
        ("hold-10", "HOLD", False),
        ("cap-5", "REFUSE 3140", True),
        ("cap-100", "", False),
    ]
    (reading,) = judged.others[0].readings
    assert (reading.value, reading.threshold, reading.holds) == ("20.00 TZS", "above 100.00 TZS", False)
    assert "applies only to other payments" not in text
    assert f"/portal/held/{command.transfer_id}/release/" in text
    # The payer DFSP learns no rule, and the payee DFSP nothing of a payment that is held.
    theirs = browser_of(person(Role.PARTICIPANT_VIEWER, participant="green"))
    shown = theirs.get(f"/portal/transfers/{command.transfer_id}/")
    assert shown.status_code == 200
    assert b"hold-10" not in shown.content
    assert b"Held until" not in shown.content


def test_the_page_of_a_payment_shows_no_decision_about_another_payment_with_the_same_id(
    rita: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_ABOUT_ONE", 3)
    version = activate(hold("PT1H", gate="transfer"))
    command = prepare(world, "green", "blue", 20, expires_in=86_400)
    run(command)
    held = Hit(rule="hold-of-red", kind="scheme", action="hold")
    theirs = Judged(command.transfer_id, facts(payer_dfsp="red"), Verdict(outcome="HOLD", hold_for_s=1, hits=(held,)))
    decisions.save(version, [theirs] * 5)
    (judged,) = rita.get(f"/portal/transfers/{command.transfer_id}/").context["decided"].judgements
    assert [each.id for each in judged.fired] == ["hold-10"]
    (waiting,) = rita.get("/portal/held/").context["waiting"]
    assert waiting.rules == ["hold-10"]
    # A DFSP can repeat a request that the hub refuses without an end. The page stays short.
    decisions.save(version, [Judged(command.transfer_id, facts(), theirs.verdict)] * 5)
    assert len(rita.get(f"/portal/transfers/{command.transfer_id}/").context["decided"].judgements) == 3


def test_markers_have_words_and_texts_of_messages_keep_their_form() -> None:
    assert sentences.value_text("set", ["OTHER", "CONFIRMED"]) == "Confirmed, Other"
    assert sentences.value_text("text", ["OTHER", "CONFIRMED"]) == "CONFIRMED, OTHER"


def test_the_page_of_a_payment_without_a_hit_says_that_no_rule_fired(
    rita: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = "No rule fired for the payment. The hub stores the details of a decision only if"
    before = prepare(world, "green", "blue", 20)
    run(before)
    assert hint not in page(rita, f"transfers/{before.transfer_id}/"), "no rules were active"
    version = activate(cap("100", gate="transfer"))
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: False)
    command = prepare(world, "green", "blue", 20)
    run(command)
    text = page(rita, f"transfers/{command.transfer_id}/")
    assert hint in text
    assert f'<a href="/portal/rules/{version}/">' in text
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    sampled = prepare(world, "green", "blue", 20)
    run(sampled)
    text = page(rita, f"transfers/{sampled.transfer_id}/")
    assert (hint in text, "1 rule that did not fire" in text) == (False, True)
    Erasure.objects.create(kind="hits", up_to=datetime.now(UTC))
    text = page(rita, f"transfers/{command.transfer_id}/")
    assert (hint in text, "no longer stores the decisions of this time" in text) == (False, True)
    theirs = browser_of(person(Role.PARTICIPANT_VIEWER, participant="green"))
    assert "What the rules decided" not in page(theirs, f"transfers/{command.transfer_id}/")


def test_many_held_transfers_of_one_dfsp_do_not_hide_others(
    rita: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_transfers, "_MOST", 2)
    activate(hold("PT1H", gate="transfer"))
    for payer in ("green", "green", "green", "red"):
        run(prepare(world, payer, "blue", 20, expires_in=86_400))
    for query, payers in (("", ["green", "green"]), ("?payer=red", ["red"]), ("?payee=red", []), ("?payer=nobody", [])):
        shown = rita.get(f"/portal/held/{query}").context
        assert [each.hold.transfer.payer.name for each in shown["waiting"]] == payers, query
        assert shown["has_more"] == (not query)


def test_the_payee_dfsp_hears_nothing_of_a_held_transfer_before_its_release(rita: Client, world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    command, other = (prepare(world, "green", "blue", value, expires_in=86_400) for value in (20, 5))
    run(command)
    run(other)
    payee = browser_of(person(Role.PARTICIPANT_TECHNICIAN, participant="blue"))
    operator = browser_of(person(Role.OPERATOR))
    path = f"/portal/transfers/{command.transfer_id}/"

    def seen() -> list[str]:
        """What the payee DFSP finds by each kind of search."""
        found = [row.pk for row in payee.get("/portal/transfers/").context["page"].rows]
        found += [row.pk for row in payee.get(f"/portal/transfers/?id={command.transfer_id}").context["page"].rows]
        return found + ([command.transfer_id] if payee.get(path).status_code == 200 else [])

    assert seen() == [other.transfer_id]
    assert b"Notify blue again" not in operator.get(path).content
    assert operator.post(f"{path}tell/", {"to": "blue"}).status_code == 404
    assert operator.post(f"{path}tell/", {"to": "green"}).status_code == 302
    services.release(command.transfer_id, reason="a test", actor="rita, approved by ron")
    assert seen().count(command.transfer_id) == 3
    assert operator.post(f"{path}tell/", {"to": "blue"}).status_code == 302


def test_the_page_of_a_payment_says_that_a_rule_applies_only_to_other_payments(rita: Client, world: World) -> None:
    others = rule("red-only", above("10"), refuse(), gate="transfer", when={"payer_dfsps": ["red"]})
    activate(hold("PT1H", gate="transfer"), others)
    command = prepare(world, "green", "blue", 20, expires_in=86_400)
    run(command)
    text = page(rita, f"transfers/{command.transfer_id}/")
    assert "The rule applies only to other payments: Currencies: TZS; Payer DFSPs: red" in text


def test_a_held_transfer_is_released_or_refused_by_two_people(rita: Client, ron: Client, world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    commands = [prepare(world, "green", "blue", 20, expires_in=86_400) for _ in range(2)]
    for command in commands:
        run(command)
    first, second = (command.transfer_id for command in commands)
    listed = rita.get("/portal/held/").context["waiting"]
    assert [(each.hold.pk, each.rules) for each in listed] == [(first, ["hold-10"]), (second, ["hold-10"])]
    assert rita.post(f"/portal/held/{first}/release/", {"reason": "called the customer"}).status_code == 302
    assert "REQUESTED" in page(rita, "held/")
    approve(ron)
    bad = rita.post(f"/portal/held/{second}/refuse/", {"reason": "fraud", "code": "5000"})
    assert set(bad.context["form"].errors) == {"code"}
    assert rita.post(f"/portal/held/{second}/refuse/", {"reason": "fraud", "code": "5540"}).status_code == 302
    approve(ron)
    assert rita.get(f"/portal/held/{first}/release/").status_code == 404
    assert rita.get(f"/portal/held/{second}/refuse/").status_code == 404
    assert "RELEASED" in page(rita, "held/")


@pytest.mark.parametrize("path", ["rules/", "held/", "rules/{version}/"])
def test_a_page_costs_the_same_however_much_there_is(world: World, path: str) -> None:
    user = person(Role.RISK)
    client = browser_of(user)
    numbers = []
    for round_ in range(2):
        version = activate(hold("PT1H", gate="transfer"), cap(f"{100 + round_}"), cap("7", mode="draft"))
        for _ in range(3):
            run(prepare(world, "green", "blue", 20, expires_in=86_400))
            draft = create(cap(f"{RuleSetVersion.objects.count() + 1}"))
            terms = {"version": draft.pk, "digest": "", "before": version, "from": None, "until": None, "reason": "x"}
            changes.ask(visitor_for(user), "activate_rules", subject="rules", payload=terms, reason="x")
        client.get(f"/portal/{path}".format(version=version))
        with CaptureQueriesContext(connection) as counted:
            client.get(f"/portal/{path}".format(version=version))
        numbers.append(len(counted))
    assert numbers[0] == numbers[1]


def test_every_word_of_the_language_has_a_text() -> None:
    assert sentences.FACT_NAMES.keys() == FACTS.keys()
    assert fault_texts.TEXTS.keys() == faults.TEXTS.keys()
    assert set(sentences._OPERATORS) == set(Operator.__args__)  # type: ignore[attr-defined]
    for code, text in faults.TEXTS.items():
        names = {name for name in ("found", "known", "allowed", "fact", "most") if f"{{{name}}}" in text}
        assert all(f"%({name})s" in str(fault_texts.TEXTS[code]) for name in names), code


def test_the_activation_page_says_that_items_of_bulks_are_never_held(world: World, rita: Client) -> None:
    text = "An item of a bulk is never held"
    assert text in page(rita, f"rules/{create(hold('PT1H')).pk}/activate/")
    assert text not in page(rita, f"rules/{create(cap('10')).pk}/activate/")
    for mode in ("shadow", "draft"):
        assert text not in page(rita, f"rules/{create(hold('PT1H', mode=mode)).pk}/activate/")


def test_an_activation_has_no_time_that_the_pages_of_another_time_zone_cannot_show(world: World, rita: Client) -> None:
    path = f"/portal/rules/{create(cap('10')).pk}/activate/"
    for name in ("valid_from", "valid_until"):
        answer = rita.post(path, {name: "9999-12-31T23:59", "reason": "for ever"})
        assert (answer.status_code, list(answer.context["form"].errors)) == (400, [name])
    assert rita.post(path, {"valid_until": "9998-12-31T23:59", "reason": "for ever"}).status_code == 302
    checker = person(Role.RISK, name="ron")
    Profile.objects.filter(user=checker).update(time_zone="Africa/Dar_es_Salaam")
    assert "9999-01-01 02:59" in page(browser_of(checker), "approvals/")


def test_an_activation_names_the_added_rules_by_title_and_id(world: World, rita: Client) -> None:
    said = {"id": "out", "title": "Marked customers receive nothing", "party": "payee", "markers": ["CONFIRMED"]}
    version = create(*make_rules("marked_parties", said | {"action": "refuse"}))
    text = page(rita, f"rules/{version.pk}/activate/")
    assert "Marked customers receive nothing (out, out-transfer, out-lookup)" in text


def test_markers_have_words_in_a_form_and_in_a_rule(world: World, rita: Client) -> None:
    text = page(rita, "rules/0/add/marked-parties/")
    assert "Account of a scammer" in text
    assert "Confirmed" in text
    said = {"id": "out", "party": "payee", "markers": ["SCAMMER_ACCOUNT"], "action": "refuse"}
    version = create(*make_rules("marked_parties", said))
    assert "at least one of Account of a scammer" in page(rita, f"rules/{version.pk}/")


def test_the_activation_page_names_limits_that_a_refund_passes(world: World, rita: Client) -> None:
    limits = [limit(above=3, rule_id="daily-count"), cap("10", gate="transfer")]
    text = page(rita, f"rules/{create(*limits).pk}/activate/")
    assert "daily-count. These limits do not count refunds" in text
    refunds = make_rules("refunds", {"id": "refunds", "within": "P30D", "mode": "live"})
    assert "do not count refunds" not in page(rita, f"rules/{create(*limits, *refunds).pk}/activate/")
    assert "do not count refunds" not in page(rita, f"rules/{create(cap('10')).pk}/activate/")


def test_the_activation_page_names_lists_that_do_not_exist(world: World, rita: Client) -> None:
    lists.create(name="excluded", kind="EXCLUSION", title="", actor="asha")
    said = {"id": "out", "mode": "live", "lists": ["excluded", "exclude"]}
    text = page(rita, f"rules/{create(*make_rules('excluded_parties', said)).pk}/activate/")
    assert "exclude. The hub treats each of these lists as empty." in text
    said["lists"] = ["excluded"]
    assert "as empty" not in page(rita, f"rules/{create(*make_rules('excluded_parties', said)).pk}/activate/")


def test_the_form_of_excluded_parties_says_where_a_list_is_made(rita: Client) -> None:
    assert "There is no list yet." in page(rita, "rules/0/add/excluded-parties/")
    lists.create(name="excluded", kind="EXCLUSION", title="", actor="asha")
    assert "There is no list yet." not in page(rita, "rules/0/add/excluded-parties/")


def test_requests_show_times_in_the_time_zone_of_the_reader(rita: Client, ron: Client, world: World) -> None:
    Profile.objects.filter(user__username="ron").update(time_zone="Africa/Dar_es_Salaam")
    activate(hold("PT1H", gate="transfer"))
    command = prepare(world, "green", "blue", 20, expires_in=86_400)
    run(command)
    rita.post(f"/portal/held/{command.transfer_id}/release/", {"reason": "called the customer"})
    held = HeldTransfer.objects.get().until.astimezone(ZoneInfo("Africa/Dar_es_Salaam"))
    assert f"{held:%Y-%m-%d %H:%M:%S}</time>" in page(ron, f"approvals/{Approval.objects.latest('pk').pk}/")
    said = {"rule": "hold-10", "dfsp": "green", "until": f"{timezone.now():%Y-%m-%d}", "reason": "a pilot"}
    rita.post("/portal/rules/exceptions/new/", said)
    assert " 03:00:00</time>" in page(ron, f"approvals/{Approval.objects.latest('pk').pk}/")


def replay_next() -> bool:
    """Runs the replay that waits longest, as the process that a worker starts does."""
    job = replays.take()
    if job is not None:
        call_command("run_replay", str(job.pk))
    return job is not None


def end_of_the_process(job: RuleReplay) -> tuple[str, str]:
    for thread in threading.enumerate():
        if thread.name == "replay-process":
            thread.join(60)
    job.refresh_from_db()
    return job.state, job.fault


def test_a_worker_starts_a_process_for_a_replay_and_reports_one_that_dies(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = connection.settings_dict
    user = f"{ours['USER']}:{ours['PASSWORD']}" if ours["PASSWORD"] else ours["USER"]
    monkeypatch.setenv("DATABASE_URL", f"postgres://{user}@{ours['HOST']}:{ours['PORT']}/{ours['NAME']}")
    run(prepare(committed_world, "green", "blue", 20))
    version = create(cap("10", gate="transfer"))
    job = replays.ask(version, asked_by="rita")
    replay_rules()
    job.refresh_from_db()
    assert job.state == "RUNNING", "the worker does not wait for the process"
    assert gc.isenabled()
    assert end_of_the_process(job) == ("DONE", "")
    assert job.report["rules"]["cap-10"]["refusals"] == 1

    for program, fault in (("/bin/false", "ended with 1"), ("/bin/no-such-program", "did not start")):
        job = replays.ask(version, asked_by="rita")
        monkeypatch.setattr(sys, "executable", program)
        replay_rules()
        state, said = end_of_the_process(job)
        assert (state, fault in said) == ("FAILED", True), said


def test_a_replay_ends_at_its_time_limit_or_when_it_was_given_up(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(prepare(committed_world, "green", "blue", 20))
    version = create(cap("10", gate="transfer"))
    job = replays.ask(version, asked_by="rita")
    with monkeypatch.context() as limited:
        limited.setattr(replays, "MOST_S", 0.0)
        assert replay_next()
    job.refresh_from_db()
    assert (job.state, job.fault) == ("FAILED", "the replay took longer than 0 seconds")

    progress = replays._Progress(job)  # of a replay that does not run any more
    progress._write_once()
    with pytest.raises(replays.Ended):
        progress.tell(1, 2)


def test_a_replay_of_a_draft_shows_what_it_would_have_done(committed_world: World) -> None:
    rita, viewer = browser_of(person(Role.RISK, name="rita")), browser_of(person(Role.VIEWER, name="vera"))
    activate(cap("500", gate="transfer"))
    payments = [prepare(committed_world, "green", "blue", text) for text in (20, 30, 5)]
    for payment in payments:
        run(payment)
    draft = create(cap("10", gate="transfer"), cap("25", gate="transfer", mode="draft"))
    path = f"rules/{draft.pk}/replays/"
    assert path in page(rita, f"rules/{draft.pk}/")
    assert viewer.post(f"/portal/{path}").status_code == 403
    assert rita.post(f"/portal/{path}", {"since": "2026-02-02", "until": "2026-02-01"}).status_code == 400
    for _ in range(2):  # the same one that waits
        sent = rita.post(f"/portal/{path}", {"since": "2020-01-01"})
        assert sent.status_code == 302
    job = RuleReplay.objects.get()
    shown = page(viewer, f"rules/replays/{job.pk}/")
    assert "WAITING" in shown
    assert "hx-get" in shown
    assert replay_next()
    job.refresh_from_db()
    assert (job.state, job.done, job.fault) == ("DONE", job.whole, "")
    shown = page(viewer, f"rules/replays/{job.pk}/live/")
    assert "hx-get" not in shown
    for text in ("cap-10", "cap-25", "50 TZS", "2 of 3 payments (66.7 %)", "cap-10 + cap-25", payments[0].transfer_id):
        assert text in shown, text
    assert ">Actual outcome<" in shown
    assert ">Then<" not in shown  # the word for the effect of a rule
    assert "DONE" in page(viewer, path)

    # One at a time; a replay whose process has ended is given up.
    running = RuleReplay.objects.create(version=draft, state="RUNNING", asked_by="rita", told_at=timezone.now())
    waiting = replays.ask(draft, asked_by="rita")
    assert waiting.pk == running.pk
    other = replays.ask(create(cap("7")), asked_by="rita")
    assert not replay_next()
    RuleReplay.objects.filter(pk=running.pk).update(told_at=timezone.now() - timedelta(minutes=3))
    assert replay_next()
    states = dict(RuleReplay.objects.values_list("pk", "state"))
    assert (states[running.pk], states[other.pk]) == ("FAILED", "DONE")


def test_a_person_stops_a_replay_and_has_only_some_at_once(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rita, viewer = browser_of(person(Role.RISK, name="rita")), browser_of(person(Role.VIEWER, name="vera"))
    run(prepare(committed_world, "green", "blue", 20))
    version = create(cap("10", gate="transfer"))
    path = f"/portal/rules/{version.pk}/replays/"
    together([lambda: replays.ask(version, asked_by="rita")] * 3)
    assert RuleReplay.objects.count() == 1, "a button that was pressed twice"
    for day in range(1, replays.MOST_OF_A_PERSON):
        assert rita.post(path, {"since": f"2026-01-0{day}"}).status_code == 302
    refused = rita.post(path, {"since": "2026-02-01"})
    assert (refused.status_code, RuleReplay.objects.count()) == (400, replays.MOST_OF_A_PERSON)
    assert "Stop one of them" in refused.content.decode()
    assert replays.ask(version, since=at(8), asked_by="ron"), "others are not concerned"

    first, second = RuleReplay.objects.order_by("pk")[:2]
    assert viewer.post(f"/portal/rules/replays/{first.pk}/stop/").status_code == 403
    assert "Stop the replay" in page(rita, f"rules/replays/{second.pk}/")
    rita.post(f"/portal/rules/replays/{second.pk}/stop/")
    second.refresh_from_db()
    assert (second.state, second.fault) == ("FAILED", "stopped by rita")
    in_french = rita.get(f"/portal/rules/replays/{second.pk}/", headers={"Accept-Language": "fr"})
    assert "arrêté par rita" in in_french.content.decode()

    running = replays.take()
    assert running == first
    rita.post(f"/portal/rules/replays/{first.pk}/stop/")
    assert replays.take() is None, "another begins once this one has ended"
    monkeypatch.setattr("ledger.rule_history.replay.run", lambda _rules, tell, **_: (time.sleep(1.5), tell(1, 2)))
    replays.run(first.pk)
    first.refresh_from_db()
    assert (first.state, first.fault) == ("FAILED", "stopped by rita")
    rita.post(f"/portal/rules/replays/{first.pk}/stop/")
    assert RuleReplay.objects.get(pk=first.pk).ended_at == first.ended_at
    assert replays.take() is not None


def test_of_two_workers_at_once_one_takes_a_replay(committed_world: World) -> None:
    versions = [create(cap(text, gate="transfer")) for text in ("7", "8", "9")]
    jobs = [replays.ask(version, asked_by="rita") for version in versions]
    taken = together([replays.take] * 4)
    assert len(taken) == 1
    assert RuleReplay.objects.filter(state="RUNNING").count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        RuleReplay.objects.filter(pk__in=[job.pk for job in jobs]).update(state="RUNNING")


def test_the_cost_of_a_few_rules_is_not_shown_as_nothing(world: World) -> None:
    shown = page(browser_of(person(Role.VIEWER, name="vera")), f"rules/{create(cap('10')).pk}/")
    assert shown.count("0.1 µs") == 1
    assert shown.count("0.0 µs") == 2


def test_the_examples_of_a_replay_have_amounts_and_the_visitors_times_and_words(committed_world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    run(prepare(committed_world, "green", "blue", 20, expires_in=86_400))
    job = replays.ask(create(cap("10", gate="transfer")), asked_by="rita")
    assert replay_next()
    answer = browser_of(person(Role.VIEWER, name="vera")).get(
        f"/portal/rules/replays/{job.pk}/", headers={"Accept-Language": "fr"}
    )
    (example,) = answer.context["examples"]
    shown = answer.content.decode()
    assert example["at"].tzinfo is not None
    assert f'<time datetime="{example["at"].isoformat()}"' in shown
    assert ("<td>Transfert</td>" in shown, "20,00 TZS" in shown.replace("\xa0", " ")) == (True, True)


def test_a_replay_of_the_live_version_compares_its_decisions(committed_world: World) -> None:
    version = queries.version(activate(cap("10", gate="transfer")))
    assert version is not None
    run(prepare(committed_world, "green", "blue", 20))
    job = replays.ask(version, asked_by="rita")
    assert replay_next()
    report = RuleReplay.objects.get(pk=job.pk).report
    assert (report["is_live"], report["compared"], report["reproduced"], report["different"]) == (True, 1, 1, 0)
    assert "This is the live version" in page(browser_of(person(Role.VIEWER, name="vera")), f"rules/replays/{job.pk}/")
