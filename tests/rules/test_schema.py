"""The JSON schema takes what the language takes, and refuses what the language refuses for its form."""

from random import Random

import jsonschema
import pytest

from fspiop.bodies.common import PartyIdType
from rules.language import fact_catalogue
from rules.language.parse import parse
from rules.language.schema import schema
from rules.language.templates import TEMPLATES, make_rules
from tests.rules.documents import money, random_rule_set, rule, rule_set
from tests.rules.test_refused_rule_sets import WRONG_RULES
from tests.rules.test_rule_kinds import CASES

VALIDATOR = jsonschema.Draft202012Validator(schema())
# What a schema cannot express, or need not: relations between members, and forms of texts.
BEYOND = {
    "contradiction", "limit_too_high", "limit_needs_count", "inexact_fact", "refund_needs_scenario", "too_deep",
    "mixed_currencies", "currency_not_of_trigger", "no_time_between", "trigger_not_at_gate", "action_not_at_gate",
    "fact_not_at_gate", "text_of_fraud_rule", "no_condition",
}  # fmt: skip
FORMS = {".title", ".if.window", ".then.for", ".if.value[0]", ".if.value.amount", ".when.scenarios[0]", ".then.code"}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_schema_takes_every_rule_set_of_the_right_form() -> None:
    for seed in range(20):
        document = random_rule_set(Random(seed), ["lookup", "quote", "transfer"])
        assert parse(document).rules
        VALIDATOR.validate(document)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_the_schema_takes_what_templates_make(name: str) -> None:
    for made, values, _ in CASES:
        if made == name:
            VALIDATOR.validate(rule_set(*make_rules(name, {"id": "a-rule", **values})))


def test_the_schema_refuses_what_the_language_refuses_for_its_form() -> None:
    taken = []
    for members, place, code in WRONG_RULES:
        if code in BEYOND or place in FORMS or (place, code) == (".if.any[1].all[31]", "too_many"):
            continue
        if VALIDATOR.is_valid(rule_set(rule(**members))):
            taken.append((place, code))
    assert taken == [(".when.payee_dfsps[0]", "wrong_form")]
    assert not VALIDATOR.is_valid(rule_set(rule(**{"if": {"fact": "amount", "is": "above", "value": money("1,5")}})))


def test_the_catalogue_has_the_types_of_the_protocol() -> None:
    assert set(PartyIdType.__args__) == fact_catalogue.ID_TYPES
