"""The messages about bulk transfers, and the outcomes of these messages.

Like `ledger.commands_and_outcomes`, the module contains only plain records. A bulk is a list of transfers with one
payer, one payee and one expiration. The payee gives one answer for all transfers of a bulk. Each item of a bulk is a
transfer, and has a separate outcome. No transfer outside the bulk can use the id of an item.
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
    """The payee's result for one item of a bulk: a fulfilment, an error, or neither."""

    fulfilment: str | None = None
    error_code: str | None = None
    error_description: str | None = None


@dataclass(slots=True)
class BulkFulfil:
    """PUT /bulkTransfers/{ID}: the payee's only answer to a bulk, with one result for each item's id."""

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
    """The command of a periodic task: expire a bulk whose expiration has passed."""

    bulk_id: str


BulkAnswer = BulkFulfil | BulkReject
BulkCommand = BulkPrepare | BulkFulfil | BulkReject | BulkExpire


@dataclass(slots=True)
class Bulk:
    """The present state of a bulk. The snapshot's transfers include the items of the bulk."""

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
    reserved_items: int  # the number of items that the hub sent to the payee
    # ids in the bulk's request that other transfers had already used; the bulk has no items with these ids
    ids_used_before: list[str]
    reason: str | None = None
    error_code: str | None = None
    error_description: str | None = None
    answer_digest: bytes | None = None
    answer_version: str | None = None
    completed_at: datetime | None = None


@dataclass(slots=True)
class BulkAccepted:
    """At least one item of the bulk is reserved. The hub sends the bulk's reserved items to the payee."""

    command: BulkPrepare
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome]


@dataclass(slots=True)
class BulkRefused:
    """No item of the bulk was reserved.

    The hub stores the refusal of the bulk, and refuses a repeated request in the same way. If one reason applies to the
    whole bulk, `refusal` is this reason.
    """

    command: BulkPrepare
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome]
    refusal: Refusal | None


@dataclass(slots=True)
class BulkEnded:
    """Each reserved item of the bulk has ended.

    `is_as_answered` is True if the payee's own message shows the right outcome of each item.
    """

    command: BulkFulfil | BulkReject | BulkExpire
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome] = field(default_factory=list)
    is_as_answered: bool = False


@dataclass(slots=True)
class BulkRepeated:
    """The message repeats an earlier message. The hub changes nothing and sends the earlier outcome again."""

    command: BulkPrepare | BulkFulfil | BulkReject
    bulk: Bulk
    items: list[TransferState]


@dataclass(slots=True)
class BulkNotObeyed:
    """The message does not change the bulk. The sender of the message gets the reason in an error callback."""

    command: BulkPrepare | BulkFulfil | BulkReject
    bulk: Bulk
    refusal: Refusal


@dataclass(slots=True)
class BulkUnknown:
    """The bulk does not exist, or the sender is not a party to the bulk.

    The answer to the sender does not reveal whether the bulk exists.
    """

    command: BulkFulfil | BulkReject


@dataclass(slots=True)
class BulkImplausible:
    """The payee's answer has a faulty completedTimestamp: see ledger.commands_and_outcomes.Implausible."""

    command: BulkFulfil


@dataclass(slots=True)
class BulkIgnored:
    """The command changes nothing and causes no message. For example, another process has already expired the bulk."""

    command: BulkCommand


BulkOutcome = (
    BulkAccepted | BulkRefused | BulkEnded | BulkRepeated | BulkNotObeyed | BulkUnknown | BulkImplausible | BulkIgnored
)
