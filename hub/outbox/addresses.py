"""Where each participant's messages go, as registered a second ago at most: what changes is used a second later."""

import time
from collections.abc import Iterable, Sequence

from hub.outbox.store import Claimed
from hub.participants import endpoints, queries

_REMEMBERED_S = 1.0


class Addresses:
    """One courier's memory; used by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, dict[str, str]]] = {}

    def urls_for(self, messages: Sequence[Claimed]) -> list[str | None]:
        """The URL of each message, None where its destination registered none that fits."""
        self._read({message.destination_id for message in messages})
        return [
            endpoints.url_for(self._known[message.destination_id][1], message.method, message.path)
            for message in messages
        ]

    def _read(self, destination_ids: Iterable[int]) -> None:
        now = time.monotonic()
        old = [each for each in destination_ids if self._known.get(each, (0.0,))[0] <= now - _REMEMBERED_S]
        if not old:
            return
        for destination_id, registered in queries.endpoints_of(old).items():
            self._known[destination_id] = (now, registered)
            queries.name_of(destination_id)  # remembered for the log
