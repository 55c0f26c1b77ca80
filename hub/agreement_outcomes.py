"""What becomes of a message of the agreement phase (a lookup or a quote), and what every decision needs. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fspiop.errors import ErrorCode, FspiopError
from hub.outbox.messages import HubMessages, IfPending, Outgoing, Recipient
from hub.participants.parties import Party


@dataclass(frozen=True, slots=True)
class Scene:
    """What all decisions of one group share."""

    now: datetime
    hub_name: str
    parties: Mapping[str, Party]  # the active participants of those that the group's messages name, by name
    crowded: Collection[tuple[str, str]]  # (source, destination): too many of the source's messages wait there

    @property
    def hub(self) -> HubMessages:
        return HubMessages(self.hub_name, self.now)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The message is stored, and forwarded to another participant."""

    command: Any
    message: Outgoing


@dataclass(frozen=True, slots=True)
class Repeated:
    """The message is known. Nothing is stored; a request is forwarded again, or gets the stored answer."""

    message: Outgoing | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The message is refused by an error callback to its sender. Nothing is stored."""

    message: Outgoing


@dataclass(frozen=True, slots=True)
class NotObeyed:
    """The message is refused in the response, because its sender gets no callback. Nothing is stored.

    Without an exception: one that an outcome refers to keeps its frames in memory, and with them the message.
    """

    error: ErrorCode
    detail: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The sender has too many messages that wait for this destination. Nothing is stored."""

    destination: str


@dataclass(frozen=True, slots=True)
class AtOracles:
    """Registered oracles must be asked for the DFSP of the alias first. Nothing is stored."""


Outcome = Forwarded | Repeated | Refused | NotObeyed | NoRoom | AtOracles


def message_of(outcome: Outcome) -> Outgoing | None:
    """Returns the message that leaves the hub because of this outcome."""
    return outcome.message if isinstance(outcome, Forwarded | Repeated | Refused) else None


def refused(
    scene: Scene, to: Recipient, error: FspiopError, *, path: str, subject: str, kind: str, if_pending: IfPending
) -> Refused:
    """Returns the refusal by a callback. The sender of the refused message is the source of the callback."""
    body = error.body()
    message = scene.hub.callback(
        to, path + "/error", body, subject=subject, kind=kind, source_id=to.id, if_pending=if_pending
    )
    return Refused(message)
