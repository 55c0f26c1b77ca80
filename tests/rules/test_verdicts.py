"""One verdict of all rules that fire: what counts, what is only reported, and what a person can read about it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rules.decide import ALLOW, Hit, Verdict, judge, verdict_of
from rules.facts import Facts
from rules.language.checks_of_well_formed_rules import accept
from rules.language.compile import compile_rules
from rules.language.counter_types import Need, NoCounters
from rules.language.local_time import seconds_until
from rules.language.values_of_conditions import Reading
from tests.rules.documents import NOON, FixedCounters, facts, money, rule, rule_set

REFUSE, ALERT = {"action": "refuse", "code": "4241"}, {"action": "alert"}
TIER_1 = {"fact": "payer.kyc_tier", "is": "in", "value": ["1"]}


def hits_of(payment: Facts, *rules: dict[str, Any], counted: Any = None, variances: Any = None) -> list[Hit]:
    compiled = compile_rules(accept(rule_set(*rules)), payment.gate)
    return judge(payment, compiled, FixedCounters(counted or {}), variances)


def verdict(payment: Facts, *rules: dict[str, Any], **more: Any) -> tuple[str, str | None, int | None]:
    found = verdict_of(hits_of(payment, *rules, **more))
    return found.outcome, found.code, found.hold_for_s


def hold(duration: str) -> dict[str, Any]:
    return {"action": "hold", "for": duration}


def test_a_payment_that_no_rule_stops_is_allowed() -> None:
    assert verdict_of(hits_of(facts(), rule())) is ALLOW
    assert judge(facts(), compile_rules(accept(rule_set()), "quote"), NoCounters()) == []


def test_refuse_comes_before_hold_and_hold_before_alert() -> None:
    above = facts(amount=101_0000)
    alert, hour, two = rule("a", then=ALERT), rule("b", then=hold("PT1H")), rule("c", then=hold("PT2H"))
    first, second = rule("d"), rule("e", then=REFUSE)
    assert verdict(above, alert) == ("ALERT", None, None)
    assert verdict(above, alert, hour) == ("HOLD", None, 3600)
    assert verdict(above, two, hour) == ("HOLD", None, 7200)
    assert verdict(above, alert, hour, first, second) == ("REFUSE", "3140", None)
    assert verdict(above, second, first) == ("REFUSE", "4241", None)
    assert [hit.rule for hit in hits_of(above, two, first, alert)] == ["c", "d", "a"]


def test_the_order_is_that_of_the_document_whatever_the_triggers_are() -> None:
    in_tzs = {"currencies": ["TZS"]}
    triggers = [in_tzs, {"payer_dfsps": ["green"]}, {"scenarios": ["TRANSFER"]}, {}, in_tzs]
    rules = [rule(f"a{number}", when=when) for number, when in enumerate(triggers)]
    assert [hit.rule for hit in hits_of(facts(amount=101_0000), *rules)] == ["a0", "a1", "a2", "a3", "a4"]


def test_a_shadow_rule_is_reported_and_counts_for_nothing_and_a_draft_is_not_judged() -> None:
    found = verdict_of(hits_of(facts(amount=101_0000), rule("a", mode="shadow"), rule("b", mode="draft")))
    assert (found.outcome, found.alerts) == ("ALLOW", ())
    assert [(hit.rule, hit.shadow, hit.action) for hit in found.hits] == [("a", True, "refuse")]


@pytest.mark.parametrize(
    ("on_missing", "then", "wanted"),
    [
        ("open", REFUSE, ("ALERT", None, None)),
        ("closed", REFUSE, ("REFUSE", "4241", None)),
        ("open", hold("PT1H"), ("ALERT", None, None)),
        ("closed", hold("PT1H"), ("HOLD", None, 3600)),
    ],
)
def test_a_check_that_could_not_be_made_always_raises_an_alert(on_missing: str, then: Any, wanted: Any) -> None:
    unknown = facts("transfer", has_details=False, kyc_tier=None)
    skipped = rule("a", gate="transfer", on_missing=on_missing, then=then, **{"if": TIER_1})
    assert verdict(unknown, skipped) == wanted
    found = verdict_of(hits_of(unknown, skipped))
    assert [hit.skipped for hit in found.alerts] == [True]
    # The details are known, and say nothing about a tier: the condition is false.
    assert verdict(facts("transfer"), skipped) == ("ALLOW", None, None)


def test_a_trigger_that_cannot_be_checked_skips_the_rule_unless_its_conditions_are_false() -> None:
    unknown = facts("transfer", has_details=False, scenario=None, amount=101_0000)
    transfers = rule("a", gate="transfer", when={"scenarios": ["TRANSFER"]})
    assert [hit.skipped for hit in hits_of(unknown, transfers)] == [True]
    assert hits_of(facts("transfer", has_details=False, scenario=None), transfers) == []


def test_a_missing_fact_does_not_matter_where_the_others_decide() -> None:
    above = {"fact": "amount", "is": "above", "value": money("100")}
    unknown = facts("transfer", has_details=False, amount=101_0000)
    either = rule("a", gate="transfer", **{"if": {"any": [TIER_1, above]}})
    both = rule("b", gate="transfer", **{"if": {"all": [TIER_1, {"not": above}]}})
    assert [(hit.rule, hit.skipped) for hit in hits_of(unknown, either, both)] == [("a", False)]


def test_a_variance_excuses_one_dfsp_until_its_end() -> None:
    above = facts(amount=101_0000)
    for dfsp in ("green", "blue"):
        variances = {"a": {dfsp: NOON + timedelta(seconds=1)}}
        assert verdict(above, rule("a"), variances=variances) == ("ALLOW", None, None)
        assert [hit.excused for hit in hits_of(above, rule("a"), variances=variances)] == [True]
        assert verdict(above, rule("a"), variances={"a": {dfsp: NOON}}) == ("REFUSE", "3140", None)
    assert verdict(above, rule("a"), variances={"a": {"red": NOON + timedelta(1)}}) == ("REFUSE", "3140", None)
    assert verdict(above, rule("a"), variances={"b": {"green": NOON + timedelta(1)}}) == ("REFUSE", "3140", None)


def test_a_dfsp_reads_the_schemes_text_and_never_a_fraud_rule() -> None:
    above = facts(amount=101_0000)
    own = rule("a", then={**REFUSE, "text": "At most 100 TZS a payment"})
    secret = rule("secret-rule", kind="fraud", title="Mule rule", then=REFUSE)
    assert verdict_of(hits_of(above, own)).text == "At most 100 TZS a payment"
    assert verdict_of(hits_of(above, secret)).text == "Payer has reached the scheme's limit on the value of payments"
    assert verdict_of(hits_of(above, rule("c", then={"action": "refuse", "code": "4290"}))).text == "Payer limit error"


def test_a_hit_says_what_each_condition_found() -> None:
    conditions = {
        "all": [
            {"fact": "payer.sent_value", "window": "PT24H", "is": "above", "value": money("1000")},
            {"not": {"fact": "elements", "is": "has_any", "value": ["note", "fees"]}},
            {"any": [TIER_1, {"fact": "extension", "key": "PURPOSE", "is": "absent"}]},
        ]
    }
    payment = facts(present=frozenset({"geoCode"}), kyc_tier="2")
    (hit,) = hits_of(payment, rule(**{"if": conditions}), counted={"payer.sent_value": 1000_0001})
    assert hit.readings == (
        Reading("payer.sent_value", "above", 1000_0000, 1000_0001, True, "amount", window_s=86_400, currency="TZS"),
        Reading("elements", "has_any", ["fees", "note"], ["geoCode"], False, "set"),
        Reading("payer.kyc_tier", "in", ["1"], "2", False, "text"),
        Reading("extension", "absent", None, None, True, "text", key="PURPOSE"),
    )


def test_a_hold_until_the_morning_ends_when_the_clock_shows_it() -> None:
    zone = "Europe/Berlin"
    for now, wanted in [
        (datetime(2026, 6, 1, 20, 0, tzinfo=UTC), 8 * 3600),  # 22:00
        (datetime(2026, 6, 1, 4, 0, tzinfo=UTC), 24 * 3600),  # 06:00
        (datetime(2026, 6, 1, 3, 59, 59, 500_000, tzinfo=UTC), 1),
        (datetime(2026, 3, 28, 21, 0, tzinfo=UTC), 7 * 3600),  # the night in which the clock is put forward
        (datetime(2026, 10, 24, 20, 0, tzinfo=UTC), 9 * 3600),  # the night in which it is put back
    ]:
        assert seconds_until(6 * 60, now, zone) == wanted
    # Half past two comes twice. In the second hour, 02:45 is a quarter of an hour away.
    assert seconds_until(2 * 60 + 45, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), zone) == 15 * 60


def test_rules_tell_which_counters_lists_and_markers_they_need() -> None:
    count = {"fact": "payer.sent_count", "window": "PT24H", "is": "above", "value": 20}
    value = {"fact": "payer.sent_value", "window": "PT1H", "is": "above", "value": money("1000")}
    limit = {"gate": "transfer", "then": REFUSE}
    rules = [
        rule("a", **limit, **{"if": {"any": [count, value]}}),
        rule("b", gate="transfer", then=ALERT, **{"if": {**count, "value": 5}}),
        rule("c", gate="transfer", then=ALERT, **{"if": {**count, "fact": "payee.received_count"}}),
        rule("d", gate="transfer", then={"action": "hold", "for": "PT1H", "bypass": "paid_before"}),
        rule("e", gate="transfer", **{"if": {"fact": "payee.lists", "is": "has_none", "value": ["staff"]}}),
        rule("f", gate="transfer", **{"if": {"fact": "payer.markers", "is": "has_any", "value": ["OTHER"]}}),
        rule("g", gate="transfer", mode="draft", **{"if": {"fact": "payee.moved", "window": "P1D", "is": "true"}}),
        rule("h", **{"if": count}),
    ]
    compiled = compile_rules(accept(rule_set(*rules)), "transfer")
    assert compiled.needs == (
        Need("payer", "sent_count", 86_400, "TZS", exact=True, events=21),
        Need("payer", "sent_value", 3_600, "TZS", exact=True, events=21),
        Need("payer", "sent_count", 86_400),
        Need("payee", "received_count", 86_400),
        Need("pair", "paid_before", 0, "TZS"),
    )
    assert (compiled.lists, compiled.markers) == ({"staff"}, {"OTHER"})
    assert compiled.exact_subjects("TZS") == {"payer"}
    assert compiled.exact_subjects("USD") == set()
    quote = compile_rules(accept(rule_set(*rules)), "quote")
    assert quote.needs == (Need("payer", "sent_count", 86_400),)


def test_a_transfer_without_a_quote_is_judged_by_the_rules_of_both_gates() -> None:
    accepted = accept(rule_set(rule("a"), rule("b", gate="transfer"), rule("c", **{"if": TIER_1})))
    compiled = compile_rules(accepted, "transfer", with_rules_of=["quote"])
    found = judge(facts("transfer", has_details=False, amount=101_0000), compiled, NoCounters())
    assert [(hit.rule, hit.skipped) for hit in found] == [("a", False), ("b", False), ("c", True)]


def test_derived_facts_are_percents_of_counters() -> None:
    average = {"fact": "payer.percent_of_average", "window": "P30D", "is": "at_least", "value": 300}
    passed_on = {"fact": "payer.percent_passed_on", "window": "P1D", "is": "at_least", "value": 90}
    for condition, counted, fires in [
        (average, {"payer.sent_count": 3, "payer.sent_value": 160_0000}, True),  # 100 beside 30 and 30
        (average, {"payer.sent_count": 3, "payer.sent_value": 170_0000}, False),
        (average, {"payer.sent_count": 1, "payer.sent_value": 100_0000}, False),
        (passed_on, {"payer.sent_value": 90, "payer.received_value": 100}, True),
        (passed_on, {"payer.sent_value": 89, "payer.received_value": 100}, False),
        (passed_on, {"payer.sent_value": 89, "payer.received_value": 0}, False),
    ]:
        found = hits_of(facts(), rule(then=ALERT, **{"if": condition}), counted=counted)
        assert bool(found) is fires, (condition, counted)


def test_a_verdict_is_data() -> None:
    import msgspec

    (hit,) = hits_of(facts(amount=101_0000), rule())
    found = verdict_of([hit])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found
