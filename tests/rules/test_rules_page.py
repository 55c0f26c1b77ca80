"""docs/rules.md says about the language what the code does."""

import json
import re
from pathlib import Path

import pytest

from rules.language.checks_of_well_formed_rules import CONDITION_NS, MOST_NS, RULE_NS, accept
from rules.language.compile import compile_rules
from rules.language.counter_types import LONGEST_WINDOW_S, MOST_EVENTS, SHORTEST_WINDOW_S
from rules.language.fact_catalogue import (
    ALL_GATES,
    COUNTER_NS,
    DISTINCT_NS,
    FACTS,
    LOCAL_TIME_NS,
    OPERATORS,
    FactSpec,
)
from rules.language.parse import MOST_CONDITIONS, MOST_DEPTH, MOST_RULES
from rules.language.refusal_codes import CODES
from rules.language.templates import TEMPLATES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text()
LANGUAGE = PAGE.split("\n## The language\n")[1].split("\n## ")[0]
_MISSING = {"never": "", "payee_dfsp": "payee DFSP"}


def rows(heading: str) -> list[tuple[str, ...]]:
    """The rows of all tables with this first column's heading, as they stand."""
    found = []
    for table in re.findall(rf"^\| {heading} \|.*\n\|(?:---\|)+\n((?:\|.*\n)+)", LANGUAGE, re.MULTILINE):
        found += [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in table.splitlines()]
    return [tuple(cell.strip("| ") for cell in row) for row in found]


def fact_row(spec: FactSpec) -> tuple[str, ...]:
    gates = (
        "all" if spec.gates == ALL_GATES else ", ".join(gate for gate in ("quote", "transfer") if gate in spec.gates)
    )
    unit = [spec.unit, "optional" * spec.optional, "key" * spec.has_key, "window" * spec.has_window]
    missing = _MISSING.get(spec.missing, spec.missing)
    return f"`{spec.name}`", ", ".join(filter(None, unit)), gates, missing, spec.description


def test_the_page_lists_every_fact() -> None:
    assert rows("fact") == [fact_row(spec) for spec in FACTS.values()]


def test_the_page_lists_every_operator() -> None:
    assert [(unit, operators) for unit, operators, _ in rows("unit")] == [
        (unit, ", ".join(f"`{operator}`" for operator in operators)) for unit, operators in OPERATORS.items()
    ]


def test_the_page_lists_every_code_and_template() -> None:
    assert rows("code") == [(f"`{code}`", text) for code, text in CODES.items()]
    assert rows("template") == [
        (f"`{each.name}`", each.title, ", ".join(parameter.name for parameter in each.parameters))
        for each in TEMPLATES.values()
    ]


def test_the_page_has_the_bounds_of_the_code() -> None:
    costs = [RULE_NS, CONDITION_NS, COUNTER_NS, DISTINCT_NS, LOCAL_TIME_NS]
    assert [cost for _, cost in rows("part")] == [f"{cost:,}" for cost in costs]
    assert (MOST_NS, MOST_RULES, MOST_CONDITIONS, MOST_DEPTH, MOST_EVENTS) == (1_000_000, 1_000, 64, 8, 64)
    assert (SHORTEST_WINDOW_S, LONGEST_WINDOW_S) == (60, 31 * 86_400)
    for said in ("at most 1,000 µs", "at most 1,000.", "at most 64 comparisons", "8 deep", "newest 64", "at most 63."):
        assert said in " ".join(LANGUAGE.split()), said


@pytest.mark.parametrize("example", re.findall(r"^```json\n(.*?)^```", LANGUAGE, re.MULTILINE | re.DOTALL))
def test_the_examples_on_the_page_are_accepted(example: str) -> None:
    accepted = accept(json.loads(example))
    assert [len(compile_rules(accepted, gate).rules) for gate in ("quote", "transfer")] == [1, 1]
