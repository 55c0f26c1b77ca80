"""The conversions that the hub has locked and read, as records. `decide` changes these records while it decides a
batch.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ledger.fx.states import FxState


class Side(StrEnum):
    """The side of the payment whose money is converted: payer or payee. A payer converts the amount that the payer
    pays. A payee converts the amount that the payee receives.
    """

    PAYER = "PAYER"
    PAYEE = "PAYEE"


@dataclass(slots=True)
class ConversionState:
    """One conversion. A conversion has two legs.

    The conversion's own leg is between the initiator and the FXP. If the payer converts, the conversion's own leg is in
    the source currency. If the payee converts, the conversion's own leg is in the target currency. The conversion's
    second leg is the determining transfer, which debits or credits the FXP's bridge account.
    """

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
    held_until: datetime  # the time after which the sweep ends the conversion if it is still open
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
        """The currency and amount that the determining transfer must have."""
        if self.side is Side.PAYER:
            return self.target_currency, self.target_amount
        return self.source_currency, self.source_amount
