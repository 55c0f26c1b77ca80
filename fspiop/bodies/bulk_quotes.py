"""The bodies of /bulkQuotes (FSPIOP API v1.1, section 6.9)."""

from typing import Annotated

from msgspec import Meta

from fspiop.bodies.common import (
    AmountType,
    BinaryString32,
    CorrelationId,
    DateTime,
    ErrorInformation,
    ExtensionList,
    GeoCode,
    IlpPacket,
    Message,
    Money,
    Party,
    Text128,
    TransactionType,
)

MAX_QUOTES = 1000


class IndividualQuote(Message):
    """One payment of the bulk. The bulk quote requests the terms of this payment (section 7.4.5)."""

    quote_id: CorrelationId
    transaction_id: CorrelationId
    payee: Party
    amount_type: AmountType
    amount: Money
    transaction_type: TransactionType
    fees: Money | None = None
    note: Text128 | None = None
    extension_list: ExtensionList | None = None


class BulkQuotePost(Message):
    """POST /bulkQuotes (section 6.9.3.2): requests from one payee DFSP the terms of several payments."""

    bulk_quote_id: CorrelationId
    payer: Party
    individual_quotes: Annotated[list[IndividualQuote], Meta(min_length=1, max_length=MAX_QUOTES)]
    geo_code: GeoCode | None = None
    expiration: DateTime | None = None
    extension_list: ExtensionList | None = None


class IndividualQuoteResult(Message):
    """The terms of one payment, or the reason for a refusal (section 7.4.6)."""

    quote_id: CorrelationId
    payee: Party | None = None
    transfer_amount: Money | None = None
    payee_receive_amount: Money | None = None
    payee_fsp_fee: Money | None = None
    payee_fsp_commission: Money | None = None
    ilp_packet: IlpPacket | None = None
    condition: BinaryString32 | None = None
    error_information: ErrorInformation | None = None
    extension_list: ExtensionList | None = None


class BulkQuotePut(Message):
    """PUT /bulkQuotes/{ID} (section 6.9.4.1): the terms that the payee DFSP offers until `expiration`."""

    expiration: DateTime
    individual_quote_results: Annotated[list[IndividualQuoteResult], Meta(max_length=MAX_QUOTES)] | None = None
    extension_list: ExtensionList | None = None
