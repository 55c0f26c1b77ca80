"""The bodies of /fxQuotes (FSPIOP API v2.0): the request for the terms of a conversion, and the FXP's offer."""

from typing import Annotated

from msgspec import Meta

from fspiop.bodies.common import (
    Amount,
    AmountType,
    BinaryString32,
    CorrelationId,
    Currency,
    DateTime,
    ExtensionList,
    FspId,
    Message,
    Money,
)

MAX_CHARGES = 16


class FxMoney(Message):
    """An amount of money in a request. A request has no amount if the requester asks the FXP for the amount."""

    currency: Currency
    amount: Amount | None = None


class FxCharge(Message):
    """The FXP's charge for a conversion, in the source currency or in the target currency."""

    charge_type: Annotated[str, Meta(min_length=1, max_length=32)]
    source_amount: Money | None = None
    target_amount: Money | None = None


class FxConversion(Message):
    """A conversion of one currency into another by an FXP. In a conversion, the FXP is the counter party
    (`counterPartyFsp`)."""

    conversion_id: CorrelationId
    initiating_fsp: FspId
    counter_party_fsp: FspId
    amount_type: AmountType
    source_amount: FxMoney
    target_amount: FxMoney
    expiration: DateTime
    determining_transfer_id: CorrelationId | None = None
    charges: Annotated[list[FxCharge], Meta(max_length=MAX_CHARGES)] | None = None
    extension_list: ExtensionList | None = None


class FxQuotePost(Message):
    """POST /fxQuotes: requests the FXP's terms."""

    conversion_request_id: CorrelationId
    conversion_terms: FxConversion


class FxQuotePut(Message):
    """PUT /fxQuotes/{ID}: the FXP's terms, and the condition that the FXP's fulfilment must match."""

    conversion_terms: FxConversion
    condition: BinaryString32 | None = None
