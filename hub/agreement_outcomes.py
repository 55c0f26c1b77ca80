"""The possible outcomes of a message of the agreement phase (lookups and quotes), and the data that every decision
needs.

Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fspiop.errors import ErrorCode, FspiopError
from hub.outbox.messages import HubMessages, IfPending, Outgoing, Recipient
from hub.participants.participant_checks import Party


@dataclass(frozen=True, slots=True)
class Scene:
    """The data that all decisions of one group use."""

    now: datetime
    hub_name: str
    # the active participants that the group's messages mention, by name
    parties: Mapping[str, Party]
    # the pairs (source, destination) with too many waiting messages from the source to the destination
    crowded: Collection[tuple[str, str]]
    is_alone: bool = False  # whether the message has no group, and is decided in the thread of its own HTTP request

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

    If the message is a request, the hub forwards it again, or sends the stored answer to the requester.
    """

    message: Outgoing | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub refuses the message and sends an error callback to the message's sender. The hub stores nothing about the
    message."""

    message: Outgoing


@dataclass(frozen=True, slots=True)
class RefusedAndStored:
    """The scheme's rules refuse the request. The hub stores the request, with its own refusal as the answer, and sends
    an error callback to the requester. People find the request later, and a repeated request gets the same refusal."""

    command: Any
    payee_id: int
    answer: Any  # the command that stores the refusal
    message: Outgoing


@dataclass(frozen=True, slots=True)
class NotObeyed:
    """The hub refuses the message in the HTTP response, because the message's sender gets no callback. The hub stores
    nothing about the message. This class contains an error code instead of an exception. An exception would keep its
    stack frames in memory, and these frames would keep the message in memory.
    """

    error: ErrorCode
    detail: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Too many messages from the sender already wait in the outbox for this destination. The hub stores nothing about
    the new message."""

    destination: str


@dataclass(frozen=True, slots=True)
class AtOracles:
    """Before the hub can decide about this message, it must look up the alias's DFSP at registered oracles. The hub
    stores nothing about the message."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The message repeats an earlier message that is too large for this group. The engine must decide the repeated
    message in a group of its own. The hub stores nothing about the message."""


Outcome = Forwarded | Repeated | Refused | RefusedAndStored | NotObeyed | NoRoom | AtOracles | Alone


def message_of(outcome: Outcome) -> Outgoing | None:
    """Returns the message that the hub sends for this outcome, or None."""
    return outcome.message if isinstance(outcome, Forwarded | Repeated | Refused | RefusedAndStored) else None


def refused(
    scene: Scene, to: Recipient, error: FspiopError, *, path: str, subject: str, kind: str, if_pending: IfPending
) -> Refused:
    """Returns the outcome for a message that the hub refuses by a callback. In the outbox, the sender of the refused
    message is the source of this callback."""
    body = error.body()
    message = scene.hub.callback(
        to, path + "/error", body, subject=subject, kind=kind, source_id=to.id, if_pending=if_pending
    )
    return Refused(message)
