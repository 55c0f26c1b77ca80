"""Measures the difference between the hub's clock and this machine's clock. The hub's time is in the Date header of the
hub's responses.

The hub decides by its own clock whether a transfer or a quote has expired. A DFSP's clock can differ from the hub's
clock.
"""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from fspiop import time as fsptime

log = structlog.get_logger(__name__)

_DATE_IS_CUT_TO_S = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The number of seconds by which the hub's clock is ahead of this machine's clock, and the possible error of this
    number. The number is negative if the hub's clock is behind.
    """

    ahead_s: float
    uncertain_s: float


class HubClock:
    """Keeps an interval in which the difference between the two clocks lies. Each response of the hub narrows the
    interval.

    If a response contradicts the interval, a new interval begins, because one of the clocks was set or has drifted.
    """

    def __init__(self, margin_s: float) -> None:
        self._margin_s = margin_s
        self._least, self._most = -math.inf, math.inf
        self._is_within_margin: bool | None = None

    def measure(self, date: str | None, asked_at: float, answered_at: float) -> None:
        """Narrows the interval with the Date header of a response.

        `sent` and `received` are this machine's times of the request and of the response.
        """
        try:
            hub_s = fsptime.parse_http_date(date or "").timestamp()
        except ValueError:
            return
        least, most = hub_s - answered_at, hub_s + _DATE_IS_CUT_TO_S - asked_at
        if least > self._most or most < self._least:
            self._least, self._most = -math.inf, math.inf
        self._least, self._most = max(self._least, least), min(self._most, most)
        self._report()

    @property
    def measured(self) -> Measured | None:
        """The difference of the two clocks, or None before the hub's first response."""
        if math.isinf(self._least):
            return None
        return Measured((self._least + self._most) / 2, (self._most - self._least) / 2)

    @property
    def is_within_margin(self) -> bool:
        """Whether the clocks differ by at most `clock_margin_s`."""
        return self._least <= self._margin_s and self._most >= -self._margin_s

    @property
    def ahead_s(self) -> float:
        """The difference of the two clocks, limited for calculations: at most `clock_margin_s`, and 0 before the first
        measurement.
        """
        found = self.measured
        return 0.0 if found is None else max(-self._margin_s, min(found.ahead_s, self._margin_s))

    def at_hub(self) -> float:
        """Returns the present time of the hub's clock, computed with the measured difference."""
        return time.time() + self.ahead_s

    def date(self) -> str:
        """Returns a Date header with the hub's time. The hub can refuse a Date that differs from the hub's clock."""
        return fsptime.http_date(datetime.fromtimestamp(self.at_hub(), UTC))

    def _report(self) -> None:
        """Logs the first measurement.

        Logs a later measurement only if the difference has just exceeded the margin, or is within the margin again.
        """
        found, is_within = self.measured, self.is_within_margin
        if found is None or is_within is self._is_within_margin:
            return
        self._is_within_margin = is_within
        figures = {"hub_ahead_s": round(found.ahead_s, 1), "margin_s": self._margin_s}
        if is_within:
            log.info("hub_clock", **figures)
        else:
            log.error("hub_clock_differs", advice="set this machine's clock (NTP)", **figures)
