"""Finds the URLs for messages to participants. Caches the endpoints of each participant until the endpoints change."""

from collections.abc import Sequence

from hub.outbox.claims import Claimed
from hub.participants import endpoint_types_and_urls, queries


class Addresses:
    """A courier's cache of its destinations' endpoints. Do not use one cache in two threads at the same time."""

    def __init__(self) -> None:
        # for each destination: a version number, and the endpoints; the endpoints are never older than this version
        self._known: dict[int, tuple[int, dict[str, str]]] = {}

    def urls_for(self, messages: Sequence[Claimed]) -> list[str | None]:
        """Returns a URL for each message, or None if the destination has no endpoint for this kind of message."""
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
            queries.name_of(destination_id)  # caches the participant's name for later log lines
