"""The three-way comparison finds every kind of difference (a comparison that never failed proves nothing)."""

import json
from typing import Any

import pytest

from hub.local.demo import compare
from hub.local.demo.banks import Bank, Ports

BANKS = [Bank("green", Ports(1, 2, 3, 7, 9)), Bank("blue", Ports(4, 5, 6, 8, 10))]


class Hub:
    """Stands for a stack: all that the comparison asks of one."""

    def __init__(self, transfers: list[dict[str, Any]]) -> None:
        self.transfers = transfers

    def manage(self, *arguments: str) -> str:
        assert arguments == ("committed_transfers", "--json")
        return json.dumps(self.transfers)


def books(sent: dict[str, int], received: dict[str, int], **changes: Any) -> dict[str, Any]:
    scheme = sum(sent.values()) - sum(received.values())
    return {
        "sent": sent,
        "received": received,
        "open": [],
        "expected": [],
        "balances": {"scheme": scheme},
        "faults": [],
    } | changes


def differences(monkeypatch: pytest.MonkeyPatch, at_hub: list[tuple[str, int]], green: Any, blue: Any) -> list[str]:
    by_name = {"green": green, "blue": blue}
    monkeypatch.setattr(compare, "books_of", lambda bank: by_name[bank.name])
    rows = [
        {"transferId": name, "payer": "green", "payee": "blue", "amount": amount, "currency": "TZS"}
        for name, amount in at_hub
    ]
    return compare.compare(Hub(rows), BANKS).faults  # type: ignore[arg-type]


def test_equal_books_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    assert differences(monkeypatch, [("T1", 5)], books({"T1": 5}, {}), books({}, {"T1": 5})) == []


@pytest.mark.parametrize(
    ("at_hub", "green", "blue"),
    [
        ([], books({"T1": 5}, {}), books({}, {})),  # lost at the hub and the payee
        ([("T1", 5)], books({}, {}), books({}, {"T1": 5})),  # the payer does not know that it paid
        ([("T1", 5)], books({"T1": 5}, {}), books({}, {})),  # the payee did not credit
        ([("T1", 5)], books({"T1": 6}, {}), books({}, {"T1": 5})),  # another amount
        ([], books({}, {}), books({}, {"T1": 5})),  # credited without the hub
        ([("T1", 5)], books({"T1": 5}, {}, balances={"scheme": 10}), books({}, {"T1": 5})),  # posted twice
        ([("T1", 5)], books({"T1": 5}, {}, open=[["P1"]]), books({}, {"T1": 5})),  # money still held
        ([("T1", 5)], books({"T1": 5}, {}), books({}, {"T1": 5}, expected=[["T2"]])),  # never told the end
        ([("T1", 5)], books({"T1": 5}, {}), books({}, {"T1": 5}, faults=[["fees", 1, 2]])),  # do not balance
    ],
)
def test_each_difference_is_found(monkeypatch: pytest.MonkeyPatch, at_hub: Any, green: Any, blue: Any) -> None:
    assert differences(monkeypatch, at_hub, green, blue) != []
