"""What a run says: percentiles, what counts as lost, and which transfers are measured."""

import os
from typing import Any

import pytest

from bench import latency_and_cpu_figures
from bench.latency_and_cpu_figures import Outcome, join, percentile, recovery


def note(**seen: dict[str, Any]) -> dict[str, Any]:
    return {"prepares": {}, "ends": {}, "found": {}, "quoted": {}, "given_up": {}} | seen


def joined(
    sent: dict[str, Any], prepares: dict[str, Any], ends: dict[str, Any], *, since: float, until: float
) -> Outcome:
    """As a payee noted the prepares and a payer the ends."""
    return join(sent, [note(prepares=prepares), note(ends=ends)], since=since, until=until)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 99, 0.0),
        ([7.0], 50, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 3.0, 1.0, 2.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 102)], 99, 100.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
        ([5.0, 6.0], 0, 5.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_transfer_is_followed_from_hop_to_hop() -> None:
    outcome = joined(
        {"t": (10.0, 10.5, 202)}, {"t": (11.0, 11.25, 200)}, {"t": (12.0, "COMMITTED")}, since=10.0, until=20.0
    )
    assert outcome.hops == {
        "POST accepted": [0.5],
        "prepare at payee": [0.5],
        "PUT accepted": [0.25],
        "callback at payer": [0.75],
        "whole": [2.0],
    }
    assert (outcome.sent, outcome.accepted, outcome.completed, outcome.lost) == (1, 1, 1, 0)


def test_a_payment_that_was_refused_to_the_end_is_given_up_and_not_lost() -> None:
    sent = {"given up": (10.0, 10.1, 202), "lost": (10.0, 10.1, 202)}
    found = {"given up": 11.0, "lost": 11.0}
    outcome = join(sent, [note(found=found, given_up={"given up": "HTTP 503"})], since=0.0, until=20.0)
    assert (outcome.lost, outcome.given_up, outcome.completed) == (1, {"HTTP 503": 1}, 0)


def test_a_payment_that_ended_although_its_last_try_was_refused_is_what_it_is() -> None:
    """The hub may have taken a try whose answer the payer never got."""
    seen = note(found={"t": 11.0}, quoted={"t": 11.5}, ends={"t": (12.0, "COMMITTED")}, given_up={"t": "HTTP 503"})
    outcome = join({"t": (10.0, 10.1, 202)}, [seen], since=0.0, until=20.0)
    assert (outcome.lost, sum(outcome.given_up.values()), outcome.completed) == (0, 0, 1)


def test_only_the_measured_time_counts_for_speed_but_all_of_it_for_losses() -> None:
    sent = {
        "warm-up": (1.0, 1.1, 202),
        "lost in warm-up": (2.0, 2.1, 202),
        "measured": (11.0, 11.1, 202),
        "after": (19.9, 20, 202),
    }
    ends = {"warm-up": (10.5, "COMMITTED"), "measured": (12.0, "COMMITTED"), "after": (20.5, "COMMITTED")}
    outcome = joined(sent, {}, ends, since=10.0, until=20.0)
    assert outcome.completed == 3
    assert outcome.completed_while_measured == 2  # one of them was due before, one was completed after
    assert len(outcome.hops["whole"]) == 2
    assert outcome.lost == 1


def recovered(unserved: dict[int, int]) -> float | None:
    """With a hundred transfers due in each of three seconds after the moment 10, and what became of some of them."""
    keys = {second: [f"{second}-{number}" for number in range(100)] for second in range(3)}
    sent = {key: (10.0 + second, 0.0, 202) for second in keys for key in keys[second]} | {"before": (9.0, 9.1, 503)}
    ends = {key: (due + 0.9, "COMMITTED") for key, (due, *_) in sent.items() if key != "before"}
    for second, number in unserved.items():
        for key in keys[second][:number]:
            del ends[key]
    return recovery(sent, [note(ends=ends)], 10.0)


def test_a_hub_has_recovered_when_it_serves_nearly_all_of_each_second_within_one() -> None:
    assert recovered({}) == 0.0
    assert recovered({0: 1, 1: 1, 2: 1}) == 0.0
    assert recovered({0: 2}) == 1.0
    assert recovered({1: 100}) == 2.0
    assert recovered({0: 50, 2: 2}) is None


@pytest.mark.parametrize("end", [(11.5, "COMMITTED"), (10.5, "error 3303")])
def test_a_slow_transfer_and_an_aborted_one_are_not_served(end: tuple[float, str]) -> None:
    sent = {"a": (10.0, 10.1, 202), "b": (11.0, 11.1, 202)}
    assert recovery(sent, [note(ends={"a": end, "b": (11.5, "COMMITTED")})], 10.0) == 1.0


def test_lost_is_what_the_hub_may_have_taken_and_never_ended() -> None:
    sent = {
        "accepted": (1.0, 1.1, 202),
        "no answer": (1.0, 0.0, 0),
        "no answer, but an end": (1.0, 0.0, 0),
        "busy": (1.0, 1.1, 503),
        "aborted": (1.0, 1.1, 202),
    }
    ends = {"no answer, but an end": (2.0, "COMMITTED"), "aborted": (2.0, "error 3303")}
    outcome = joined(sent, {}, ends, since=0.0, until=5.0)
    assert outcome.lost == 2
    assert outcome.refused == {"HTTP 503": 1}
    assert outcome.failed == {"error 3303": 1}
    assert outcome.completed == 1


def test_a_payment_is_followed_through_its_three_phases() -> None:
    notes = [note(found={"p": 11.0}, quoted={"p": 13.0}, ends={"p": (16.0, "COMMITTED")})]
    outcome = join({"p": (10.0, 10.5, 202)}, notes, since=10.0, until=20.0)
    assert outcome.hops == {
        "GET accepted": [0.5],
        "lookup": [1.0],
        "terms": [2.0],
        "transfer": [3.0],
        "whole": [6.0],
    }


def test_the_hub_may_tell_the_other_side_before_its_own_answer_is_read() -> None:
    outcome = joined({"t": (1.0, 1.5, 202)}, {"t": (1.4, 2.0, 200)}, {"t": (1.9, "COMMITTED")}, since=0.0, until=5.0)
    assert outcome.hops["prepare at payee"] == [0.0]
    assert outcome.hops["callback at payer"] == [0.0]


def test_cpu_seconds_are_those_of_the_family_and_none_of_the_gone() -> None:
    before = latency_and_cpu_figures.cpu_seconds(os.getpid())
    sum(range(3_000_000))
    assert latency_and_cpu_figures.cpu_seconds(os.getpid()) > before > 0
    assert latency_and_cpu_figures.machine_cpu_seconds() > 0
    assert latency_and_cpu_figures.cpu_seconds(2**22 + 1) == 0.0


def test_processes_of_one_kind_are_summed() -> None:
    assert latency_and_cpu_figures.grouped([("web", 1.0), ("sink a", 2.0), ("sink b", 3.0)]) == {
        "web": 1.0,
        "sink": 5.0,
    }
