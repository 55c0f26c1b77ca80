"""When others count as harmed by a participant that misbehaves."""

from copy import deepcopy
from typing import Any

import pytest

from bench.bad import run_trials
from bench.bad.figures import Interval, change, memory, seen_in, verdict
from bench.bad.memory import Sample

INTERVAL = Interval(10.0, 20.0)


def test_what_was_due_in_an_interval_counts_for_it_whenever_it_ended() -> None:
    sent = {
        "before": (9.9, 10.0, 202),
        "quick": (10.0, 10.1, 202),
        "slow": (19.9, 20.0, 202),
        "next": (20.0, 20.1, 202),
    }
    ends = {key: (due + (8.0 if key == "slow" else 0.5), "COMMITTED") for key, (due, _, _) in sent.items()}
    seen = seen_in(INTERVAL, sent, ends)
    assert (seen.count, seen.errors) == (2, {})
    assert seen.times_ms == {"p50": 500.0, "p99": 8000.0}


def test_what_did_not_commit_is_an_error_by_what_its_payer_knows() -> None:
    sent = {
        "refused": (11.0, 11.1, 503),
        "silent": (11.0, 0.0, 0),
        "lost": (11.0, 11.1, 202),
        "aborted": (11.0, 11.1, 202),
    }
    seen = seen_in(INTERVAL, sent, {"aborted": (12.0, "error 3303")})
    assert (seen.count, seen.times_ms) == (0, {"p50": 0.0, "p99": 0.0})
    assert seen.errors == {"HTTP 503": 1, "no answer": 1, "never ended": 1, "error 3303": 1}


def test_memory_is_what_it_was_what_it_became_and_what_was_left() -> None:
    mb = [100.0, 102.0, 104.0, 300.0, 290.0, 120.0, 110.0, 108.0, 106.0]
    samples = [Sample(float(at), {"web": each}) for at, each in enumerate(mb)]
    intervals = {"before": Interval(0, 3), "during": Interval(3, 5), "after": Interval(5, 9)}
    assert memory(samples, intervals, ["web"]) == {"web": {"before": 102, "most": 300, "after": 108}}


def seen(p50: float, p99: float, **errors: int) -> dict[str, Any]:
    return {"times_ms": {"p50": p50, "p99": p99}, "count": 500, "errors": errors}


WELL: dict[str, Any] = {
    "plan": {"name": "polls"},
    "transfers": {"before": seen(50, 100), "during": seen(69, 119), "after": seen(50, 100)},
    "payments": {"before": seen(200, 400), "during": seen(239, 479), "after": seen(230, 470)},
    "rss_mb": {"web": {"before": 200, "most": 900, "after": 240}},
    "strays": {},
    "book_faults": [],
    "ledger_ok": True,
}


def test_times_within_a_fifth_or_twenty_milliseconds_are_no_harm() -> None:
    assert verdict(WELL) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("transfers", "during"), seen(71, 119), "transfers p50 during: 50 -> 71 ms"),
        (("transfers", "after"), seen(50, 121), "transfers p99 after: 100 -> 121 ms"),
        (("payments", "during"), seen(241, 479), "payments p50 during: 200 -> 241 ms"),
        (("payments", "after"), seen(200, 481), "payments p99 after: 400 -> 481 ms"),
        (("payments", "during"), seen(0, 0) | {"count": 0}, "no payments completed during"),
        (("transfers", "during"), seen(50, 100, HTTP_503=2), "transfers failed during: 2 x HTTP_503"),
        (("strays",), {"parties error": 3}, "received unrequested messages: 3 x parties error"),
        (("rss_mb", "web"), {"before": 200, "most": 200, "after": 241}, "web holds 241 MB, 200 before"),
        (("book_faults",), ["t: only in the books of a"], "payer, hub and payee do not agree on 1 transfers"),
        (("ledger_ok",), False, "the ledger check failed"),
    ],
)
def test_every_other_change_is_harm(path: tuple[str, ...], value: object, said: str) -> None:
    figures = deepcopy(WELL)
    place = figures
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert verdict(figures) == [said]


def test_the_longest_of_few_times_is_no_p99_but_their_median_counts() -> None:
    figures = deepcopy(WELL)
    figures["payments"]["during"] = seen(200, 2000) | {"count": 99}
    assert verdict(figures) == []
    figures["payments"]["during"] = seen(241, 2000) | {"count": 99}
    assert verdict(figures) == ["payments p50 during: 200 -> 241 ms"]


def test_errors_that_were_there_before_are_not_blamed_on_it() -> None:
    figures = deepcopy(WELL)
    figures["transfers"]["before"]["errors"] = {"HTTP 503": 2}
    figures["transfers"]["during"]["errors"] = {"HTTP 503": 2}
    assert verdict(figures) == []


def test_a_change_is_said_in_percent_and_in_milliseconds() -> None:
    assert change(50, 75) == "+50 %, +25 ms"
    assert change(80, 60) == "-25 %, -20 ms"
    assert change(0, 60) == "+60 ms"


def test_the_last_line_and_the_table_say_who_was_harmed() -> None:
    shares = {"before": {"others": 0.0}, "during": {"others": 0.1}, "after": {"others": 0.0}}
    well = WELL | {"harm": [], "revision": "abc", "cpu_share": shares}
    harmed = well | {"harm": ["transfers p50 during: 50 -> 71 ms"]}
    assert run_trials.last_line(well) == "bench: polls: ok"
    assert run_trials.last_line(harmed) == "bench: polls: HARMED: transfers p50 during: 50 -> 71 ms"
    noisy = well | {"cpu_share": shares | {"after": {"others": 0.5}}}
    assert run_trials.last_line(noisy) == "bench: polls: ok (others on this machine used 0.5 cores)"
    table = run_trials.table([well, harmed])
    assert [next(iter(column.cells)) for column in table.columns] == [
        *("polls", "50 69 50", "100 119 100", "200 239 230", "400 479 470", "0 0 0", "200 900 240", "-", "0.1", "ok")
    ]
    assert list(table.columns[-1].cells) == ["ok", "HARMED"]
