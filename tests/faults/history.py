"""What everybody in a chaos run did and heard: the notes that the checkers compare with the database."""

import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

COMMITTED, ABORTED = "COMMITTED", "ABORTED"
# Said about a message that changed nothing, not about the transfer's end.
_ABOUT_A_MESSAGE = {"3106", "3100"}
_UNDER_WAY_S = 0.5  # what had been committed shortly before a fault is hit by it as well


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
    request: bytes  # empty when it is not sent: a long run has a hundred thousand of them
    alias: str = ""  # of the payee, where it is looked up first
    post_answers: list[int] = field(default_factory=list)
    put_answers: list[int] = field(default_factory=list)
    prepares: int = 0  # how often the payee was asked
    begun_at: float = 0.0  # these four by `time.time()`, 0.0 for never
    acknowledged_at: float = 0.0
    asked_at: float = 0.0  # the payee, for the first time
    told_at: float = 0.0  # the payer, for the first time
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


@dataclass(frozen=True)
class Fault:
    """Harm that was done, by `time.monotonic()`."""

    name: str
    began_at: float
    healed_at: float  # from when recovery counts


@dataclass(frozen=True)
class Misbehaviour:
    """A time, by `time.time()`, in which some participants misbehaved and nothing else was wrong."""

    name: str
    who: frozenset[str]  # payments that none of these pays or is paid must go on as ever
    since: float
    until: float


class History:
    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.strange: list[str] = []  # answers that a hub must never give
        self.windows_closed = 0
        self.answers = Counter[int]()  # of the hub, by HTTP status; 0 where there was none
        self.hurt = Counter[str]()  # how often a DFSP misbehaved, by how
        self._taken: list[tuple[float, float]] = []  # accepted requests: when answered, when sent; in that order
        self.latest_taken = 0.0  # when the latest of them was sent
        self.faults: list[Fault] = []
        self.misbehaviours: list[Misbehaviour] = []
        self.diverted: dict[str, str] = {}  # payments that somebody led elsewhere or ended who had no part in them
        self.not_found: list[str] = []  # payments whose payee no lookup found

    def taken(self, sent_at: float) -> None:
        """The hub accepted a request that was sent then."""
        self._taken.append((time.monotonic(), sent_at))
        self.latest_taken = max(self.latest_taken, sent_at)

    def was_taken_after(self, moment: float) -> bool:
        """Whether a request that was sent after this moment was accepted."""
        return self.latest_taken >= moment

    def open_payments(self, payer: str) -> list[str]:
        """The ids of what a DFSP has begun to pay and has been told no end of."""
        return [p.id for p in self.payments.values() if p.payer == payer and p.begun_at and not p.payer_heard]

    def recovery_times(self) -> list[float]:
        """For each fault: from its end to the first answer to a request that was sent after it."""
        times = []
        for fault in self.faults:
            at = fault.healed_at
            after = islice(
                self._taken, bisect_left(self._taken, (at,)), None
            )  # what was answered before was sent before
            times.append(next((answered - at for answered, sent in after if sent >= at), float("inf")))
        return times

    def prepare_lags(self) -> list[float]:
        """For each fault, until the next one began: how long at most after a payer's 202 the payee was asked."""
        payments = self.payments.values()
        return self._longest((p.acknowledged_at, p.asked_at) for p in payments if p.acknowledged_at and p.asked_at)

    def expiry_lags(self) -> list[float]:
        """For each fault, until the next one began: how long at most after an expiration the payer was told of it."""
        silent = (p for p in self.payments.values() if p.plan == "silent")
        return self._longest((p.expires_at, p.told_at) for p in silent if p.told_at > p.expires_at)

    def _longest(self, spans: Iterable[tuple[float, float]]) -> list[float]:
        """Of the spans that began from just before a fault on until the next one, or 0; spans by `time.time()`."""
        wall = time.time() - time.monotonic()
        starts = [wall + fault.began_at - _UNDER_WAY_S for fault in self.faults]
        longest = [0.0] * len(starts)
        for begin, end in spans:
            number = bisect_right(starts, begin) - 1
            if number >= 0:
                longest[number] = max(longest[number], end - begin)
        return longest
