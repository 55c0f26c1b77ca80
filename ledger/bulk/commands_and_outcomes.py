"""The messages about bulk transfers and their outcomes.

The module has only plain records, like `ledger.commands_and_outcomes`. A bulk is a list of transfers with one payer,
one payee and one expiration. The payee answers once for the whole list. Each item is a transfer with its own outcome.
No other transfer uses the id of an item.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledger.bulk.states import BulkState
from ledger.commands_and_outcomes import Outcome, PaymentMessage, Prepare, Refusal
from ledger.snapshot import TransferState


@dataclass(slots=True)
class BulkPrepare:
    """POST /bulkTransfers: the payer requests a reservation of each item."""

    bulk_id: str
    quote_id: str
    source_id: int
    payer: str
    payee: str
    expires_at: datetime
    items: list[Prepare]
    digest: bytes
    message: PaymentMessage


@dataclass(slots=True)
class ItemResult:
    """The payee's result for one item: a fulfilment, an error, or nothing."""

    fulfilment: str | None = None
    error_code: str | None = None
    error_description: str | None = None


@dataclass(slots=True)
class BulkFulfil:
    """PUT /bulkTransfers/{ID}: the payee's only answer, with a result for each item's id."""

    bulk_id: str
    source_id: int
    destination: str | None
    state: BulkState  # COMPLETED, or REJECTED if the payee accepts no item
    results: Mapping[str, ItemResult]
    digest: bytes
    message: PaymentMessage
    moment_fault: str | None = None  # as in ledger.commands_and_outcomes.Fulfil


@dataclass(slots=True)
class BulkReject:
    """PUT /bulkTransfers/{ID}/error: the payee refuses the whole bulk."""

    bulk_id: str
    source_id: int
    destination: str | None
    error_code: str
    error_description: str
    digest: bytes
    message: PaymentMessage


@dataclass(slots=True)
class BulkExpire:
    """The sweep's command to expire a bulk whose expiration has passed."""

    bulk_id: str


BulkAnswer = BulkFulfil | BulkReject
BulkCommand = BulkPrepare | BulkFulfil | BulkReject | BulkExpire


@dataclass(slots=True)
class Bulk:
    """A bulk in its present state. The bulk's items are transfers in the snapshot."""

    bulk_id: str
    quote_id: str
    payer_id: int
    payee_id: int | None
    payer: str
    payee: str
    state: BulkState
    expires_at: datetime
    digest: bytes
    version: str
    item_count: int
    reserved_items: int  # the number of items that were sent to the payee
    ids_used_before: list[str]  # ids in the bulk that other transfers had used already, so they are no items
    reason: str | None = None
    error_code: str | None = None
    error_description: str | None = None
    answer_digest: bytes | None = None
    answer_version: str | None = None
    completed_at: datetime | None = None


@dataclass(slots=True)
class BulkAccepted:
    """At least one item is reserved. The payee will receive the reserved items."""

    command: BulkPrepare
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome]


@dataclass(slots=True)
class BulkRefused:
    """No item was reserved.

    The refusal is stored, so that a resend is refused in the same way. `refusal` is set if one reason applies to the
    whole bulk.
    """

    command: BulkPrepare
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome]
    refusal: Refusal | None


@dataclass(slots=True)
class BulkEnded:
    """Each reserved item has ended. `is_as_answered`: the payee's own message reports each item's outcome correctly."""

    command: BulkFulfil | BulkReject | BulkExpire
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome] = field(default_factory=list)
    is_as_answered: bool = False


@dataclass(slots=True)
class BulkRepeated:
    """The message repeats an earlier message. The hub sends the outcome again, and nothing changes."""

    command: BulkPrepare | BulkFulfil | BulkReject
    bulk: Bulk
    items: list[TransferState]


@dataclass(slots=True)
class BulkNotObeyed:
    """The message changes nothing. The sender receives the reason in an error callback."""

    command: BulkPrepare | BulkFulfil | BulkReject
    bulk: Bulk
    refusal: Refusal


@dataclass(slots=True)
class BulkUnknown:
    """There is no such bulk, or the sender is not a party to it.

    The hub's answer does not show which of the two is true.
    """

    command: BulkFulfil | BulkReject


@dataclass(slots=True)
class BulkImplausible:
    """The same as ledger.commands_and_outcomes.Implausible."""

    command: BulkFulfil


@dataclass(slots=True)
class BulkIgnored:
    """There is nothing to change and nobody to notify: for example, another process has already expired the bulk."""

    command: BulkCommand


BulkOutcome = (
    BulkAccepted | BulkRefused | BulkEnded | BulkRepeated | BulkNotObeyed | BulkUnknown | BulkImplausible | BulkIgnored
)
