"""Computes the times and errors of the well-behaved participants before, during and after the misbehaviour. Decides
whether the misbehaviour harmed these participants."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.bad.memory import Sample, median_mb, most_mb
from bench.latency_and_cpu_figures import percentile

INTERVALS = ("before", "during", "after")
PERCENTILES = {"p50": 50, "p99": 99}
SHARE, MS = 0.20, 20.0  # a time counts as unchanged if it changes by at most this share, or by at most this many ms
_FEWEST = 100  # with fewer results, p99 is the longest time, and a single pause of this machine can raise p99
MEMORY_SHARE = 0.20  # the largest allowed growth of a process's memory, from before to after the misbehaviour
_LAST_S = 3.0  # the memory after the misbehaviour is measured in these last seconds of the last interval


@dataclass(frozen=True)
class Interval:
    """An interval between two values of time.monotonic."""

    since: float
    until: float


@dataclass(frozen=True)
class Seen:
    """The results of one interval's transfers or payments."""

    times_ms: dict[str, float]
    count: int
    errors: dict[str, int]


def seen_in(interval: Interval, sent: Mapping[str, Sequence[Any]], ends: Mapping[str, Sequence[Any]]) -> Seen:
    """Returns the results of transfers that were sent in the interval, even if the outcome arrived later."""
    seconds: list[float] = []
    errors = Counter[str]()
    for key, (due, _, status) in sent.items():
        if not interval.since <= due < interval.until:
            continue
        ended, said = ends.get(key, (0.0, ""))
        if said == "COMMITTED":
            seconds.append(ended - due)
        elif said:
            errors[said] += 1
        else:
            errors["never ended" if status == 202 else f"HTTP {status}" if status else "no answer"] += 1
    times = {name: round(percentile(seconds, percent) * 1000, 1) for name, percent in PERCENTILES.items()}
    return Seen(times, len(seconds), dict(errors))


def memory(samples: list[Sample], intervals: Mapping[str, Interval], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Returns three figures for each process: its resident memory in megabytes before the misbehaviour, the maximum
    after that, and at the end.
    """
    before, after = intervals["before"], intervals["after"]
    return {
        name: {
            "before": round(median_mb(samples, name, before.since, before.until)),
            "most": round(most_mb(samples, name, before.until, after.until)),
            "after": round(median_mb(samples, name, after.until - _LAST_S, after.until)),
        }
        for name in names
    }


def change(before: float, now: float) -> str:
    """Returns the change as text, such as "+12 %, +7 ms"."""
    share = f"{(now / before - 1) * 100:+.0f} %, " if before else ""
    return f"{share}{now - before:+.0f} ms"


def verdict(figures: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each harm to the well-behaved participants. The list is empty if there was no harm."""
    harm = [text for kind in ("transfers", "payments") for text in _slower(kind, figures[kind])]
    for when in ("during", "after"):
        for kind in ("transfers", "payments"):
            more = Counter(figures[kind][when]["errors"]) - Counter(figures[kind]["before"]["errors"])
            if more:
                harm.append(f"{kind} failed {when}: {_listed(more)}")
    if figures["strays"]:
        harm.append(f"received unrequested messages: {_listed(figures['strays'])}")
    for name, mb in figures["rss_mb"].items():
        if mb["after"] > mb["before"] * (1 + MEMORY_SHARE):
            harm.append(f"{name} holds {mb['after']} MB, {mb['before']} before")
    if figures["book_faults"]:
        harm.append(f"payer, hub and payee do not agree on {len(figures['book_faults'])} transfers")
    if figures["ledger_ok"] is False:
        harm.append("the ledger check failed")
    return harm


def _slower(kind: str, seen: Mapping[str, Any]) -> list[str]:
    found = []
    for when in ("during", "after"):
        if not seen[when]["count"]:
            found.append(f"no {kind} completed {when}")
            continue
        for name, percent in PERCENTILES.items():
            if percent > 50 and min(seen[each]["count"] for each in ("before", when)) < _FEWEST:
                continue
            before, now = seen["before"]["times_ms"][name], seen[when]["times_ms"][name]
            if now > max(before * (1 + SHARE), before + MS):
                found.append(f"{kind} {name} {when}: {before:.0f} -> {now:.0f} ms")
    return found


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in sorted(counts.items()))
