"""A test of many cases fails if one of them does, and names it."""

import pytest

from tests.cases import of_each


def test_every_combination_is_checked() -> None:
    seen = []
    of_each([(1, 2), (3, 4)], ["a", "b"])(lambda *case: seen.append(case))()
    assert seen == [(1, 2, "a"), (1, 2, "b"), (3, 4, "a"), (3, 4, "b")]


def test_each_case_that_fails_is_named_with_its_reason() -> None:
    def check(number: int, kind: type) -> None:
        assert number != 2, "two"
        if number == 3:
            raise ValueError("three")
        if number == 4:
            with pytest.raises(KeyError):
                pass

    with pytest.raises(pytest.fail.Exception) as found:
        of_each([1, 2, 3, 4, 5], [int])(check)()
    said = str(found.value)
    assert said.startswith("3 of 5 cases failed:")
    assert "2, int: AssertionError: two" in said
    assert "3, int: ValueError: three" in said
    assert "4, int: Failed: DID NOT RAISE" in said
    assert "1, int" not in said
    assert "5, int" not in said


def test_there_must_be_a_case() -> None:
    with pytest.raises(AssertionError):
        of_each([])
