"""The messages that the hub sends. Each message is a record of one HTTP request to a participant.

Code without access to the database and the network can create these records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from fspiop import iso20022, strictjson, versions
from fspiop.errors import error_body
from fspiop.resources import has_iso20022_bodies
from fspiop.time import http_date, parse_http_date

HUB = 0
"""The `source_id` of a message if the hub, and not a participant, counts as the cause of the message."""

END_KINDS = frozenset(
    {
        "end-to-payer",
        "end-to-payee",
        "bulk-end-to-payer",
        "bulk-end-to-payee",
        "fx-end-to-initiator",
        "fx-end-to-fxp",
        # Each of these messages is also a PUT about a transfer, a bulk or a conversion. No other message reports the
        # same content.
        "fx-answer",
        "transfer-refusal",
        "bulk-refusal",
        "fx-refusal",
    }
)
"""The kinds of messages that report the outcome of a payment.

After any refusal, the hub sends such a message again. The outbox always accepts such a message.
"""

BEFORE_ENDS = frozenset({"prepare", "state", "bulk-prepare", "bulk-state", "fx-prepare"})
"""The kinds of messages that are sent before the report of a payment's end. The report waits until such a message is
delivered."""


class IfPending(StrEnum):
    """What happens to a new message if a message with the same path, subject, kind and destination already waits."""

    ADD = "add"  # both messages are delivered, in order
    RENEW = "renew"  # the new message replaces the waiting message, because the reported state has perhaps changed
    SKIP = "skip"  # the new message is dropped, because the waiting message reports the same content


@dataclass(slots=True)
class Outgoing:
    """A message of the hub: a callback or a forwarded request.

    - `path` begins with the resource's name ("/transfers/...").
    - `subject` is the id that the message is about. Messages of one subject to one destination are delivered in order.
    - `kind` names the message's purpose ("prepare", "end-to-payer", ...).
    - `reply_to_id` is set for requests, and is the participant that waits for the answer. If the request cannot be
      delivered, this participant receives PUT `error_path` with code 1001.
    - `source_id` is the participant whose request caused the message. The number of waiting messages of each source is
      limited. The hub divides its connections to a destination fairly among the sources.
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


@dataclass(slots=True)
class ReceivedMessage:
    """A message exactly as a participant sent it to the hub. The hub forwards the body byte for byte, and stores the
    message as evidence."""

    body: bytes
    headers: dict[str, str]


class Destination(Protocol):
    """A participant to which the hub sends a message."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...


@dataclass(slots=True)
class Recipient:
    """The participant that receives a callback from the hub itself, and the API version of the callback."""

    id: int
    name: str
    version: str


def forward(
    message: ReceivedMessage,
    to: Destination,
    method: str,
    path: str,
    *,
    subject: str,
    kind: str,
    source_id: int = HUB,
    if_pending: IfPending = IfPending.ADD,
    reply_to_id: int | None = None,
    error_path: str | None = None,
) -> Outgoing:
    """Returns the message that forwards a participant's message. The body, the headers and the signature stay
    unchanged. If the sender could not know the recipient, the hub adds the header FSPIOP-Destination (FSPIOP API v1.1,
    section 3.2.3.5). But the hub adds nothing to a signed message. The recipient would refuse the added header, because
    the signature does not cover this header (API Signature v1.1, 3.2).
    """
    headers = message.headers
    is_signed = "fspiop-signature" in headers
    return Outgoing(
        destination_id=to.id,
        method=method,
        path=path,
        headers={**headers} if is_signed else {"fspiop-destination": to.name, **headers},
        body=message.body,
        subject=subject,
        kind=kind,
        signed_by_hub=False,
        reply_to_id=reply_to_id,
        error_path=error_path,
        source_id=source_id,
        if_pending=if_pending,
    )


class HubMessages:
    """Makes callbacks from the hub itself. All callbacks that one object makes have the same date. A courier signs the
    callbacks when it sends them.
    """

    def __init__(self, hub_name: str, now: datetime) -> None:
        self._hub_name = hub_name
        self._date = http_date(now)

    def has_sent(self, headers: Mapping[str, str]) -> bool:
        """Returns whether these headers belong to a message that the hub itself wrote."""
        return headers.get("fspiop-source") == self._hub_name

    def callback(
        self,
        to: Recipient,
        path: str,
        body: Mapping[str, object],
        *,
        subject: str,
        kind: str,
        method: str = "PUT",
        source_id: int = HUB,
        if_pending: IfPending = IfPending.ADD,
    ) -> Outgoing:
        """Returns a callback.

        `body` is in the plain form of the FSPIOP API. If the recipient uses ISO 20022, the method converts the body.
        """
        resource = path.split("/", 2)[1]
        if versions.is_iso20022(to.version) and has_iso20022_bodies(resource):
            date = parse_http_date(self._date)
            body = iso20022.write(body, path=path, date=date, source=self._hub_name, destination=to.name)
        return Outgoing(
            destination_id=to.id,
            method=method,
            path=path,
            headers={
                "content-type": versions.content_type(resource, to.version),
                "date": self._date,
                "fspiop-source": self._hub_name,
                "fspiop-destination": to.name,
            },
            body=strictjson.canonical(body),
            subject=subject,
            kind=kind,
            signed_by_hub=True,
            source_id=source_id,
            if_pending=if_pending,
        )

    def error(self, to: Recipient, path: str, code: str, text: str, *, subject: str, kind: str) -> Outgoing:
        return self.callback(to, path, error_body(code, text), subject=subject, kind=kind)


def as_answer(message: Outgoing) -> Outgoing:
    """Marks the message as an answer. Requesters sometimes repeat a request, so a second answer to the same request can
    arrive while the first answer waits. The newer answer then replaces the waiting answer. If both answers report a
    payment's end, the hub does not replace the waiting answer, but drops the new answer. Both messages have the same
    content, but the waiting message comes from the DFSP that ended the payment.
    """
    is_end = message.kind in END_KINDS
    message.source_id = HUB if is_end else message.destination_id
    message.if_pending = IfPending.SKIP if is_end else IfPending.RENEW
    return message
