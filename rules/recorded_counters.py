"""Stores the counters that the hub read for a decision, together with the facts of the decision. So a replay can repeat
the decision. Pure."""

from rules.decide import Variances, judge
from rules.facts import Facts
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import Counters, Need

_LARGEST = 2**63 - 1


def name_of(need: Need) -> str:
    """Returns the name of a counter. The name contains the subject, the measure, the window in seconds, and the
    currency."""
    return f"{need.subject}.{need.measure}/{need.window_s}/{need.currency}"


def read_by(
    facts: Facts, compiled: CompiledRules, counters: Counters, variances: Variances | None
) -> dict[str, int | bool | str | None]:
    """Returns the counters that the rules read when they judge this payment.

    The hub must not count any payment between the decision and this call.
    """
    recording = _Recording(counters)
    judge(facts, compiled, recording, variances)
    return {name_of(need): _stored(value) for need, value in recording.read.items()}


class _Recording:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.read: dict[Need, int | bool | None] = {}

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        value = self.read[need] = self._counters.get(need, facts)
        return value


class RecordedCounters:
    """Returns the counters that are stored with the facts."""

    def __init__(self) -> None:
        self.is_complete = True
        """False if a caller has requested a counter that is not stored. Decisions of an earlier release stored no
        counters."""

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns the counter's value that the hub read for the decision."""
        try:
            value = facts.counters[name_of(need)]
        except KeyError:
            self.is_complete = False
            return None
        return int(value) if isinstance(value, str) else value


def _stored(value: int | bool | None) -> int | bool | str | None:
    # a sum can be too large for 64 bits
    return str(value) if value is not None and not -_LARGEST <= value <= _LARGEST else value
