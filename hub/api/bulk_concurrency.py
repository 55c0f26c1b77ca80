"""Limits each DFSP's bulks in a web process: how many bulks are in progress, and how much of the process's time they
use.

A bulk can be several megabytes long. The thread of the bulk's request processes the bulk, and holds a lock for each
item. Each request with a bulk waits for its turn, for at most a few seconds. The hub reads the body only after this
wait (`DFSP_OPEN_BULKS`, `DFSP_BULK_SHARE`).

Answers to bulks have separate counts, because the payer DFSP decides how many bulks the payee DFSP must answer. For
each pair of payee DFSP and payer DFSP, there is a separate limit on the time for answers to bulks. So the bulks of one
payer DFSP never delay the payee DFSP's own bulks, and never delay the payee DFSP's answers to other payer DFSPs. For
each pair, the limit on the time for answers is higher than the limit on the time for the payer DFSP's requests. So an
answer to a bulk always gets its turn. The limits for answers also apply to a payee DFSP's progress reports about a
bulk. If the hub cannot read an answer, or does not know the answered bulk, the answer counts only against the answer's
sender.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from typing import Protocol

from django.conf import settings

from fspiop.errors import ErrorCode, FspiopError
from hub.concurrency_shares import NoPlace, Places, Sizes

_LONGEST_TURN_S = 5.0  # the longest time that a bulk waits for its sender's turn
_LONGEST_WAIT_S = 10.0  # the longest time that an answer waits while too many answers are in progress
_MOST_COUNTED_S = 1.0
# For a bulk of 1,000 transfers, the hub needs 1.9 times as long for the answer as for the request.
_TIME_OF_ANSWERS = 3.0


class Answered(Enum):
    """The kinds of answers: to an open bulk, to an ended bulk, and all other answers."""

    NOTHING = "nothing"  # the hub has no such bulk for this sender, or the answer was faulty
    ENDED_BULK = "ended bulk"  # the answer is late or repeated
    BULK = "bulk"


class Refuse(Protocol):
    def __call__(self, caller: int, name: str, exceeded: str, detail: str) -> FspiopError:
        """Adds the refused request to the metric of the exceeded limit, pauses, and returns the error for the
        sender."""


Ended = Callable[[float, Answered], None]
"""A function to call when a bulk has been processed. Its first argument is the time that the process has spent on the
bulk. Its second argument is the kind of answer, if the bulk's message is an answer."""

_Pair = tuple[int, int | None]  # the ids of the payee DFSP and the payer DFSP; None if the payer DFSP is not proven


class Bulks:
    def __init__(
        self,
        refuse: Refuse,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        noun: str = "bulks",
    ) -> None:
        self._refuse, self._clock, self._pause, self._noun = refuse, clock, pause, noun
        self._guard = threading.Lock()
        self._open: Counter[int] = Counter()
        self._spent_until: dict[int, float] = {}
        self._answers = Places()
        self._answers_spent_until: dict[_Pair, float] = {}
        self._turns: Counter[_Pair] = Counter()  # the number of answers that wait for their turn

    def enter(self, caller: int, name: str) -> Ended:
        """Counts this bulk request as open, until the returned function is called. First waits for the participant's
        turn. Raises FspiopError 2005 with 429 if this participant has too many open bulks or would wait too long.
        Raises FspiopError 2005 with 503 if all participants together have too many open bulks.
        """
        with self._guard:
            wait_s = self._wait_s(self._spent_until.get(caller))
            is_spent, is_its_own = wait_s > _LONGEST_TURN_S, self._open[caller] >= settings.DFSP_OPEN_BULKS
            is_taken = not is_its_own and not is_spent and self._open.total() < settings.WEB_BULKS
            self._open[caller] += is_taken
        if is_its_own:
            raise self._refuse(caller, name, f"{self._noun} at once", f"too many {self._noun} at once")
        if is_spent:
            raise self._refuse(caller, name, self._noun, f"too many {self._noun} in a short time")
        if not is_taken:
            raise self._no_place()
        if wait_s > 0:
            self._pause(wait_s)
        return lambda took_s, _answered: self._leave(caller, took_s)

    def enter_answer(self, caller: int, name: str, payer: int | None) -> Ended:
        """Counts this answer to a bulk as open, until the returned function is called. `payer` is the recipient that
        the answer names.

        First waits for the participant's turn. Then waits until the number of answers in progress is below the limits.
        Raises FspiopError 2005 with 429 if the participant has sent too many late, repeated or faulty answers. Raises
        FspiopError 2005 with 503 if too many answers remain in progress.
        """
        pair = (caller, payer)
        with self._guard:
            wait_s = max(self._wait_s(self._answers_spent_until.get(key)) for key in (pair, (caller, None)))
            is_spent = wait_s > _LONGEST_TURN_S or (wait_s > 0 and self._turns[pair] >= settings.DFSP_OPEN_BULKS)
            self._turns[pair] += wait_s > 0 and not is_spent
        if is_spent:
            raise self._refuse(caller, name, "answers to bulks", "too many late, repeated or faulty answers to bulks")
        if wait_s > 0:
            try:
                self._pause(wait_s)
            finally:
                with self._guard:
                    self._turns[pair] -= 1
                    self._turns += Counter()  # removes pairs without a waiting answer
        held = ExitStack()
        try:
            held.enter_context(self._answers.taken(caller, _sizes(), wait_s=_LONGEST_WAIT_S))
        except NoPlace:
            raise self._no_place() from None

        def leave(took_s: float, answered: Answered) -> None:
            held.close()
            self._charge_answer(caller, payer, took_s, answered)

        return leave

    def _no_place(self) -> FspiopError:
        return FspiopError(ErrorCode.SERVER_BUSY, f"too many {self._noun} wait; try again", http_status=503)

    def _leave(self, caller: int, took_s: float) -> None:
        """Counts the time that the process has spent on a participant's bulk.

        At most one second of this time counts, because a slow bulk perhaps waited for an oracle or a lock.
        """
        with self._guard:
            self._open[caller] -= 1
            self._spent_until[caller] = self._spent(self._spent_until.get(caller), took_s, settings.DFSP_BULK_SHARE)

    def _charge_answer(self, caller: int, payer: int | None, took_s: float, answered: Answered) -> None:
        share = settings.DFSP_BULK_SHARE * (_TIME_OF_ANSWERS if answered is Answered.BULK else 1.0)
        pair = (caller, None if answered is Answered.NOTHING else payer)
        with self._guard:
            self._answers_spent_until[pair] = self._spent(self._answers_spent_until.get(pair), took_s, share)

    def _wait_s(self, spent_until: float | None) -> float:
        return spent_until - self._clock() if spent_until is not None and settings.DFSP_BULK_SHARE else 0.0

    def _spent(self, spent_until: float | None, took_s: float, share: float) -> float:
        now, took_s = self._clock(), min(took_s, _MOST_COUNTED_S)
        if not share:
            return now
        return max(spent_until or 0.0, now - took_s) + took_s / share


def _sizes() -> Sizes:
    """Returns two limits on the number of answers in progress: for one participant, and for all participants together.
    Requests have the same two limits."""
    own, of_all = max(settings.DFSP_OPEN_BULKS, 1), max(settings.WEB_BULKS, 1)
    return Sizes(of_all, shared=of_all, share=own - 1, waiting=2 * of_all, waiting_share=of_all)
