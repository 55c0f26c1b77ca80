"""The stored form of incoming bulk quotes and bulk transfers, and the interface that the core needs for bulks."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from fspiop import strictjson
from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.bulk_transfers import BulkTransferPost
from fspiop.bodies.common import ErrorInformation
from fspiop.errors import MAX_DESCRIPTION, text_of
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import IncomingMoney, Terms, TermsWanted
from kitovu_connector.core_errors import Refused
from kitovu_connector.inbound_message import Message


@runtime_checkable
class BulkBackend(Protocol):
    """The interface for cores that process bulks as a whole.

    Each list has one entry for each item, in the order of the items.
    """

    async def give_bulk_terms(
        self, bulk: BulkQuotePost, wanted: Sequence[TermsWanted], *, is_repeated: bool
    ) -> list[Terms | Refused]:
        """Returns the terms of each payment, or raises Refused for all payments."""

    async def reserve_bulk(
        self, bulk: BulkTransferPost, incoming: Sequence[IncomingMoney], *, is_repeated: bool
    ) -> list[Refused | None]:
        """Reserves each payment, or raises Refused for all payments."""


class BulkState(StrEnum):
    """The state of an incoming bulk."""

    RECEIVED = "RECEIVED"  # stored; the core must decide next
    ANSWERING = "ANSWERING"  # decided; the connector must send the answer to the hub next
    ANSWERED = "ANSWERED"  # the hub has the answer; for transfers, the hub's report is pending
    ENDED = "ENDED"  # the final state of the bulk; each item has its own final state


class IncomingBulk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bulk of quotes or of transfers."""

    id: str
    payer_fsp: str
    body: bytes
    digest: bytes
    expires_at: float = 0.0
    state: BulkState = BulkState.RECEIVED
    answer: bytes = b""
    is_refusal: bool = False
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connector still has to send something to the hub or to the core."""
        return self.state is not BulkState.ENDED


def bulk_of(bulk_id: str, message: Message, payer_fsp: str) -> IncomingBulk:
    """Returns the stored form of the bulk in a message."""
    return IncomingBulk(
        id=bulk_id,
        payer_fsp=payer_fsp,
        body=message.raw,
        digest=strictjson.digest([strictjson.loads(message.raw), payer_fsp]),
    )


def error_of(no: No) -> ErrorInformation:
    """Returns an item's error in the API's form."""
    return ErrorInformation(
        error_code=no.code, error_description=(no.text.strip() or text_of(no.code))[:MAX_DESCRIPTION]
    )
