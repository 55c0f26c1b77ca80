"""Each kind of rule that schemes have, made by its template, judges payments on both sides of its bound."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rules.decide import judge, verdict_of
from rules.facts import Facts
from rules.language.checks_of_well_formed_rules import accept
from rules.language.compile import compile_rules
from rules.language.templates import TEMPLATES, TemplateError, make_rules
from tests.rules.documents import FixedCounters, facts, money, rule_set

ALLOW = "ALLOW"


def at(hour: int, minute: int = 0, day: int = 27) -> datetime:
    """A moment in Dar es Salaam, three hours before UTC. The 27th is a Friday."""
    return datetime(2026, 11, day, (hour - 3) % 24, minute, tzinfo=UTC)


def refund(**fields: Any) -> Facts:
    return facts("transfer", scenario="REFUND", **{"refund_of": "original", **fields})


def good_refund(**changes: Any) -> dict[str, Any]:
    return {
        "original.found": True,
        "original.parties_swapped": True,
        "original.within_original": True,
        "original.since_original": 86_400,
        **changes,
    }


def sums(subject: str, direction: str, value: int, count: int) -> dict[str, Any]:
    return {f"{subject}.{direction}_value": value, f"{subject}.{direction}_count": count}


# template, its values, and payments: facts, counters, verdict. A verdict is ALLOW, the code of a refusal, `ALERT`, or
# the seconds of a hold.
CASES: list[tuple[str, dict[str, Any], list[tuple[Facts, dict[str, Any], str | int]]]] = [
    (
        "amount_cap",
        {"most": money("100"), "scenarios": ["TRANSFER"], "kyc_tiers": ["1"], "payer_types": ["CONSUMER"]},
        [
            (facts(amount=100_0001, kyc_tier="1"), {}, "3140"),
            (facts(amount=100_0000, kyc_tier="1"), {}, ALLOW),
            (facts(amount=100_0001, kyc_tier="2"), {}, ALLOW),
            (facts(amount=100_0001), {}, ALLOW),
            (facts(amount=100_0001, kyc_tier="1", payer_type="BUSINESS"), {}, ALLOW),
            (facts(amount=100_0001, kyc_tier="1", scenario="PAYMENT"), {}, ALLOW),
            (facts(amount=100_0001, kyc_tier="1", currency="USD"), {}, ALLOW),
        ],
    ),
    (
        "amount_floor",
        {"least": money("100"), "payer_dfsps": ["green"], "sub_scenarios": ["WALLET"]},
        [
            (facts(amount=99_9999, sub_scenario="WALLET"), {}, "3140"),
            (facts(amount=100_0000, sub_scenario="WALLET"), {}, ALLOW),
            (facts(amount=99_9999), {}, ALLOW),
            (facts(amount=99_9999, sub_scenario="WALLET", payer_dfsp="red"), {}, ALLOW),
        ],
    ),
    *(
        (
            "count_limit",
            {"subject": subject, "most_payments": 20, "window": "PT24H"},
            [
                (facts("transfer"), {f"{subject}.{direction}_count": 21}, code),
                (facts("transfer"), {f"{subject}.{direction}_count": 20}, ALLOW),
                (facts("transfer"), {}, "ALERT"),
            ],
        )
        for subject, direction, code in [
            ("payer", "sent", "4240"),
            ("payee", "received", "5240"),
            ("alias", "received", "5240"),
            ("payer_dfsp", "sent", "4240"),
            ("payee_dfsp", "received", "5240"),
            ("pair", "sent", "4240"),
        ]
    ),
    *(
        (
            "value_limit",
            {"subject": subject, "most": money("1000"), "most_payments": 20, "window": "P7D"},
            [
                (facts("transfer"), sums(subject, direction, 1000_0001, 2), code),
                (facts("transfer"), sums(subject, direction, 1000_0000, 20), ALLOW),
                (facts("transfer"), sums(subject, direction, 1000_0000, 21), f"{code[:3]}0"),
                (facts("transfer", currency="USD"), sums(subject, direction, 1000_0001, 21), ALLOW),
            ],
        )
        for subject, direction, code in [
            ("payer", "sent", "4241"),
            ("payee", "received", "5241"),
            ("alias", "received", "5241"),
            ("payer_dfsp", "sent", "4241"),
            ("payee_dfsp", "received", "5241"),
            ("pair", "sent", "4241"),
        ]
    ),
    (
        "closed_corridor",
        {"payer_dfsps": ["green", "red"], "payee_dfsps": ["blue"]},
        [
            (facts(), {}, "3140"),
            (facts("transfer"), {}, "3140"),
            (facts(payer_dfsp="blue", payee_dfsp="green"), {}, ALLOW),
            (facts(payee_dfsp="red"), {}, ALLOW),
        ],
    ),
    (
        "hours",
        {"from": "08:00", "to": "18:00", "weekdays": ["MON", "TUE", "WED", "THU", "FRI"]},
        [
            (facts(now=at(8)), {}, ALLOW),
            (facts(now=at(7, 59)), {}, "3140"),
            (facts(now=at(17, 59)), {}, ALLOW),
            (facts(now=at(18)), {}, "3140"),
            (facts(now=at(12, day=28)), {}, "3140"),
            (facts("transfer", now=at(18)), {}, "3140"),
        ],
    ),
    (
        "expiration",
        {"shortest": "PT30S", "longest": "PT1H"},
        [
            (facts("transfer", expires_in_s=29), {}, "3142"),
            (facts("transfer", expires_in_s=30), {}, ALLOW),
            (facts("transfer", expires_in_s=3600), {}, ALLOW),
            (facts("transfer", expires_in_s=3601), {}, "3142"),
        ],
    ),
    (
        "expiration",
        {"gate": "quote", "shortest": "PT30S", "is_mandatory": True},
        [(facts(expires_in_s=None), {}, "3142"), (facts(expires_in_s=30), {}, ALLOW)],
    ),
    (
        "mandatory_elements",
        {"elements": ["geoCode", "payee.personalInfo.dateOfBirth"], "scenarios": ["TRANSFER"]},
        [
            (facts(present=frozenset({"geoCode"})), {}, "3143"),
            (facts(present=frozenset({"geoCode", "note", "payee.personalInfo.dateOfBirth"})), {}, ALLOW),
            (facts(scenario="PAYMENT"), {}, ALLOW),
        ],
    ),
    (
        "mandatory_extensions",
        {"keys": ["TIER", "PURPOSE"]},
        [
            (facts(extensions={"TIER": "1"}), {}, "3143"),
            (facts(extensions={"TIER": "1", "PURPOSE": "rent"}), {}, ALLOW),
        ],
    ),
    (
        "equals_quote",
        {},
        [
            (facts("transfer", quoted_amount=100_0000, quoted_currency="TZS"), {}, ALLOW),
            (facts("transfer", quoted_amount=100_0001, quoted_currency="TZS"), {}, "3144"),
            (facts("transfer", quoted_amount=100_0000, quoted_currency="USD"), {}, "3144"),
            (facts("transfer", quoted=False), {}, "ALERT"),
        ],
    ),
    (
        "refunds",
        {"within": "P30D"},
        [
            (refund(), good_refund(), ALLOW),
            (refund(), good_refund(**{"original.found": False}), "3141"),
            (refund(), good_refund(**{"original.parties_swapped": False}), "3141"),
            (refund(), good_refund(**{"original.within_original": False}), "3141"),
            (refund(), good_refund(**{"original.since_original": 30 * 86_400 + 1}), "3141"),
            (refund(refund_of=None), good_refund(), "3141"),
            (refund(has_details=False), good_refund(), "ALERT"),
            (facts("transfer"), {}, ALLOW),
        ],
    ),
    (
        "excluded_parties",
        {"lists": ["excluded"]},
        [
            (facts(payer_lists=frozenset({"excluded"})), {}, "4540"),
            (facts("transfer", payee_lists=frozenset({"excluded", "other"})), {}, "5540"),
            (facts("lookup", payer=None, payee_lists=frozenset({"excluded"})), {}, "5540"),
            (facts(payee_lists=frozenset({"other"})), {}, ALLOW),
            (facts("transfer", payer=None), {}, "ALERT"),
        ],
    ),
    (
        "kill_switch",
        {"payee_dfsps": ["blue"]},
        [(facts(), {}, "3140"), (facts("transfer"), {}, "3140"), (facts(payee_dfsp="red"), {}, ALLOW)],
    ),
    (
        "marked_parties",
        {"party": "payee", "markers": ["MULE_ACCOUNT"]},
        [
            (facts(payee_markers=frozenset({"MULE_ACCOUNT"})), {}, "5540"),
            (facts("lookup", payer=None, payee_markers=frozenset({"MULE_ACCOUNT"})), {}, "5540"),
            (facts(payee_markers=frozenset({"OTHER"})), {}, ALLOW),
        ],
    ),
    (
        "marked_parties",
        {"party": "payer", "markers": ["MULE_ACCOUNT"], "action": "alert"},
        [(facts(payer_markers=frozenset({"MULE_ACCOUNT"})), {}, "ALERT")],
    ),
    (
        "night_delay",
        {"from": "22:00", "to": "06:00", "above": money("50")},
        [
            (facts(now=at(22)), {"pair.paid_before": False}, 8 * 3600),
            (facts(now=at(5, 59)), {"pair.paid_before": False}, 60),
            (facts("transfer", now=at(22)), {"pair.paid_before": False}, 8 * 3600),
            (facts(now=at(6)), {"pair.paid_before": False}, ALLOW),
            (facts(now=at(23)), {"pair.paid_before": True}, ALLOW),
            (facts(now=at(23), amount=50_0000), {"pair.paid_before": False}, ALLOW),
        ],
    ),
    (
        "new_payee_delay",
        {"hold_for": "PT1H", "above": money("50")},
        [
            (facts(), {"pair.paid_before": False}, 3600),
            (facts(), {"pair.paid_before": True}, ALLOW),
            (facts(amount=50_0000), {"pair.paid_before": False}, ALLOW),
        ],
    ),
    (
        "changed_alias_delay",
        {"hold_for": "PT2H", "window": "P2D"},
        [
            (facts(), {"payee.moved": True, "pair.paid_before": False}, 7200),
            (facts(), {"payee.moved": True, "pair.paid_before": True}, ALLOW),
            (facts(), {"payee.moved": False, "pair.paid_before": False}, ALLOW),
        ],
    ),
    (
        "high_value_delay",
        {"hold_for": "PT1H", "above": money("100"), "except_paid_before": False},
        [(facts(amount=100_0001), {}, 3600), (facts(), {}, ALLOW)],
    ),
]


def _names() -> list[str]:
    return [f"{name}-{number}" for number, (name, _, _) in enumerate(CASES)]


@pytest.mark.parametrize(("name", "values", "payments"), CASES, ids=_names())
def test_a_rule_of_each_kind_judges(
    name: str, values: dict[str, Any], payments: list[tuple[Facts, dict[str, Any], str | int]]
) -> None:
    accepted = accept(rule_set(*make_rules(name, {"id": "a-rule", **values})))
    found = []
    for payment, counted, _ in payments:
        compiled = compile_rules(accepted, payment.gate)
        verdict = verdict_of(judge(payment, compiled, FixedCounters(counted)))
        found.append(verdict.code or verdict.hold_for_s or verdict.outcome)
    assert found == [wanted for _, _, wanted in payments]


def test_every_template_has_cases() -> None:
    assert {name for name, _, _ in CASES} == set(TEMPLATES)


@pytest.mark.parametrize(
    ("name", "values", "parameter"),
    [
        ("amount_cap", {"id": "a"}, "most"),
        ("amount_cap", {"most": money("1")}, "id"),
        ("amount_cap", {"id": "a", "most": "1"}, "most"),
        ("amount_cap", {"id": "a", "most": money("1"), "least": money("1")}, "least"),
        ("amount_cap", {"id": "a", "most": money("1"), "scenarios": ["P2P"]}, "scenarios"),
        ("amount_cap", {"id": "a", "most": money("1"), "scenarios": "TRANSFER"}, "scenarios"),
        ("amount_cap", {"id": "a", "most": money("1"), "mode": "on"}, "mode"),
        ("count_limit", {"id": "a", "most_payments": 3, "subject": "bank"}, "subject"),
        ("high_value_delay", {"id": "a", "above": money("1"), "hold_for": "PT1H", "except_paid_before": 1},
         "except_paid_before"),
        ("kill_switch", {"id": "a"}, "payer_dfsps"),
        ("expiration", {"id": "a"}, "shortest"),
    ],
)  # fmt: skip
def test_a_form_reports_the_value_that_is_wrong(name: str, values: dict[str, Any], parameter: str) -> None:
    with pytest.raises(TemplateError) as refused:
        make_rules(name, values)
    assert refused.value.parameter == parameter


def test_a_form_may_make_a_shadow_rule_that_fails_closed() -> None:
    (made,) = make_rules(
        "amount_cap", {"id": "cap", "title": "Cap", "most": money("1"), "mode": "shadow", "on_missing": "closed"}
    )
    assert made == {
        "id": "cap",
        "title": "Cap",
        "kind": "scheme",
        "gate": "quote",
        "if": {"fact": "amount", "is": "above", "value": {"amount": "1", "currency": "TZS"}},
        "then": {"action": "refuse", "code": "3140"},
        "mode": "shadow",
        "on_missing": "closed",
    }
