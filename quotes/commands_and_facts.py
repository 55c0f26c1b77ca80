"""The messages about agreements, and the database rows for decisions about these messages. This module contains only
plain records, and does not use Django."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.fx_quotes import FxQuotePost
from fspiop.bodies.quotes import QuotePost
from fspiop.errors import ErrorCode, FspiopError
from hub.outbox.messages import ReceivedMessage, Recipient


class State(StrEnum):
    """The states of a quote of any kind, as `quotes.models.Agreement` stores them."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


@dataclass(slots=True)
class AgreementMessage(ReceivedMessage):
    """A message about an agreement, the message's sender, and the digest of the message's parsed content."""

    sender_id: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class AskTerms:
    """A request for terms, sent by POST /quotes, POST /bulkQuotes or POST /fxQuotes.

    Some elements of the message name the recipient. `named` maps the path of each of these elements to the name
    in the element. Each element of the list `currencies` is a set of currencies. The payee must have an account in at
    least one currency of each set in `currencies`. Each kind of agreement has some columns of its own. `columns`
    contains the values of these columns. `details` is the parsed message, which the scheme's rules read.
    """

    resource: str  # the first part of the path, such as quotes
    agreement_id: str
    requester: Recipient
    message: AgreementMessage
    to: str | None
    named: Mapping[str, str | None]
    currencies: Sequence[tuple[str, ...]]
    expires_at: datetime | None
    columns: Mapping[str, Any]
    details: QuotePost | BulkQuotePost | FxQuotePost | None = None

    @property
    def sender_id(self) -> int:
        return self.requester.id

    @property
    def key(self) -> str:
        return f"{self.resource}/{self.agreement_id}"

    @property
    def names(self) -> Collection[str]:
        return {self.requester.name, self.to} if self.to else {self.requester.name}


@dataclass(frozen=True, slots=True)
class GiveTerms:
    """An answer to a request for terms, sent by PUT /quotes/{ID}, PUT /bulkQuotes/{ID} or PUT /fxQuotes/{ID}. A refusal
    is sent by PUT to the same path with /error at the end."""

    resource: str
    agreement_id: str
    sender: Recipient
    message: AgreementMessage
    state: State  # ACCEPTED or REJECTED
    not_found: ErrorCode  # the error for a sender that is not a party to the agreement
    columns: Mapping[str, Any]
    expires_at: datetime | None = None  # the time at which the terms expire

    @property
    def sender_id(self) -> int:
        return self.sender.id

    @property
    def key(self) -> str:
        return f"{self.resource}/{self.agreement_id}"

    @property
    def names(self) -> Collection[str]:
        return ()  # an answer goes to the agreement's parties even if the parties are not active


AgreementCommand = AskTerms | GiveTerms


@dataclass(frozen=True, slots=True)
class Side:
    """A party of an agreement: the payer or the payee."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The present state and the parties of a stored agreement.

    A message names an agreement. To decide the message, the hub reads the agreement's state and parties.
    """

    state: str
    payer: Side
    payee: Side
    request_digest: bytes
    response_digest: bytes | None
    octets: int = 0  # the size of the stored message that the hub sends for a repeated request
    kept: bytes | None = None  # stored until the answer comes: the facts and the verdict of the scheme's rules

    @property
    def is_refused_by_rules(self) -> bool:
        """Whether the hub refused the request by the scheme's rules, so that the payee never received the request."""
        return self.state == State.REJECTED and self.response_digest == self.request_digest


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored agreement that the hub reads when a request is repeated. The record contains either the stored request
    or the stored answer."""

    pk: str
    resource: str
    not_found: ErrorCode
    state: str
    payer: Side
    payee: Side
    expires_at: datetime | None
    request: bytes | None  # set only while the agreement waits for its answer
    request_headers: Mapping[str, str]
    response: bytes | None
    response_headers: Mapping[str, str] | None


class Gate(Protocol):
    """The scheme's rules, and the data that the rules need to judge the new requests of a group
    (`quotes.rules_gate`)."""

    def fault(self, command: AskTerms) -> FspiopError | None:
        """Returns an error if the rules cannot read the request for terms, for example because an amount is too
        large."""

    def refusal(self, command: AskTerms) -> FspiopError | None:
        """After a request for terms has passed the hub's checks, judges the request by the scheme's rules. Returns an
        error if the rules refuse the request for terms."""

    def refusal_of_terms(self, command: GiveTerms, kept: bytes | None) -> FspiopError | None:
        """Returns an error if the rules would hold the transfer until shortly before these terms expire, or for
        longer."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The database rows that the hub reads to decide the messages of a group. The keys of the mappings are the keys of
    the commands."""

    standing: Mapping[str, Standing]
    stored: Mapping[str, Stored]  # only the agreements whose request was repeated
    gate: Gate | None = None  # None if no rules are active
