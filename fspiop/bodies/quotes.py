"""The bodies of /quotes (FSPIOP API v1.1, section 6.5)."""

from typing import Literal

from fspiop.bodies.common import (
    AmountType,
    BinaryString32,
    CorrelationId,
    DateTime,
    ExtensionList,
    GeoCode,
    IlpPacket,
    Message,
    Money,
    Party,
    Text128,
    TransactionType,
)


class FxRate(Message):
    """The conversion that a payer intends: the amounts in the source currency and the target currency (FSPIOP API
    v2.0)."""

    source_amount: Money
    target_amount: Money


class QuotePost(Message):
    """POST /quotes (section 6.5.3.2): requests the terms of a payment. In version 2.0, a quote request can also contain
    the intended conversion."""

    quote_id: CorrelationId
    transaction_id: CorrelationId
    payee: Party
    payer: Party
    amount_type: AmountType
    amount: Money
    transaction_type: TransactionType
    transaction_request_id: CorrelationId | None = None
    fees: Money | None = None
    converter: Literal["PAYER", "PAYEE"] | None = None
    currency_conversion: FxRate | None = None
    geo_code: GeoCode | None = None
    note: Text128 | None = None
    expiration: DateTime | None = None
    extension_list: ExtensionList | None = None


class QuotePut(Message):
    """PUT /quotes/{ID} (section 6.5.4.1): the terms that the payee DFSP offers until `expiration`."""

    transfer_amount: Money
    expiration: DateTime
    ilp_packet: IlpPacket
    condition: BinaryString32
    payee_receive_amount: Money | None = None
    payee_fsp_fee: Money | None = None
    payee_fsp_commission: Money | None = None
    geo_code: GeoCode | None = None
    extension_list: ExtensionList | None = None
