"""A conversion as the ledger knew it when it decided; `decide` moves these records as it walks."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ledger.fx.states import FxState


class Side(StrEnum):
    """Who converts: the payer what it pays, or the payee what it is paid."""

    PAYER = "PAYER"
    PAYEE = "PAYEE"


@dataclass(slots=True)
class ConversionState:
    """One conversion. Its own leg is the one between its initiator and the FXP: in the source currency where the payer
    converts, in the target currency where the payee does. The other leg is its determining transfer's, which debits
    (or credits) the FXP at the bridge account."""

    commit_request_id: str
    determining_transfer_id: str
    side: Side
    initiator_id: int
    fxp_id: int | None
    initiator: str
    fxp: str
    source_currency: str
    source_amount: int
    target_currency: str
    target_amount: int
    state: FxState
    condition: str
    expires_at: datetime
    held_until: datetime  # when the sweep releases it, if nothing else ends it
    digest: bytes
    version: str
    debit_account_id: int | None = None
    credit_account_id: int | None = None
    bridge_account_id: int | None = None
    reason: str | None = None
    error_code: str | None = None
    error_description: str | None = None
    fulfilment: str | None = None
    fulfil_digest: bytes | None = None
    fulfil_version: str | None = None
    agreed_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def leg(self) -> tuple[str, int]:
        """The currency and amount that the conversion itself reserves and posts."""
        if self.side is Side.PAYER:
            return self.source_currency, self.source_amount
        return self.target_currency, self.target_amount

    @property
    def bridge(self) -> tuple[str, int]:
        """The currency and amount that its determining transfer must have."""
        if self.side is Side.PAYER:
            return self.target_currency, self.target_amount
        return self.source_currency, self.source_amount
