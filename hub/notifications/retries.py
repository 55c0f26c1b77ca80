"""The result of one attempt to send a notification, and the time of the next attempt. Pure."""

import random
from dataclasses import dataclass
from typing import Literal

_MOST_REFUSALS = 5
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 900.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt to send a notification.

    `is_refusal` is True if the recipient refused the message. After a refusal, an early retry would get the same
    refusal.
    """

    is_sent: bool
    error: str = ""
    is_refusal: bool = False
    retry_after_s: float | None = None

    @property
    def result(self) -> Literal["sent", "refused", "failed"]:
        return "sent" if self.is_sent else "refused" if self.is_refusal else "failed"


SENT = Outcome(is_sent=True)


def delay_s(outcome: Outcome, *, attempts: int, left_s: float) -> float | None:
    """Returns the seconds until the next attempt (exponential backoff with jitter), or None after the last attempt."""
    if outcome.is_refusal and attempts >= _MOST_REFUSALS:
        return None
    wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempts - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
    delay = min(outcome.retry_after_s, _LONGEST_WAIT_S) if outcome.retry_after_s is not None else wait
    return delay if delay < left_s else None
