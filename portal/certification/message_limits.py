"""The limit for the messages that one DFSP sends during its run."""

import asyncio

from hub.recordings.recorder import MOST_OCTETS_PER_RUN, MOST_PER_RUN


class MessageLimit:
    """Counts the messages of one DFSP. The certifier counts a message when it reads the recorded request, and once more
    when the hub delivers the message.

    A process of the hub records `MOST_PER_RUN` messages of a DFSP, and no more. So the certifier never judges a DFSP
    of which the hub has left out a message.
    """

    def __init__(self) -> None:
        self.is_exceeded = asyncio.Event()
        self._messages = self._octets = 0

    def count(self, octets: int) -> None:
        self._messages += 1
        self._octets += octets
        if self._messages >= MOST_PER_RUN or self._octets >= MOST_OCTETS_PER_RUN:
            self.is_exceeded.set()
