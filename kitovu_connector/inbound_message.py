"""An accepted message from the hub, and the type of the functions that handle such messages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from fspiop import bodies, ilp
from fspiop.bodies.common import ErrorInformation
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.exchanges import Reply
from kitovu_connector.front_end_conversion_and_bulk_states import NOT_FOUND
from kitovu_connector.party_identifiers import Alias

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Message:
    """An accepted message, its sender, and the evidence that the hub sent or forwarded the message.

    The hub authenticates the sender of each message that it forwards. A signature proves which DFSP wrote a message. A
    signature does not prove that the message passed through the hub.
    """

    names: Mapping[str, str]  # the ids in the path; the keys are the names in the route
    headers: Mapping[str, str]  # the headers that the front end can read
    raw: bytes  # the body in the plain form
    source: str  # the FSPIOP-Source; if the connector verifies signatures, this DFSP has signed the message
    sent_at: float  # the time in the message's Date header
    is_from_hub: bool  # the hub itself wrote the message
    came_via_hub: bool  # the message arrived on a connection from the hub
    query: Mapping[str, str] = field(default_factory=dict)  # the parameters of a GET
    is_awaited: bool | None = None  # False if no caller in this instance waits for this callback

    @property
    def alias(self) -> Alias:
        """The alias in the request's path."""
        found = self.names
        return found["id_type"], found["id_value"], found.get("sub_id")

    @property
    def id(self) -> str:
        """The id in the request's path."""
        return self.names["id"]

    @property
    def error(self) -> ErrorInformation:
        """Returns the body of an error. Raises FspiopError if the body is not an error."""
        return bodies.read(ErrorPut, self.raw).error_information

    def read(self, kind: type[T]) -> T:
        """Returns the body as the expected typed message. Raises FspiopError with the name of the first wrong field."""
        return bodies.read(kind, self.raw)

    @property
    def reports_unknown_id(self) -> bool:
        """Returns whether the hub reports in this error that it does not know the request."""
        return self.is_from_hub and str(self.error.error_code) in NOT_FOUND

    def ends_without_payment(self, expires_at: float, margin_s: float) -> bool:
        """Returns whether this error from the hub proves that another DFSP's request has ended or can never begin.

        A DFSP can send a request to the connector without sending the request to the hub. The hub can still receive
        this request later, until `expires_at`. So an error that the hub wrote before `expires_at` does not prove that
        the request can never begin.
        """
        code = str(self.error.error_code)
        return code == ErrorCode.TRANSFER_EXPIRED.code or (code in NOT_FOUND and self.sent_at >= expires_at + margin_s)

    def reply(self, body: object) -> Reply:
        """Returns the message as the answer to a request."""
        return Reply(body, self.source, dict(self.headers))

    def met(self, found: bool) -> None:
        """Records whether a caller in this instance waits for this callback. If not, a caller in another instance may
        wait for this callback.
        """
        self.is_awaited = bool(self.is_awaited) or found

    def check_sender(self, *senders: str | None) -> None:
        """Raises FspiopError unless the hub or one of these DFSPs sent the message."""
        if not self.is_from_hub and self.source not in senders:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: may not send this message")

    def check_is_from_hub(self) -> None:
        """Raises FspiopError unless the hub itself sent the message."""
        if not self.is_from_hub:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the hub may send this message")


def check_fulfilment(fulfilment: str, condition: str, subject: str) -> None:
    """Raises FspiopError if the hub reports another DFSP's request as committed, but the fulfilment is wrong.

    A report with a wrong fulfilment is about another request.
    """
    if not ilp.fulfils(fulfilment, condition):
        reason = "the fulfilment does not fit the condition"
        log.error("message_not_believed", transfer=subject, reason=reason)
        raise FspiopError(ErrorCode.VALIDATION_ERROR, reason)


SHOWN_HEADERS = ("content-type", "date", "fspiop-source", "fspiop-destination")

Handler = Callable[[Message], Awaitable[int]]
Route = tuple[str, str, Handler]
"""A route: a method, a path without the inbound prefix, and a handler that returns the HTTP status."""


class HasRoutes(Protocol):
    """The interface for classes that accept messages from the hub. Each class belongs to one part of the connector."""

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this part receives."""
