"""Notes the open requests of other DFSPs that the hub does not know.

Without mTLS, a DFSP can send a transfer, a bulk or a conversion to the connector alone. The hub then answers each GET
with "not found" until the request expires, which can take days. The hub knows every request that it has forwarded, so
an honest DFSP has no such requests.
"""

from collections import Counter

from fspiop.errors import ErrorCode, FspiopError

_MOST_OF_ONE_DFSP = 100
_ASK_AT_MOST_EVERY_S = 600.0


class UnknownRequests:
    """The requests that the hub does not know, each with its sender."""

    def __init__(self) -> None:
        self._senders: dict[str, str] = {}
        self._counts = Counter[str]()

    def __len__(self) -> int:
        return len(self._senders)

    def note(self, request_id: str, sender: str) -> None:
        """Notes that the hub does not know a request."""
        if request_id not in self._senders:
            self._senders[request_id] = sender
            self._counts[sender] += 1

    def forget(self, request_id: str) -> None:
        """Removes a request that the hub now knows, or that has ended."""
        sender = self._senders.pop(request_id, None)
        if sender is not None:
            self._counts[sender] -= 1
            if not self._counts[sender]:
                del self._counts[sender]

    def check_has_room(self, sender: str) -> None:
        """Raises FspiopError 2005 if this sender has too many open requests that the hub does not know."""
        if self._counts[sender] >= _MOST_OF_ONE_DFSP:
            raise FspiopError(ErrorCode.SERVER_BUSY, http_status=503)

    def longer(self, pause: float, request_id: str, at_most: float) -> float:
        """Returns the next pause before a GET. The pause for a request that the hub does not know can grow longer than
        `at_most`.
        """
        return min(pause * 2, _ASK_AT_MOST_EVERY_S if request_id in self._senders else at_most)
