"""Which lookups a web process accepts while the CPUs are busy all the time."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.api import lookup_admission
from hub.api.lookup_admission import LookupAdmission, equal_share
from tests.api.caller import dfsp, error_of
from tests.examples import examples
from tests.world import World

BUSY, FREE, VERY_FREE = 1.0, 0.9, 0.3


class Hub:
    """A process whose time and CPU use the test sets."""

    def __init__(self) -> None:
        self.now, self.use = 0.0, FREE
        self.admission = LookupAdmission(lambda: self.use, lambda: self.now)

    def half_second(self, *, use: float, after_s: float = 0.5, **sent: int) -> Counter[str]:
        """Returns the number of accepted lookups, by source. The sources send their lookups in turn."""
        self.now, self.use = self.now + after_s, use
        return Counter(source for source in _in_turn(sent) if self.admission.accepts(source))


def _in_turn(sent: dict[str, int]) -> Iterator[str]:
    for number in range(max(sent.values(), default=0)):
        yield from (source for source, count in sent.items() if number < count)


def test_while_the_cpus_have_free_time_every_lookup_is_accepted() -> None:
    hub = Hub()
    for count in (10, 1000, 5000):
        assert hub.half_second(use=FREE, green=count) == {"green": count}


def test_while_the_cpus_are_busy_fewer_and_fewer_lookups_are_accepted_and_then_all_again() -> None:
    hub = Hub()
    hub.half_second(use=FREE, green=200)
    busy = [hub.half_second(use=BUSY, green=200)["green"] for _ in range(30)]
    assert busy == sorted(busy, reverse=True)
    assert busy[0] == 170
    assert busy[-1] == 20  # some are accepted even then
    free = [hub.half_second(use=FREE, green=200)["green"] for _ in range(30)]
    assert free == sorted(free)
    assert free[-1] == 200


@pytest.mark.parametrize("use", [BUSY, FREE])
def test_after_a_time_without_lookups_all_are_accepted_again(use: float) -> None:
    """The use of the CPUs is then the mean of the whole time, and says nothing about the last half second."""
    hub = Hub()
    for _ in range(30):
        hub.half_second(use=BUSY, green=200)
    assert hub.half_second(use=use, after_s=8 * 3600, green=200)["green"] == 200
    assert hub.half_second(use=FREE, green=200)["green"] == 200


def test_a_short_gap_between_lookups_ends_no_limit() -> None:
    hub = Hub()
    for _ in range(30):
        hub.half_second(use=BUSY, green=200)
    assert hub.half_second(use=BUSY, after_s=1.0, green=200)["green"] == 20


def test_while_the_cpus_are_clearly_free_the_limit_doubles() -> None:
    hub = Hub()
    for _ in range(30):
        hub.half_second(use=BUSY, green=200)
    accepted = [hub.half_second(use=VERY_FREE, green=200)["green"] for _ in range(4)]
    assert accepted == [40, 80, 160, 200]


def test_a_flood_of_lookups_by_one_source_costs_no_other_source_a_lookup() -> None:
    hub = Hub()
    hub.half_second(use=FREE, red=1000, green=10, blue=5)
    for _ in range(10):
        accepted = hub.half_second(use=BUSY, red=1000, green=10, blue=5)
        assert (accepted["green"], accepted["blue"]) == (10, 5)
    assert accepted["red"] < 200


def test_a_source_that_was_silent_is_accepted_as_others_are() -> None:
    hub = Hub()
    hub.half_second(use=FREE, red=1000)
    hub.half_second(use=BUSY, red=1000)
    assert hub.half_second(use=BUSY, red=1000, green=50)["green"] == 50


@settings(max_examples=examples(300), deadline=None)
@given(wanted=st.lists(st.integers(1, 500), min_size=1, max_size=20), total=st.integers(1, 2000))
def test_equal_shares_use_the_total_and_take_nothing_from_who_wants_little(wanted: list[int], total: int) -> None:
    share = equal_share(wanted, total)
    given = sum(min(count, share) for count in wanted)
    assert given == pytest.approx(min(total, sum(wanted)))
    assert share >= total / len(wanted) - 1e-9


def test_a_refused_lookup_gets_503_and_leaves_no_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setattr(lookup_admission, "_admission", hub.admission)
    hub.half_second(use=FREE, **{str(world.ids["green"]): 1})
    hub.now, hub.use = hub.now + 0.5, BUSY
    responses = [dfsp("GET", "/parties/MSISDN/1") for _ in range(25)]
    assert [response.status_code for response in responses] == [202] * 20 + [503] * 5
    assert error_of(responses[-1]) == (503, "2005")
    assert responses[-1]["Retry-After"]
    assert dfsp("GET", "/participants/MSISDN/1").status_code == 202  # lookups of parties alone are refused
