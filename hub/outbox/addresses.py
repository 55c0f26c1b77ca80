"""Finds the URLs for messages to participants. This module caches participants' endpoints until they change."""

from collections.abc import Sequence

from hub.outbox.claims import Claimed
from hub.participants import endpoint_types_and_urls, queries


class Addresses:
    """One courier's cache of the endpoints of its destinations. Only one thread may use this cache of endpoints at a
    time."""

    def __init__(self) -> None:
        # by destination: the version of the endpoints, and the endpoints, which are read after the version
        self._known: dict[int, tuple[int, dict[str, str]]] = {}

    def urls_for(self, messages: Sequence[Claimed]) -> list[str | None]:
        """Returns the URL for each message. The URL is None if the message's destination has registered no endpoint
        that fits."""
        self._read({message.destination_id: message.endpoints_version for message in messages})
        return [
            endpoint_types_and_urls.url_for(self._known[message.destination_id][1], message.method, message.path)
            for message in messages
        ]

    def _read(self, versions: dict[int, int]) -> None:
        old = [each for each, version in versions.items() if self._known.get(each, (None,))[0] != version]
        if not old:
            return
        for destination_id, registered in queries.endpoints_of(old).items():
            self._known[destination_id] = (versions[destination_id], registered)
            queries.name_of(destination_id)  # this call caches the participant's name, which log lines need later
