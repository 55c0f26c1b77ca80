"""What leaves the hub: one record for one HTTP request to a participant. Plain, so that pure code can make it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fspiop import iso20022, strictjson, versions
from fspiop.resources import has_iso20022_bodies
from fspiop.time import parse_http_date

HUB = 0
"""The `source_id` of a message that no participant's request is charged for."""

END_KINDS = frozenset(
    {
        "end-to-payer",
        "end-to-payee",
        "bulk-end-to-payer",
        "bulk-end-to-payee",
        "fx-end-to-initiator",
        "fx-end-to-fxp",
    }
)
"""The kinds of messages that report the end of a payment: sent whatever is answered, never refused for lack of room."""


class IfPending(StrEnum):
    """What becomes of a message where one of its path, subject and kind to its destination waits already."""

    ADD = "add"  # both are delivered, in order
    RENEW = "renew"  # the new one takes the place of the one that waits: an answer about a state that may have changed
    SKIP = "skip"  # the one that waits reports the same


@dataclass(slots=True)
class Outgoing:
    """A callback or forwarded request.

    `path` begins at the resource ("/transfers/..."), `subject` is the id it is about: messages of one subject to one
    destination are delivered in order. `kind` says what it reports ("prepare", "end-to-payer", ...). A message with
    `reply_to_id` is a request whose answer that participant waits for: if it cannot be delivered, the participant gets
    PUT `error_path` with code 1001. `source_id` is the participant whose request caused the message: how many of its
    messages may wait is bounded, and its messages share a destination's connections fairly with those of others.
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
    source_id: int = HUB
    if_pending: IfPending = IfPending.ADD


def caused_by(source_id: int, message: Outgoing, if_pending: IfPending = IfPending.ADD) -> Outgoing:
    """The message, charged to the participant whose request caused it."""
    message.source_id, message.if_pending = source_id, if_pending
    return message


def passed_on(
    *,
    headers: Mapping[str, str],
    body: bytes,
    to_id: int,
    to: str,
    method: str,
    path: str,
    subject: str,
    kind: str,
    reply_to_id: int | None = None,
    error_path: str | None = None,
) -> Outgoing:
    """A participant's own message, for another participant: byte for byte, with its headers and its signature.

    Only FSPIOP-Destination is added where the sender could not know it (FSPIOP API v1.1, section 3.2.3.5), and not to
    a signed message: its receiver refuses a destination that the signature does not protect (API Signature v1.1, 3.2).
    """
    is_signed = "fspiop-signature" in headers
    return Outgoing(
        destination_id=to_id,
        method=method,
        path=path,
        headers={**headers} if is_signed else {"fspiop-destination": to, **headers},
        body=body,
        subject=subject,
        kind=kind,
        signed_by_hub=False,
        reply_to_id=reply_to_id,
        error_path=error_path,
    )


def from_hub(
    *,
    hub_name: str,
    date: str,
    to_id: int,
    to: str,
    method: str,
    path: str,
    version: str,
    body: Mapping[str, object],
    subject: str,
    kind: str,
) -> Outgoing:
    """What the hub says in its own name; it is signed on its way out. `date` is an IMF-fixdate.

    `body` is the FSPIOP API's own, whichever form the `version` has: who speaks ISO 20022 is told in that.
    """
    resource = path.split("/", 2)[1]
    if versions.is_iso20022(version) and has_iso20022_bodies(resource):
        body = iso20022.write(body, path=path, date=parse_http_date(date), source=hub_name, destination=to)
    return Outgoing(
        destination_id=to_id,
        method=method,
        path=path,
        headers={
            "content-type": versions.content_type(resource, version),
            "date": date,
            "fspiop-source": hub_name,
            "fspiop-destination": to,
        },
        body=strictjson.canonical(body),
        subject=subject,
        kind=kind,
        signed_by_hub=True,
    )
