"""The bodies of /transfers (FSPIOP API v1.1, section 6.7)."""

from fspiop.bodies.common import (
    BinaryString32,
    CorrelationId,
    DateTime,
    ExtensionList,
    FspId,
    IlpPacket,
    Message,
    Money,
    TransferState,
)


class TransferPost(Message):
    """POST /transfers (section 6.7.3.2): the payer DFSP requests a reservation of the amount for the payee DFSP."""

    transfer_id: CorrelationId
    payee_fsp: FspId
    payer_fsp: FspId
    amount: Money
    ilp_packet: IlpPacket
    condition: BinaryString32
    expiration: DateTime
    extension_list: ExtensionList | None = None


class TransferPut(Message):
    """PUT /transfers/{ID} (section 6.7.4.1): the payee DFSP's answer, or the state of the transfer at the hub."""

    transfer_state: TransferState
    fulfilment: BinaryString32 | None = None
    completed_timestamp: DateTime | None = None
    extension_list: ExtensionList | None = None


class TransferPatch(Message):
    """PATCH /transfers/{ID} (section 6.7.3.3): reports the final state to a payee DFSP that answered RESERVED."""

    completed_timestamp: DateTime
    transfer_state: TransferState
    extension_list: ExtensionList | None = None
