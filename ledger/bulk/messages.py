"""What comes in about bulk transfers and what came of it. Plain records, as in `ledger.messages`.

A bulk is a list of transfers with one payer, payee and expiration that the payee answers once. Each item is a transfer
of its own with an outcome of its own; its id is used by nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledger.bulk.states import BulkState
from ledger.messages import Outcome, PaymentMessage, Prepare, Refusal
from ledger.snapshot import TransferState


@dataclass(slots=True)
class BulkPrepare:
    """POST /bulkTransfers: the payer asks to reserve each item."""

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
    """What the payee says of one item: its fulfilment or an error, or neither."""

    fulfilment: str | None = None
    error_code: str | None = None
    error_description: str | None = None


@dataclass(slots=True)
class BulkFulfil:
    """PUT /bulkTransfers/{ID}: the payee's one answer, a result by each item's id."""

    bulk_id: str
    source_id: int
    destination: str | None
    state: BulkState  # COMPLETED, or REJECTED where the payee takes none of it
    results: Mapping[str, ItemResult]
    digest: bytes
    message: PaymentMessage
    moment_fault: str | None = None  # as in ledger.messages.Fulfil


@dataclass(slots=True)
class BulkReject:
    """PUT /bulkTransfers/{ID}/error: the payee refuses all of it."""

    bulk_id: str
    source_id: int
    destination: str | None
    error_code: str
    error_description: str
    digest: bytes
    message: PaymentMessage


@dataclass(slots=True)
class BulkExpire:
    """The tick found a bulk past its time."""

    bulk_id: str


BulkAnswer = BulkFulfil | BulkReject
BulkCommand = BulkPrepare | BulkFulfil | BulkReject | BulkExpire


@dataclass(slots=True)
class Bulk:
    """A bulk as it stands; its items are transfers in the snapshot."""

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
    reserved_items: int  # of which the payee was asked
    ids_used_before: list[str]  # items whose id belongs to another transfer: they are none
    reason: str | None = None
    error_code: str | None = None
    error_description: str | None = None
    answer_digest: bytes | None = None
    answer_version: str | None = None
    completed_at: datetime | None = None


@dataclass(slots=True)
class BulkAccepted:
    """At least one item is reserved; the payee is to be asked for those that are."""

    command: BulkPrepare
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome]


@dataclass(slots=True)
class BulkRefused:
    """No item was reserved; stored, so that a resend is refused alike. `refusal` is there where one stands for all."""

    command: BulkPrepare
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome]
    refusal: Refusal | None


@dataclass(slots=True)
class BulkEnded:
    """Each item that was reserved has ended. `is_as_answered`: the payee's own words say all of what came of it."""

    command: BulkFulfil | BulkReject | BulkExpire
    bulk: Bulk
    items: list[TransferState]
    outcomes: list[Outcome] = field(default_factory=list)
    is_as_answered: bool = False


@dataclass(slots=True)
class BulkRepeated:
    """The same message again: what came of it is told again, nothing changes."""

    command: BulkPrepare | BulkFulfil | BulkReject
    bulk: Bulk
    items: list[TransferState]


@dataclass(slots=True)
class BulkNotObeyed:
    """The message changes nothing; its sender is told why by an error callback."""

    command: BulkPrepare | BulkFulfil | BulkReject
    bulk: Bulk
    refusal: Refusal


@dataclass(slots=True)
class BulkUnknown:
    """There is no such bulk, or it is none of the sender's business: both get the same answer."""

    command: BulkFulfil | BulkReject


@dataclass(slots=True)
class BulkImplausible:
    """As ledger.messages.Implausible."""

    command: BulkFulfil


@dataclass(slots=True)
class BulkIgnored:
    """Nothing to do and nobody to tell, such as an expiry that another process already carried out."""

    command: BulkCommand


BulkOutcome = (
    BulkAccepted | BulkRefused | BulkEnded | BulkRepeated | BulkNotObeyed | BulkUnknown | BulkImplausible | BulkIgnored
)
