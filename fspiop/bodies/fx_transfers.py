"""The bodies of /fxTransfers (FSPIOP API v2.0): a conversion that commits together with a transfer."""

from fspiop.bodies.common import (
    BinaryString32,
    CorrelationId,
    DateTime,
    ExtensionList,
    FspId,
    Message,
    Money,
    TransferState,
)


class FxTransferPost(Message):
    """POST /fxTransfers: the initiating DFSP requests a conversion.

    The conversion commits or aborts together with its determining transfer.
    """

    commit_request_id: CorrelationId
    initiating_fsp: FspId
    counter_party_fsp: FspId
    source_amount: Money
    target_amount: Money
    condition: BinaryString32
    determining_transfer_id: CorrelationId | None = None
    expiration: DateTime | None = None


class FxTransferPut(Message):
    """PUT /fxTransfers/{ID}: the FXP's answer, or the state of the conversion at the hub."""

    conversion_state: TransferState
    fulfilment: BinaryString32 | None = None
    completed_timestamp: DateTime | None = None
    extension_list: ExtensionList | None = None


class FxTransferPatch(Message):
    """PATCH /fxTransfers/{ID}: reports the final state of the conversion to the FXP."""

    conversion_state: TransferState
    completed_timestamp: DateTime | None = None
    extension_list: ExtensionList | None = None
