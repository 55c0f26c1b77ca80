"""What everybody in a chaos run did and heard: the notes that the checkers compare with the database."""

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

COMMITTED, ABORTED = "COMMITTED", "ABORTED"
# Said about a message that changed nothing, not about the transfer's end.
_ABOUT_A_MESSAGE = {"3106", "3100"}


@dataclass(slots=True)
class Payment:
    """One transfer as its payer means it. `plan` says what the payee will do; `twist` what the payer does besides."""

    id: str
    payer: str
    payee: str
    amount: int  # whole currency units
    plan: str
    twist: str
    expires_at: float
    request: bytes  # empty when it is not sent any more: a long run has a hundred thousand of them
    post_answers: list[int] = field(default_factory=list)
    put_answers: list[int] = field(default_factory=list)
    prepares: int = 0  # how often the payee was asked
    payer_heard: list[str] = field(default_factory=list)
    payee_heard: list[str] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        return 202 in self.post_answers

    @property
    def was_unknown(self) -> bool:
        """Whether its payer had, at some time, no answer or a 5xx."""
        return any(status != 202 for status in self.post_answers)

    @property
    def payer_ends(self) -> set[str]:
        return set(ends_in(self.payer_heard))

    @property
    def payee_ends(self) -> set[str]:
        return set(ends_in(self.payee_heard))


def ends_in(heard: list[str]) -> list[str]:
    """The ends that callbacks told: 'COMMITTED', or 'ABORTED' for any error about the transfer itself."""
    ends = []
    for word in heard:
        if word in (COMMITTED, ABORTED):
            ends.append(word)
        elif word.startswith("error ") and word[6:] not in _ABOUT_A_MESSAGE:
            ends.append(ABORTED)
    return ends


class History:
    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.strange: list[str] = []  # answers that a hub must never give
        self.windows_closed = 0
        self.answers = Counter[int]()  # of the hub, by HTTP status; 0 where there was none
        self.hurt = Counter[str]()  # how often a DFSP misbehaved, by how
        self._taken: list[tuple[float, float]] = []  # accepted requests: when answered, when sent; in that order
        self.latest_taken = 0.0  # when the latest of them was sent
        self.faults: list[tuple[str, float]] = []  # name, and from when recovery counts

    def taken(self, sent_at: float) -> None:
        """The hub accepted a request that was sent then."""
        self._taken.append((time.monotonic(), sent_at))
        self.latest_taken = max(self.latest_taken, sent_at)

    def was_taken_after(self, moment: float) -> bool:
        """Whether a request that was sent after this moment was accepted."""
        return self.latest_taken >= moment

    def recovery_times(self) -> list[float]:
        """For each fault: from its end to the first answer to a request that was sent after it."""
        times = []
        for _, at in self.faults:
            after = islice(
                self._taken, bisect_left(self._taken, (at,)), None
            )  # what was answered before was sent before
            times.append(next((answered - at for answered, sent in after if sent >= at), float("inf")))
        return times
