"""What leaves the hub: one record for one HTTP request to a participant. Plain, so that pure code can make it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Outgoing:
    """A callback or forwarded request.

    `path` begins at the resource ("/transfers/..."), `subject` is the id it is about: messages of one subject to one
    destination are delivered in order. `kind` says what it tells ("prepare", "end-to-payer", ...). A message with
    `reply_to_id` is a request that somebody waits for: where it can not be delivered, that participant is told by
    PUT `error_path` with code 1001.
    """

    destination_id: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    subject: str
    kind: str
    signed_by_hub: bool
    reply_to_id: int | None = None
    error_path: str | None = None
