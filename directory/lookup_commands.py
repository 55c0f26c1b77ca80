"""The messages of a lookup, and the database rows for the decisions about these messages. Plain records."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from directory.aliases import Alias, Registration
from fspiop.errors import FspiopError
from hub.outbox.messages import ReceivedMessage, Recipient
from hub.participants.participant_checks import Party

LookupKey = tuple[int, str, int]
"""The identity of a lookup: the requester's id, the subject of the lookup's messages, and the id of the DFSP that
received the lookup."""


@dataclass(frozen=True, slots=True)
class AskParty:
    """GET /parties: a requester's lookup of an alias.

    FSPIOP-Destination names the DFSP of the alias. Without the header FSPIOP-Destination, the hub finds the DFSP.
    """

    requester: Recipient
    alias: Alias
    destination: str | None  # FSPIOP-Destination
    owner: str | None  # the DFSP of the alias, if a registered oracle has named one
    message: ReceivedMessage
    path: str  # the path of callbacks
    forwarded_path: str  # the path with the query, in the signer's encoding
    subject: str  # the subject of this lookup's messages
    refusal_subject: str

    @property
    def sender_id(self) -> int:
        return self.requester.id

    @property
    def key(self) -> str:
        return self.subject

    @property
    def names(self) -> Collection[str]:
        named = self.destination or self.owner
        return {self.requester.name, named} if named else {self.requester.name}


@dataclass(frozen=True, slots=True)
class AnswerParty:
    """PUT /parties or PUT /parties/…/error: a DFSP's answer to a lookup.

    FSPIOP-Destination names the requester of the lookup.
    """

    sender_id: int
    destination: str | None
    message: ReceivedMessage
    path: str  # the path to which the hub forwards the answer
    subject: str  # the subject of the lookup's messages

    @property
    def key(self) -> str:
        """Returns the key of an answer. This key differs from the key of the lookup, and from the keys of answers that
        other DFSPs send.

        Answers and lookups have different keys. If answers and lookups had equal keys, a DFSP could send unrequested
        answers to delay another DFSP's lookup. An answer never belongs to a lookup in the same group, because the hub
        has not yet sent that lookup to a DFSP.
        """
        return f"{self.subject} by {self.sender_id}"

    @property
    def names(self) -> Collection[str]:
        return {self.destination} if self.destination else ()


@dataclass(frozen=True, slots=True)
class RegisteredOracle:
    """A registered oracle, with the data that a decision needs. With this data, the hub decides whether it sends a
    request to the oracle."""

    currency: str
    is_default: bool


class Gate(Protocol):
    """The scheme's rules, and the data that the rules need for the lookups of one group (`directory.rules_gate`)."""

    def refusal(self, command: AskParty, owner: str) -> FspiopError | None:
        """Checks a lookup against the scheme's rules, after the lookup has passed all other checks. Returns an error if
        the rules refuse the lookup."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The database rows for the decisions about a group's lookups and answers."""

    oracles: Mapping[str, Sequence[RegisteredOracle]]  # the registered oracles by type
    own_types: Collection[str]  # the types for which the hub's own oracle answers
    registrations: Mapping[Alias, Sequence[Registration]]  # registrations in the hub's own oracle, the oldest first
    owners: Mapping[str, Party]  # the active participants that have these registrations
    answered: Collection[LookupKey]  # the lookups whose answers are in this group
    gate: Gate | None = None  # None if no rules are active
