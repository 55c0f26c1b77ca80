"""Measures the cost of rules in pairs of runs: one run without rules, and one run with rules. Results are medians."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import report

MOST_CPU_SHARE = 0.08
MOST_P99_MS = 3.0
LEAST_BILLER_RATE = 0.85
_INSTRUMENT = ("dfsps", "generator")

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Three medians over all pairs of runs: the difference in the hub's CPU for each transfer, in the p99, and in the
    rate."""

    cpu_share: float  # 0.05: 5 % more CPU with rules
    p99_ms: float
    rate_share: float  # 1.0: the same rate

    def faults(self, *, biller: bool) -> list[str]:
        """Returns the permitted costs that the rules exceed."""
        if biller:
            is_slow = self.rate_share < LEAST_BILLER_RATE
            return [f"the rate with rules is {self.rate_share:.1%} of that without"] if is_slow else []
        found = []
        if self.cpu_share > MOST_CPU_SHARE:
            found.append(f"rules need {self.cpu_share:.1%} more CPU")
        if self.p99_ms > MOST_P99_MS:
            found.append(f"rules add {self.p99_ms:.1f} ms to the p99")
        return found

    def __str__(self) -> str:
        return f"{self.cpu_share:+.1%} CPU, {self.p99_ms:+.1f} ms p99, {self.rate_share:.1%} of the rate"


def run(pairs: int, rules: int, measure: Callable[[int], Figures]) -> list[tuple[Figures, Figures]]:
    """Measures as many pairs of runs as the argument states.

    Each pair is one run without rules and one run with rules. The function `measure` performs one run on a new hub,
    with as many rules as the function's argument states.

    In every second pair, the run with rules comes first. So if the machine becomes slower or faster, this change
    affects the runs with rules and the runs without rules equally.
    """
    found = []
    for number in range(pairs):
        if number % 2:
            with_rules = measure(rules)
            found.append((measure(0), with_rules))
        else:
            without = measure(0)
            found.append((without, measure(rules)))
    return found


def difference(pairs: Sequence[tuple[Figures, Figures]]) -> Difference:
    """Returns the medians of the differences within the pairs of runs. Each pair is one run without rules and one run
    with rules."""
    return Difference(
        median(_cpu_ms(having) / _cpu_ms(without) - 1 for without, having in pairs),
        median(report.p99(having) - report.p99(without) for without, having in pairs),
        median(having["transfers_per_s"] / without["transfers_per_s"] for without, having in pairs),
    )


def _cpu_ms(figures: Figures) -> float:
    used = figures["cpu_ms_per_transfer"]
    return float(sum(ms for name, ms in used.items() if name not in _INSTRUMENT))
