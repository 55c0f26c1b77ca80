"""A rule set that is wrong is refused, and each fault names the place that is wrong."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.language import parse as parsing
from rules.language.checks_of_well_formed_rules import accept, accept_text, costs_ns
from rules.language.faults import TEXTS, Fault, RuleSetRefused
from tests.rules.documents import money, random_rule_set, rule, rule_set


def faults_of(document: object) -> list[tuple[str, str]]:
    with pytest.raises(RuleSetRefused) as refused:
        accept(document)
    assert all(fault.text for fault in refused.value.faults)
    return [(fault.path, fault.code) for fault in refused.value.faults]


def condition(fact: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    found = {"fact": fact, "is": operator, **more}
    return found if value is None else {**found, "value": value}


def when(**trigger: Any) -> dict[str, Any]:
    return {"when": trigger}


ABOVE_100 = condition("amount", "above", money("100"))
LIVE_LIMIT = {"gate": "transfer", "then": {"action": "refuse", "code": "4240"}}


def count_limit(**members: Any) -> dict[str, Any]:
    value = members.pop("most", 20)
    return rule("count", **LIVE_LIMIT, **{"if": condition("payer.sent_count", "above", value, window="P1D")}, **members)


def value_limit(**members: Any) -> dict[str, Any]:
    value = condition("payer.sent_value", "above", money("1000"), window="P1D")
    return rule("value", **{**LIVE_LIMIT, "if": value, **members})


# The members of one rule that are wrong, and the fault: its place in the rule and its code.
WRONG_RULES: list[tuple[dict[str, Any], str, str]] = [
    ({"id": "A Rule"}, ".id", "wrong_form"),
    ({"id": 7}, ".id", "wrong_type"),
    ({"id": None}, "", "missing_member"),
    ({"title": ""}, ".title", "empty"),
    ({"title": "x" * 201}, ".title", "too_many"),
    ({"title": "two\nlines"}, ".title", "wrong_form"),
    ({"kind": "bank"}, ".kind", "not_one_of"),
    ({"gate": "settlement"}, ".gate", "not_one_of"),
    ({"gate": ["quote"]}, ".gate", "not_one_of"),
    ({"mode": "on"}, ".mode", "not_one_of"),
    ({"on_missing": "ajar"}, ".on_missing", "not_one_of"),
    ({"iff": {}}, ".iff", "unknown_member"),
    ({"if": None}, "", "no_condition"),
    ({"if": None, "when": {}}, "", "no_condition"),
    ({"if": []}, ".if", "wrong_type"),
    ({"if": {"all": []}}, ".if.all", "empty"),
    ({"if": {"all": [ABOVE_100] * 65}}, ".if.all", "too_many"),
    ({"if": {"any": [{"all": [ABOVE_100] * 33}] * 2}}, ".if.any[1].all[31]", "too_many"),
    ({"if": {"all": [ABOVE_100], "any": [ABOVE_100]}}, ".if.any", "unknown_member"),
    ({"if": {"not": 3}}, ".if.not", "wrong_type"),
    ({"if": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": ABOVE_100}}}}}}}}},
     ".if" + ".not" * 8, "too_deep"),
    # facts
    ({"if": condition("amuont", "above", money("1"))}, ".if.fact", "unknown_fact"),
    ({"if": condition({}, "above", money("1"))}, ".if.fact", "unknown_fact"),  # type: ignore[arg-type]
    ({"if": condition("equals_quote", "false")}, ".if.fact", "fact_not_at_gate"),
    ({"gate": "lookup"}, ".if.fact", "fact_not_at_gate"),
    ({"if": condition("amount", "in", ["1"])}, ".if.is", "wrong_operator"),
    ({"if": condition("scenario", "absent")}, ".if.is", "wrong_operator"),
    ({"if": condition("amount", "above")}, ".if", "missing_member"),
    ({"if": condition("bulk", "true", True)}, ".if.value", "value_not_needed"),
    ({"if": condition("payer.sent_count", "above", 3)}, ".if", "needs_window"),
    ({"if": condition("payer.sent_count", "above", 3, window="P1M")}, ".if.window", "wrong_form"),
    ({"if": condition("payer.sent_count", "above", 3, window="PT59S")}, ".if.window", "out_of_bounds"),
    ({"if": condition("payer.sent_count", "above", 3, window="P32D")}, ".if.window", "out_of_bounds"),
    ({"if": condition("amount", "above", money("1"), window="P1D")}, ".if.window", "no_window"),
    ({"if": condition("extension", "absent")}, ".if", "needs_key"),
    ({"if": condition("amount", "above", money("1"), key="A")}, ".if.key", "no_key"),
    # units
    ({"if": condition("amount", "above", "PT1H")}, ".if.value", "wrong_unit"),
    ({"if": condition("amount", "above", 100)}, ".if.value", "wrong_unit"),
    ({"if": condition("expires_in", "below", money("1"))}, ".if.value", "wrong_unit"),
    ({"if": condition("expires_in", "below", 30)}, ".if.value", "wrong_unit"),
    ({"if": condition("payer.sent_count", "above", money("1"), window="P1D")}, ".if.value", "wrong_unit"),
    ({"if": condition("payer.sent_count", "above", True, window="P1D")}, ".if.value", "wrong_unit"),
    ({"if": condition("payer.sent_count", "above", 1.5, window="P1D")}, ".if.value", "wrong_unit"),
    ({"if": condition("payer.sent_count", "above", -1, window="P1D")}, ".if.value", "out_of_bounds"),
    ({"if": condition("time_of_day", "between", money("1"))}, ".if.value", "wrong_unit"),
    ({"if": condition("scenario", "in", "TRANSFER")}, ".if.value", "wrong_unit"),
    ({"if": condition("amount", "above", {"amount": "1"})}, ".if.value", "missing_member"),
    ({"if": condition("amount", "above", money("1,000"))}, ".if.value.amount", "wrong_amount"),
    ({"if": condition("amount", "above", {"amount": 1, "currency": "TZS"})}, ".if.value.amount", "wrong_amount"),
    ({"if": condition("amount", "above", money("1.001"))}, ".if.value.amount", "wrong_amount"),
    ({"if": condition("amount", "above", money("1", "TSH"))}, ".if.value.currency", "not_one_of"),
    ({"if": {"any": [ABOVE_100, condition("amount", "above", money("1", "USD"))]}},
     ".if.any[1].value.currency", "mixed_currencies"),
    ({**when(currencies=["USD"])}, ".if.value.currency", "currency_not_of_trigger"),
    ({**when(currencies=["TZS", "USD"])}, ".if.value.currency", "currency_not_of_trigger"),
    # texts, times and dates
    ({"if": condition("scenario", "in", ["P2P"])}, ".if.value[0]", "not_one_of"),
    ({"if": condition("scenario", "in", ["TRANSFER", 3])}, ".if.value[1]", "not_one_of"),
    ({"if": condition("merchant_code", "in", ["12345"])}, ".if.value[0]", "wrong_form"),
    ({"if": condition("elements", "has_all", ["payee..name"])}, ".if.value[0]", "wrong_form"),
    ({"if": condition("scenario", "in", [])}, ".if.value", "empty"),
    ({"if": condition("time_of_day", "between", {"from": "24:00", "to": "06:00"})}, ".if.value.from", "wrong_form"),
    ({"if": condition("time_of_day", "between", {"from": "06:00", "to": "06:00"})}, ".if.value", "no_time_between"),
    ({"if": condition("date", "in", ["2026-02-30"])}, ".if.value[0]", "wrong_form"),
    # triggers
    (when(scenario=["TRANSFER"]), ".when.scenario", "unknown_member"),
    (when(scenarios=["P2P"]), ".when.scenarios[0]", "not_one_of"),
    (when(payer_dfsps="green"), ".when.payer_dfsps", "wrong_type"),
    (when(payer_dfsps=[]), ".when.payer_dfsps", "empty"),
    (when(payee_dfsps=["two words"]), ".when.payee_dfsps[0]", "wrong_form"),
    ({"gate": "lookup", "if": None, **when(scenarios=["TRANSFER"])}, ".when.scenarios", "trigger_not_at_gate"),
    # actions
    ({"then": "refuse"}, ".then", "wrong_type"),
    ({"then": {}}, ".then", "missing_member"),
    ({"then": {"action": "allow"}}, ".then.action", "not_one_of"),
    ({"then": {"action": "alert", "code": "3140"}}, ".then.code", "unknown_member"),
    ({"then": {"action": "refuse"}}, ".then", "missing_member"),
    ({"then": {"action": "refuse", "code": "3100"}}, ".then.code", "code_not_of_scheme"),
    ({"then": {"action": "refuse", "code": "2040"}}, ".then.code", "code_not_of_scheme"),
    ({"then": {"action": "refuse", "code": "3040"}}, ".then.code", "code_not_of_scheme"),
    ({"then": {"action": "refuse", "code": 4241}}, ".then.code", "code_not_of_scheme"),
    ({"kind": "fraud", "then": {"action": "refuse", "code": "3140", "text": "Mule"}},
     ".then.text", "text_of_fraud_rule"),
    ({"then": {"action": "hold"}}, ".then", "hold_needs_one_end"),
    ({"then": {"action": "hold", "for": "PT1H", "until": "06:00"}}, ".then", "hold_needs_one_end"),
    ({"then": {"action": "hold", "for": "PT0S"}}, ".then.for", "out_of_bounds"),
    ({"then": {"action": "hold", "for": "PT1H", "bypass": "friends"}}, ".then.bypass", "not_one_of"),
    ({"gate": "lookup", "if": condition("payee.markers", "has_any", ["OTHER"]),
      "then": {"action": "hold", "for": "PT1H"}}, ".then.action", "action_not_at_gate"),
    # contradictions
    ({"if": {"all": [ABOVE_100, condition("amount", "at_most", money("100"))]}}, ".if.all[1]", "contradiction"),
    ({"if": {"all": [ABOVE_100, condition("amount", "equals", money("100"))]}}, ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("amount", "equals", money("1")), {"not": condition("amount", "equals", money("1"))}]}},
     ".if.all[1].not", "contradiction"),
    ({"if": {"not": {"any": [ABOVE_100, condition("amount", "at_most", money("100"))]}}},
     ".if.not.any[1]", "contradiction"),
    ({"if": condition("amount", "below", money("0"))}, ".if", "contradiction"),
    ({"if": {"all": [ABOVE_100, {"any": [condition("bulk", "true"), condition("amount", "below", money("50"))]}]}},
     ".if.all[1].any[1]", "contradiction"),
    ({"if": condition("scenario", "in", ["PAYMENT"]), **when(scenarios=["TRANSFER"])}, ".if", "contradiction"),
    ({"if": condition("payer.dfsp", "not_in", ["green"]), **when(payer_dfsps=["green"])}, ".if", "contradiction"),
    ({"if": condition("scenario", "not_in", ["DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND"])},
     ".if", "contradiction"),
    ({"if": {"all": [condition("payer.kyc_tier", "absent"), condition("payer.kyc_tier", "in", ["1"])]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("expires_in", "absent"), condition("expires_in", "below", "PT1M")]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("bulk", "true"), {"not": condition("bulk", "true")}]}},
     ".if.all[1].not", "contradiction"),
    ({"if": {"all": [condition("time_of_day", "between", {"from": "22:00", "to": "06:00"}),
                     condition("time_of_day", "between", {"from": "06:00", "to": "22:00"})]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("elements", "has_all", ["note"]), condition("elements", "has_none", ["note"])]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("elements", "has_all", ["note", "fees"]),
                     condition("elements", "lacks_any", ["note"])]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("payee.lists", "has_none", ["a", "b"]), condition("payee.lists", "has_any", ["a"])]}},
     ".if.all[1]", "contradiction"),
    ({"if": condition("pair.paid_before", "true"), "then": {"action": "hold", "for": "PT1H", "bypass": "paid_before"}},
     ".if", "contradiction"),
    # contradictions between windows and counters
    ({"if": {"all": [condition("payer.sent_count", "above", 10, window="PT1H"),
                     condition("payer.sent_count", "below", 5, window="PT24H")]}}, ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("payee.received_value", "at_most", money("10"), window="P7D"),
                     condition("payee.received_value", "above", money("10"), window="PT24H")]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("payee.moved", "true", window="P1D"), condition("payee.moved", "false", window="P7D")]}},
     ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("payer.sent_count", "at_most", 3, window="P7D"),
                     condition("payer.distinct_payees", "above", 3, window="PT24H")]}}, ".if.all[1]", "contradiction"),
    ({"if": {"all": [condition("pair.sent_count", "above", 3, window="P1D"),
                     condition("payer.sent_count", "below", 3, window="P1D")]}}, ".if.all[1]", "contradiction"),
    # refunds
    ({"if": condition("refund.original_found", "false")}, ".if.fact", "refund_needs_scenario"),
    ({"if": condition("refund.original_found", "false"), **when(scenarios=["REFUND", "TRANSFER"])},
     ".if.fact", "refund_needs_scenario"),
    # limits that cannot be exact
    ({**LIVE_LIMIT, "if": condition("payer.sent_count", "above", 64, window="P1D")}, ".if.value", "limit_too_high"),
    ({**LIVE_LIMIT, "if": condition("payer.sent_value", "above", money("1"), window="P1D")},
     ".if", "limit_needs_count"),
    ({**LIVE_LIMIT, "if": condition("payee.distinct_payers", "above", 3, window="P1D")}, ".if", "limit_needs_count"),
    ({**LIVE_LIMIT, "if": {"all": [condition("payer.sent_count", "above", 3, window="P1D"),
                                   condition("payer.sent_value", "above", money("1"), window="P1D")]}},
     ".if.all[1]", "limit_needs_count"),
    ({**LIVE_LIMIT, "if": condition("payer.percent_passed_on", "above", 90, window="P1D")}, ".if.fact", "inexact_fact"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "place", "code"), WRONG_RULES)
def test_a_wrong_rule_is_refused_with_its_place(members: dict[str, Any], place: str, code: str) -> None:
    good = rule("good-rule")
    assert faults_of(rule_set(good, rule(**members))) == [(f"rules[1]{place}", code)]


@pytest.mark.parametrize(
    ("document", "place", "code"),
    [
        ([], "", "wrong_type"),
        (rule_set(language=2), "language", "wrong_language"),
        (rule_set(language=True), "language", "wrong_language"),
        (rule_set(language="1"), "language", "wrong_language"),
        (rule_set(name=None), "name", "wrong_type"),
        (rule_set(owner="me"), "owner", "unknown_member"),
        ({"language": 1, "name": "x"}, "", "missing_member"),
        (rule_set(time_zone="Mars/Base"), "time_zone", "unknown_time_zone"),
        (rule_set(time_zone="../../etc/passwd"), "time_zone", "unknown_time_zone"),
        (rule_set(rules={}), "rules", "wrong_type"),
        (rule_set(*[rule(f"a{number}") for number in range(1001)]), "rules", "too_many"),
        (rule_set(rule("one"), rule("two"), rule("one")), "rules[2].id", "id_twice"),
    ],
)
def test_a_wrong_document_is_refused_with_its_place(document: object, place: str, code: str) -> None:
    assert faults_of(document) == [(place, code)]


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        (("payer.sent_count", "below", 5, "PT1H"), ("payer.sent_count", "above", 10, "P1D")),
        (("payer.sent_count", "above", 10, "PT1H"), ("payer.sent_count", "below", 12, "P1D")),
        (("payer.sent_count", "above", 10, "PT1H"), ("payee.sent_count", "below", 5, "P1D")),
        (("payer.sent_count", "above", 9, "PT1H"), ("payer_dfsp.sent_count", "below", 5, "P1D")),
        (("payer.sent_count", "below", 5, "P1D"), ("payer.distinct_payees", "above", 9, "P7D")),
    ],
)
def test_windows_that_can_both_be_true_are_accepted(shorter: Any, longer: Any) -> None:
    conditions = [condition(*each[:3], window=each[3]) for each in (shorter, longer)]
    assert accept(rule_set(rule("both", **{"if": {"all": conditions}}))).rules[0].id == "both"


def test_every_fault_is_reported_at_once() -> None:
    conditions = {"any": [condition("amuont", "above", 1), ABOVE_100, condition("bulk", "maybe")]}
    assert faults_of(rule_set(rule("A"), rule("b", **{"if": conditions, "mode": "on"}))) == [
        ("rules[0].id", "wrong_form"),
        ("rules[1].mode", "not_one_of"),
        ("rules[1].if.any[0].fact", "unknown_fact"),
        ("rules[1].if.any[2].is", "wrong_operator"),
    ]


def test_the_text_of_a_fault_helps() -> None:
    with pytest.raises(RuleSetRefused) as refused:
        accept(rule_set(rule(**{"if": condition("payer.send_count", "above", 3, window="P1D")})))
    assert str(refused.value) == "rules[0].if.fact: there is no fact payer.send_count; did you mean payer.sent_count?"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "not_json"),
        (b'{"language": 1, "language": 1, "name": "x", "rules": []}', "not_json"),
        (b"[" * 100, "not_json"),
        (b"\xff", "not_json"),
        (b" " * 1_000_001, "too_large"),
    ],
)
def test_a_text_that_is_no_json_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(RuleSetRefused) as refused:
        accept_text(raw)
    assert [fault.code for fault in refused.value.faults] == [code]


def test_a_value_limit_is_exact_beside_a_count_of_the_same_payments() -> None:
    week = {"if": condition("payer.sent_count", "above", 20, window="P7D")}
    either = {"any": [value_limit()["if"], count_limit()["if"]]}
    tier = condition("payer.kyc_tier", "in", ["1"])
    for accepted in (
        [value_limit(), count_limit()],
        [count_limit(), value_limit()],
        [value_limit(), rule("count", **LIVE_LIMIT, **week)],
        [value_limit(**{"if": either})],
        [value_limit(**{"if": {"all": [tier, value_limit()["if"]]}}),
         rule("count", **LIVE_LIMIT, **{"if": {"all": [tier, count_limit()["if"]]}})],
        [value_limit(mode="shadow")],
        [value_limit(then={"action": "alert"})],
        [value_limit(gate="quote")],
    ):  # fmt: skip
        assert len(accept(rule_set(*accepted)).rules) == len(accepted)


@pytest.mark.parametrize(
    "count",
    [
        count_limit(mode="shadow"),
        count_limit(mode="draft"),
        {**count_limit(), "then": {"action": "alert"}},
        {**count_limit(), "gate": "quote"},
        count_limit(when={"scenarios": ["TRANSFER"]}),
        count_limit(when={"currencies": ["USD"]}),
        {**count_limit(), "if": condition("payer.sent_count", "above", 20, window="PT23H")},
        {**count_limit(), "if": condition("payer.sent_count", "below", 20, window="P1D")},
        {**count_limit(), "if": condition("payee.received_count", "above", 20, window="P1D")},
        {**count_limit(), "if": {"not": condition("payer.sent_count", "at_most", 20, window="P1D")}},
        {**count_limit(), "if": {"all": [condition("bulk", "true"), count_limit()["if"]]}},
    ],
)
def test_a_value_limit_is_refused_beside_a_count_that_does_not_bound_it(count: dict[str, Any]) -> None:
    assert faults_of(rule_set(value_limit(), count)) == [("rules[0].if", "limit_needs_count")]


def test_rules_that_cost_more_than_a_millisecond_are_refused_where_they_pass_it() -> None:
    def costly(number: int) -> dict[str, Any]:
        windows = [f"PT{number * 50 + minute}M" for minute in range(1, 51)]
        counts = [condition("payee.distinct_payers", "above", 3, window=window) for window in windows]
        return rule(f"a{number}", **{"if": {"any": counts}})

    assert faults_of(rule_set(costly(0), costly(1), costly(2))) == [("rules[1]", "too_costly")]
    accepted = accept(
        rule_set(costly(0), costly(0) | {"id": "again"}, costly(1) | {"gate": "transfer", "mode": "shadow"})
    )
    assert costs_ns(accepted, "quote") == [500_060, 503_120, 503_120]  # a counter is read once


_ANYTHING: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "\x00", "all", "P1D", "quote", "absent", "amount", "TZS",
    "06:00",
    [], [[]], ["x"], [None], {}, {"x": 1}, {"all": 3}, {"not": {}}, {"fact": [], "is": {}},
    money("1", "USD"), money("-1"),
    {"from": "06:00", "to": "x"}, {"action": "hold"},
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=True))
def test_a_document_with_anything_in_it_is_accepted_or_refused(chance: Random) -> None:
    document = random_rule_set(chance, ["lookup", "quote", "transfer"])
    place: Any = document
    while True:
        key = chance.choice(range(len(place)) if isinstance(place, list) else sorted(place))
        if not isinstance(place[key], list | dict) or not place[key] or chance.random() < 0.3:
            place[key] = chance.choice(_ANYTHING)
            break
        place = place[key]
    faults: tuple[Fault, ...] = ()
    try:
        accept(document)
    except RuleSetRefused as refused:
        faults = refused.faults or (Fault("", "no faults", {}),)
    assert all(fault.code in TEXTS and fault.text for fault in faults)


def test_every_fault_has_a_test() -> None:
    tested = {code for _, _, code in WRONG_RULES} | {"not_json", "too_large", "wrong_language", "unknown_time_zone"}
    assert set(TEXTS) - tested == {"id_twice", "too_costly"}


def test_the_limits_of_a_document_fit_the_reader() -> None:
    document = rule_set(*[rule(f"a{number}") for number in range(parsing.MOST_RULES)])
    assert len(accept_text(json.dumps(document).encode()).rules) == parsing.MOST_RULES


def test_a_document_with_nothing_but_faults_is_not_read_to_its_end() -> None:
    faulty = {"any": [condition("amuont", "above", 1)] * parsing.MOST_CONDITIONS}
    document = rule_set(*[rule(f"a{number}", **{"if": faulty}) for number in range(300)])
    assert len(faults_of(document)) == parsing.MOST_FAULTS
