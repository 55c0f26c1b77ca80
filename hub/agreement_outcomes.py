"""The outcomes of messages of the agreement phase (lookups and quotes), and the data that every decision needs.

Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fspiop.errors import ErrorCode, FspiopError
from hub.outbox.messages import HubMessages, IfPending, Outgoing, Recipient
from hub.participants.parties import Party


@dataclass(frozen=True, slots=True)
class Scene:
    """The data that all decisions of one group use."""

    now: datetime
    hub_name: str
    parties: Mapping[str, Party]  # by name, the active participants among those that the group's messages name
    # pairs (source, destination): too many messages of the source wait at the destination
    crowded: Collection[tuple[str, str]]
    is_alone: bool = False  # whether the group has only one message, in the thread of its request

    @property
    def hub(self) -> HubMessages:
        return HubMessages(self.hub_name, self.now)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The hub stores the message and forwards it to another participant."""

    command: Any
    message: Outgoing


@dataclass(frozen=True, slots=True)
class Repeated:
    """The message repeats an earlier message. The hub stores nothing about the message.

    If the message is a repeated request, the hub forwards it again, or sends the stored answer to the requester.
    """

    message: Outgoing | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub refuses the message by an error callback to its sender. The hub stores nothing about the message."""

    message: Outgoing


@dataclass(frozen=True, slots=True)
class NotObeyed:
    """The hub refuses the message in the HTTP response, because its sender gets no callback. The hub stores nothing
    about the message.

    The outcome of a refused message contains no exception. An exception would keep its stack frames in memory, and the
    frames would keep the message.
    """

    error: ErrorCode
    detail: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The sender has caused too many messages that wait for this destination. The hub stores nothing about the
    message."""

    destination: str


@dataclass(frozen=True, slots=True)
class AtOracles:
    """The hub must first send a request to registered oracles, to find the DFSP of the alias. The hub stores nothing
    about the message."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The message repeats an earlier message that is too large for this group. The repeated message must be a separate
    group. The hub stores nothing about the message."""


Outcome = Forwarded | Repeated | Refused | NotObeyed | NoRoom | AtOracles | Alone


def message_of(outcome: Outcome) -> Outgoing | None:
    """Returns the message that the hub sends after this outcome of a decision."""
    return outcome.message if isinstance(outcome, Forwarded | Repeated | Refused) else None


def refused(
    scene: Scene, to: Recipient, error: FspiopError, *, path: str, subject: str, kind: str, if_pending: IfPending
) -> Refused:
    """Returns the outcome for a message that the hub refuses by a callback. The outbox counts the callback among the
    messages that the refused message's sender has caused."""
    body = error.body()
    message = scene.hub.callback(
        to, path + "/error", body, subject=subject, kind=kind, source_id=to.id, if_pending=if_pending
    )
    return Refused(message)
