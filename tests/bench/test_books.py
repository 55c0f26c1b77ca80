"""The three-way comparison finds what stands in one book and not in the others."""

from typing import Any

import pytest

from bench.compare_books import compare

HUB = [{"transferId": "t", "payer": "a", "payee": "b"}]


def note(
    ends: dict[str, Any] | None = None, prepares: dict[str, Any] | None = None, undone: dict[str, str] | None = None
) -> dict[str, Any]:
    return {"ends": ends or {}, "prepares": prepares or {}, "undone": undone or {}}


PAID, RECEIVED = {"t": (1.0, "COMMITTED")}, {"t": (1.0, 1.1, 200)}


def test_a_transfer_in_all_three_books_is_well() -> None:
    assert compare({"a": note(ends=PAID), "b": note(prepares=RECEIVED)}, HUB) == []


@pytest.mark.parametrize(
    ("payer", "payee", "hub"),
    [
        (note(), note(prepares=RECEIVED), HUB),
        (note(ends={"t": (1.0, "error 3303")}), note(prepares=RECEIVED), HUB),
        (note(ends=PAID), note(), HUB),
        (note(ends=PAID), note(prepares={"t": (1.0, 1.1, 503)}), HUB),
        (note(ends=PAID), note(prepares=RECEIVED, undone={"t": "error 3303"}), HUB),
        (note(ends=PAID), note(prepares=RECEIVED), []),
        (note(), note(prepares=RECEIVED), []),
        (note(ends=PAID), note(), []),
    ],
)
def test_a_transfer_that_one_book_lacks_is_found(payer: Any, payee: Any, hub: list[dict[str, Any]]) -> None:
    assert len(compare({"a": payer, "b": payee}, hub)) == 1


def test_transfers_of_others_are_none_of_this_run() -> None:
    assert compare({"a": note(), "b": note()}, [{"transferId": "t", "payer": "x", "payee": "b"}]) == []
