"""The bodies of /bulkTransfers (FSPIOP API v1.1, section 6.10)."""

from typing import Annotated, Literal

from msgspec import Meta

from fspiop.bodies.common import (
    BinaryString32,
    CorrelationId,
    DateTime,
    ErrorInformation,
    ExtensionList,
    FspId,
    IlpPacket,
    Message,
    Money,
)

MAX_TRANSFERS = 1000

BulkTransferState = Literal["RECEIVED", "PENDING", "ACCEPTED", "PROCESSING", "COMPLETED", "REJECTED"]  # section 7.5.4


class IndividualTransfer(Message):
    """One transfer of the bulk (section 7.4.7)."""

    transfer_id: CorrelationId
    transfer_amount: Money
    ilp_packet: IlpPacket
    condition: BinaryString32
    extension_list: ExtensionList | None = None


class BulkTransferPost(Message):
    """POST /bulkTransfers (section 6.10.3.2): the payer DFSP requests the reservation of several transfers."""

    bulk_transfer_id: CorrelationId
    bulk_quote_id: CorrelationId
    payer_fsp: FspId
    payee_fsp: FspId
    individual_transfers: Annotated[list[IndividualTransfer], Meta(min_length=1, max_length=MAX_TRANSFERS)]
    expiration: DateTime
    extension_list: ExtensionList | None = None


class IndividualTransferResult(Message):
    """The outcome of one transfer: the transfer's fulfilment, or the reason for the transfer's abort (section
    7.4.8)."""

    transfer_id: CorrelationId
    fulfilment: BinaryString32 | None = None
    error_information: ErrorInformation | None = None
    extension_list: ExtensionList | None = None


class BulkTransferPut(Message):
    """PUT /bulkTransfers/{ID} (section 6.10.4.1): the payee DFSP's only answer to the bulk, or the hub's report of the
    stored outcomes."""

    bulk_transfer_state: BulkTransferState
    completed_timestamp: DateTime | None = None
    individual_transfer_results: Annotated[list[IndividualTransferResult], Meta(max_length=MAX_TRANSFERS)] | None = None
    extension_list: ExtensionList | None = None
