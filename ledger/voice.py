"""What transfers and conversions have in common in what is told about them. Pure."""

from collections.abc import Mapping
from datetime import datetime

from fspiop import time
from fspiop.errors import ErrorCode, error_body
from hub.outbox.messages import END_KINDS, HUB, IfPending, Outgoing, caused_by, from_hub, passed_on
from ledger.messages import Wire


def forward(wire: Wire, subject: str, to_id: int, to: str, method: str, path: str, kind: str) -> Outgoing:
    """A DFSP's own message for another, byte for byte."""
    return passed_on(
        headers=wire.headers,
        body=wire.body,
        to_id=to_id,
        to=to,
        method=method,
        path=path,
        subject=subject,
        kind=kind,
    )


class Voice:
    """What the hub says in its own name at one moment."""

    def __init__(self, name: str, date: str) -> None:
        self.name = name
        self.date = date

    def say(
        self,
        subject: str,
        to_id: int,
        to: str,
        method: str,
        path: str,
        version: str,
        body: Mapping[str, object],
        kind: str,
    ) -> Outgoing:
        return from_hub(
            hub_name=self.name,
            date=self.date,
            to_id=to_id,
            to=to,
            method=method,
            path=path,
            version=version,
            body=body,
            subject=subject,
            kind=kind,
        )


def cause(code: str, description: str) -> dict[str, object]:
    """The extension list that says why something was aborted."""
    return {"extension": [{"key": "cause", "value": f"{code}: {description}"[:128]}]}


def unknown_answer(
    resource: str,
    subject: str,
    *,
    asker_id: int,
    asker: str,
    version: str,
    hub_name: str,
    now: datetime,
    is_known: bool,
) -> Outgoing:
    """The answer to GET /{resource}/{ID} of what is not there, or is between others."""
    error = ErrorCode.CLIENT_ERROR if is_known else ErrorCode.TRANSFER_ID_NOT_FOUND
    description = error.text if is_known else f"{error.text} - Provided Transfer ID was not found on the server."
    body = error_body(error.code, description)
    voice = Voice(hub_name, time.http_date(now))
    path = f"/{resource}/{subject}/error"
    return repeated(asker_id, voice.say(subject, asker_id, asker, "PUT", path, version, body, "state"))


def repeated(asker_id: int, message: Outgoing) -> Outgoing:
    """An answer that its asker can ask for again and again: one of them waits, with the newest state.

    An end that waits already says the same in the words of the DFSP that brought it about; it stays.
    """
    is_end = message.kind in END_KINDS
    return caused_by(HUB if is_end else asker_id, message, IfPending.SKIP if is_end else IfPending.RENEW)
