"""A12: how long a stranger waits for its 3208 does not say whether there is such a transfer.

Pairs of calls, one about another's transfer and one about none, in random order, so that whatever else the machine does
meets both alike. What is judged is the median of the pairs' differences, with the interval in which it lies for
certain (99.9 %, by ranks: no distribution is assumed, and a few slow calls move nothing).
TIMING_PAIRS=5000 makes ten thousand calls of it.
"""

import os
import random
import time
import uuid
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import store
from ledger.models import Transfer
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.world import World

PAIRS = int(os.environ.get("TIMING_PAIRS", "600"))
_Z = 3.29  # of 99.9 %
_NOTICED = 0.05  # of a call's time; what a stranger over a network can not tell from the network
_TRANSFERS = 20


@dataclass(frozen=True)
class Difference:
    """How much longer the first of each pair took, in seconds: the median, and within what it lies."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, differences: list[float]) -> "Difference":
        found, count = sorted(differences), len(differences)
        away = int(_Z * sqrt(count) / 2) + 1
        return cls(found[max(0, count // 2 - away)], median(found), found[min(count - 1, count // 2 + away)])

    def is_noticed(self, limit: float) -> bool:
        """Whether it is, for certain, more than `limit` either way."""
        return self.low > limit or self.high < -limit


def measured(suffix: str, sent: dict[str, Any], pairs: int) -> tuple[Difference, float]:
    """Of a stranger's PUT on others' transfers against none; and the median of all calls."""
    draw = random.Random(12)
    theirs = list(Transfer.objects.values_list("transfer_id", flat=True))

    def took(transfer_id: str) -> float:
        began = time.perf_counter()
        answer = dfsp("PUT", f"/transfers/{transfer_id}{suffix}", sent, source="grey", destination="green")
        passed = time.perf_counter() - began
        assert error_of(answer) == (400, "3208")
        return passed

    differences, all_calls = [], []
    for number in range(pairs + 20):
        existing, missing = draw.choice(theirs), str(uuid.UUID(int=draw.getrandbits(128), version=4))
        if draw.random() < 0.5:
            with_one, with_none = took(existing), took(missing)
        else:
            with_none, with_one = took(missing), took(existing)
        if number >= 20:  # connections, caches and plans are warm
            differences.append(with_one - with_none)
            all_calls += [with_one, with_none]
    return Difference.of(differences), median(all_calls)


@pytest.fixture
def others_transfers(committed_world: World) -> World:
    for _ in range(_TRANSFERS):
        assert dfsp("POST", "/transfers", messages.transfer(amount=_one()), destination="blue").status_code == 202
    return committed_world


def _one() -> dict[str, str]:
    return {"currency": "TZS", "amount": "1"}


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["", "/error"])
def test_a12_a_strangers_answer_takes_as_long_with_a_transfer_as_with_none(
    others_transfers: World, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, usual = measured(suffix, messages.error() if suffix else messages.fulfilment(), PAIRS)
    with capsys.disabled():
        print(
            f"\nPUT /transfers/{{ID}}{suffix} by a stranger, {PAIRS} pairs, {usual * 1e3:.2f} ms each: with a transfer"
            f" {found.middle * 1e6:+.0f} us, between {found.low * 1e6:+.0f} and {found.high * 1e6:+.0f} us"
        )
    assert not found.is_noticed(_NOTICED * usual)


@pytest.mark.thorough
def test_a12_a_hub_that_locks_what_a_stranger_names_is_found_out(
    others_transfers: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    careful = store._lock_transfers

    def careless(answers: Any, determining: set[str]) -> Any:
        return careful(answers, determining | {answer.transfer_id for answer in answers})

    monkeypatch.setattr(store, "_lock_transfers", careless)
    found, usual = measured("", messages.fulfilment(), PAIRS)
    assert found.is_noticed(_NOTICED * usual)


@given(st.lists(st.floats(-1, 1), min_size=50, max_size=300), st.integers(0, 2**32))
def test_a12_a_few_slow_calls_move_nothing(differences: list[float], seed: int) -> None:
    found = Difference.of(differences)
    assert found.low <= found.middle <= found.high
    slow = list(differences)
    for at in random.Random(seed).sample(range(len(slow)), len(slow) // 50):
        slow[at] = 1000.0
    assert Difference.of(slow).high <= 1
