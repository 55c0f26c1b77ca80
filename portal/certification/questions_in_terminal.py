"""Asks the person at the terminal which state a DFSP shows for a payment (`portal.certification.outcomes_by_hand`)."""

import os
import queue
import select
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from django.db import connection

from portal.certification import outcomes_by_hand
from portal.certification.models import Certification

_LOOKS_EVERY_S = 0.2
STATES = {"paid": "COMMITTED", "failed": "ABORTED", "open": "OPEN"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question about the payment of one case."""

    certification: Certification
    case: str
    text: str


class Questions:
    """While the `with` block runs, asks questions one after the other, and stores the answers.

    If there is no input, a person can answer on the page of the certification. `paused` pauses other output.
    """

    def __init__(
        self, say: Callable[[str], None], paused: Callable[[], AbstractContextManager[object]], *, actor: str
    ) -> None:
        self._say, self._paused, self._actor = say, paused, actor
        self._input = _input()
        self._waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
        self._has_ended = threading.Event()
        self._read = b""
        self._thread = threading.Thread(target=self._run, name="certification-questions", daemon=True)

    def __enter__(self) -> "Questions":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def ask(self, question: Question) -> None:
        self._waiting.put(question)

    def _run(self) -> None:
        while not self._has_ended.is_set():
            with suppress(queue.Empty):
                question = self._waiting.get(timeout=_LOOKS_EVERY_S)
                with self._paused():
                    self._ask(question)
                connection.close()

    def _ask(self, question: Question) -> None:
        """Repeats the question until the answer is one of the choices, or until the input ends."""
        line: str | None = ""
        while line is not None and line not in STATES:
            self._say(f"{question.text} Enter {', '.join(STATES)}:")
            line = self._line(question)
        if line is not None:
            outcomes_by_hand.report(question.certification, question.case, state=STATES[line], actor=self._actor)

    def _line(self, question: Question) -> str | None:
        """Returns the next line of the input. Returns None if the input has ended, or if the case no longer waits for
        an answer."""
        while b"\n" not in self._read:
            if self._input is None or not outcomes_by_hand.is_awaited(question.certification, question.case):
                return None
            if select.select([self._input], [], [], _LOOKS_EVERY_S)[0]:
                part = os.read(self._input, 1024)
                if not part:
                    return None
                self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace").strip().lower()


def _input() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # the process has no input
        return None
