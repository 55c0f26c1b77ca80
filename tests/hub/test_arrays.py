"""A list comes out of the database as it went in, whatever is in it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.postgresql import arrays
from hub.sql_execution import execute
from ledger.states import State
from tests.examples import examples

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
BIGINT = st.integers(-(2**63), 2**63 - 1)
MOMENT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def lists(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | elements, max_size=8) | st.lists(elements, max_size=8)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cast", "elements"),
    [
        (
            "text",
            TEXT | st.sampled_from(["", "NULL", "null", '"', "\\", "{}", ",", " ", "\\x00", "'", '{"a": "b\\"c"}']),
        ),
        ("bytea", st.binary(max_size=40)),
        ("bigint", BIGINT),
        ("numeric", st.integers(-(10**30), 10**30)),
        ("float8", st.floats(allow_nan=False)),
        ("boolean", st.booleans()),
        ("timestamptz", MOMENT),
    ],
)
def test_a_list_comes_back_as_it_went(cast: str, elements: st.SearchStrategy[Any]) -> None:
    @settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
    @given(lists(elements))
    def check(values: list[Any]) -> None:
        row = execute(f"SELECT u FROM unnest(%s::{cast}[]) WITH ORDINALITY AS t (u, n) ORDER BY n", [values])
        assert [value for (value,) in row] == values

    check()


@pytest.mark.django_db
def test_a_state_travels_as_its_text_and_a_decimal_as_its_number() -> None:
    states = execute("SELECT unnest(%s::text[])", [[State.RESERVED, None, State.ABORTED]])
    assert [row[0] for row in states] == ["RESERVED", None, "ABORTED"]
    numbers = execute("SELECT unnest(%s::numeric[])", [[Decimal("1.50"), Decimal("-3")]])
    assert [row[0] for row in numbers] == [Decimal("1.50"), Decimal("-3")]


def test_a_nul_character_is_refused_rather_than_read_as_two_texts() -> None:
    with pytest.raises(ValueError, match="NUL"):
        arrays.literal(["a\0b", "c"])
