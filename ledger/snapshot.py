"""Objects that contain the locked rows on which the ledger's decisions depend. `decide` changes these objects, not the
rows, while it decides a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from ledger.fx.snapshot import ConversionState
from ledger.held_transfers.hold_ends_in_time import Hold
from ledger.states import State
from rules.decide import Verdict
from rules.kept_verdicts import Kept


@dataclass(slots=True)
class AccountState:
    """A participant's POSITION account. Amounts are in ten-thousandths.

    `position` is the posted debits minus the posted credits.
    """

    id: int
    participant_id: int
    currency: str
    is_active: bool
    position: int
    reserved: int
    ndc: int | None
    cover: int = 0  # the cover of the participant's SETTLEMENT account
    may_send: bool = True  # the participant may send
    # this batch's changes of the account, for one UPDATE
    new_debits: int = 0
    new_credits: int = 0
    new_reserved: int = 0
    has_new_reservations: bool = False


@dataclass(slots=True)
class TransferState:
    transfer_id: str
    payer_id: int
    payee_id: int | None
    payer: str
    payee: str
    currency: str
    amount: int
    state: State
    condition: str
    expires_at: datetime
    digest: bytes
    version: str
    payer_account_id: int | None
    payee_account_id: int | None
    reason: str | None = None
    error_code: str | None = None
    error_description: str | None = None
    fulfilment: str | None = None
    fulfil_digest: bytes | None = None
    fulfil_version: str | None = None
    wants_patch: bool = False
    completed_at: datetime | None = None
    bulk_id: str | None = None  # the bulk transfer that contains this transfer as an item
    # the conversions that end together with the transfer; the payee's conversion can arrive while the transfer is
    # reserved
    payer_conversion_id: str | None = None
    payee_conversion_id: str | None = None
    is_held: bool = False  # the hub has held the transfer, and has never sent the transfer to the payee
    hold: Hold | None = None  # set if this batch puts the transfer on hold


@dataclass(slots=True)
class Posting:
    """A ledger entry that the batch will write. The database allows only one entry with the same `transfer_id` and the
    same `kind`."""

    kind: str
    transfer_id: str
    debit_account_id: int
    credit_account_id: int
    currency: str
    amount: int


@dataclass(slots=True)
class ParticipantState:
    """The payer or the payee of a transfer. For each currency, `accounts` has the id of the participant's POSITION
    account, and whether the account is active."""

    id: int
    name: str
    is_active: bool
    accounts: dict[str, tuple[int, bool]] = field(default_factory=dict)
    may_send: bool = True
    may_receive: bool = True
    # the certifier's id, while the certifier tests this participant before the participant's go-live
    tested_by: int | None = None


class Gate(Protocol):
    """Applies the scheme's rules to the transfers of this batch. `rules.transfer_gate` implements this interface."""

    def judge(self, digest: bytes, now: datetime) -> Verdict:
        """Returns the rules' verdict about the transfer request (prepare) with this digest. The transfer request must
        have passed all other checks."""

    def overrule(self, verdict: Verdict) -> None:
        """Replaces the verdict about the last judged transfer request. The new verdict is a refusal, because this
        transfer cannot be held."""

    def count(self, digest: bytes, now: datetime) -> None:
        """Counts this transfer in the profiles of its parties. The ledger calls this method after the transfer's amount
        is reserved."""

    def uncount(self, transfer_id: str) -> None:
        """Removes this transfer from the counts in the profiles. The ledger calls this method after the transfer is
        aborted."""

    def save(self) -> None:
        """Stores which transfers the profiles count. The ledger calls this method after the batch's transfers are
        written."""


@dataclass(slots=True)
class Snapshot:
    now: datetime  # the time of the database's clock, after all locks were acquired
    window_id: int | None  # the open settlement window, or None if the batch cannot commit a transfer
    hub_name: str
    latest_expiry: datetime
    participants: dict[str, ParticipantState]
    accounts: dict[int, AccountState]
    transfers: dict[str, TransferState]
    conversions: dict[str, ConversionState] = field(default_factory=dict)
    # after its own expiration, an agreed conversion still waits this long for the transfer
    fx_wait: timedelta = timedelta(0)
    # the digests of those prepares whose terms differ from their quotes' terms
    not_as_quoted: frozenset[bytes] = frozenset()
    postings: list[Posting] = field(default_factory=list)  # the entries of this batch
    gate: Gate | None = None  # None if no rules are active and the hub counts no transfers
    rules_version: int | None = None  # the version of the rules that is active for this batch
    # the rules' verdicts about the quotes, by digests of prepares
    kept: Mapping[bytes, Kept] = field(default_factory=dict)
    terms_expire_at: Mapping[bytes, datetime] = field(default_factory=dict)  # the expirations of the quotes' terms
    quote_ids: Mapping[bytes, str] = field(default_factory=dict)  # the ids of the quotes, by digests of prepares
