"""The requests of the SDK's outbound API for single payments, as types. As in the SDK, a request with an unknown field
is refused.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from fspiop.bodies.common import (
    AmountType,
    AuthenticationType,
    CorrelationId,
    Currency,
    Date,
    FspId,
    KycInformation,
    MerchantCode,
    Name,
    PartyIdType,
    SubScenario,
    Text128,
)
from fspiop.bodies.quotes import QuotePost
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.amounts import AmountError, parse_amount
from kitovu_connector.payment_order import Initiator, InitiatorType, PartyRef, Scenario

HomeId = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[int, Meta(ge=1, le=2_147_483_647)]


class Wanted(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The base class of the front end's requests."""


class Pair(Wanted, kw_only=True):
    """One extension."""

    key: Annotated[str, Meta(min_length=1, max_length=32)]
    value: Text128


Pairs = Annotated[tuple[Pair, ...], Meta(max_length=16)]


class PairList(Wanted, kw_only=True):
    """The form that extensions have in the API."""

    extension: Annotated[tuple[Pair, ...], Meta(min_length=1, max_length=16)]


class TransferParty(Wanted, kw_only=True):
    """transferParty."""

    id_type: PartyIdType
    id_value: Text128
    id_sub_value: Text128 | None = None
    type: InitiatorType | None = None
    display_name: Text128 | None = None
    first_name: Name | None = None
    middle_name: Name | None = None
    last_name: Name | None = None
    date_of_birth: Date | None = None
    merchant_classification_code: MerchantCode | None = None
    fsp_id: FspId | None = None
    supported_currencies: Annotated[tuple[Currency, ...], Meta(max_length=16)] = ()
    kyc_information: KycInformation | None = None
    extension_list: Pairs = ()

    def ref(self) -> PartyRef:
        """Returns the party in the connector's stored form."""
        return PartyRef(
            id_type=self.id_type,
            id_value=self.id_value,
            sub_id=self.id_sub_value,
            fsp_id=self.fsp_id,
            name=self.display_name,
            first_name=self.first_name,
            middle_name=self.middle_name,
            last_name=self.last_name,
            date_of_birth=self.date_of_birth,
            merchant_classification_code=self.merchant_classification_code,
            kyc_information=self.kyc_information,
            currencies=self.supported_currencies,
            extensions=pairs(self.extension_list),
        )


class TransferRequest(Wanted, kw_only=True):
    """POST /transfers."""

    home_transaction_id: HomeId
    from_: TransferParty = field(name="from")  # Python does not allow the name "from"
    to: TransferParty
    amount_type: AmountType
    currency: Currency
    amount: str
    transaction_type: Scenario
    sub_scenario: SubScenario | None = None
    note: Text128 | None = None
    quote_request_extensions: Pairs = ()
    transfer_request_extensions: Pairs = ()
    skip_party_lookup: bool = False
    prepare_expiry_seconds: Seconds | None = None
    fx_prepare_expiry_seconds: Seconds | None = None
    quote_expiry_seconds: Seconds | None = None
    fx_quote_expiry_seconds: Seconds | None = None


class Acceptance(Wanted, kw_only=True):
    """PUT /transfers/{transferId}."""

    accept_party: bool | None = None
    accept_quote: bool | None = None
    accept_conversion: bool | None = None
    accept_quote_or_conversion: bool | None = None


class SimpleQuote(Wanted, kw_only=True):
    """POST /quotes."""

    fsp_id: FspId
    quotes_post_request: QuotePost


class SimpleTransfer(Wanted, kw_only=True):
    """POST /simpleTransfers."""

    fsp_id: FspId
    transfers_post_request: TransferPost


class Account(Wanted, kw_only=True):
    """One alias in the body of POST /accounts."""

    id_type: PartyIdType
    id_value: Text128
    id_sub_value: Text128 | None = None
    currency: Currency | None = None


class RequestToPay(Wanted, kw_only=True):
    """POST /requestToPay. `from` is the payer. `to` is the payee, a customer of this DFSP."""

    home_r2p_transaction_id: HomeId = field(name="homeR2PTransactionId")
    from_: TransferParty = field(name="from")
    to: TransferParty
    amount_type: AmountType
    currency: Currency
    amount: str
    transaction_type: Scenario
    sub_scenario: SubScenario | None = None
    note: Text128 | None = None
    authentication_type: AuthenticationType | None = None


class RequestToPayAcceptance(Wanted, kw_only=True):
    """PUT /requestToPay/{transactionRequestId}."""

    accept_party: bool


class RequestToPayTransfer(Wanted, kw_only=True):
    """POST /requestToPayTransfer."""

    home_r2p_transaction_id: HomeId = field(name="homeR2PTransactionId")
    transaction_request_id: CorrelationId
    from_: TransferParty = field(name="from")
    to: TransferParty
    amount_type: AmountType
    currency: Currency
    amount: str
    scenario: Scenario
    initiator: Initiator
    initiator_type: InitiatorType
    sub_scenario: SubScenario | None = None
    note: Text128 | None = None
    authentication_type: AuthenticationType | None = None


class RequestToPayTransferAcceptance(Wanted, kw_only=True):
    """PUT /requestToPayTransfer/{transactionRequestId}."""

    accept_quote: bool | None = None
    accept_otp: bool | None = field(name="acceptOTP", default=None)


def pairs(found: Pairs) -> tuple[tuple[str, str], ...]:
    """Returns extensions in the connector's stored form."""
    return tuple((pair.key, pair.value) for pair in found)


def amount(name: str, text: str) -> int:
    """Returns an amount above 0 as ten-thousandths. Raises FspiopError with the field's name if the amount is wrong."""
    found = amount_or_zero(name, text)
    if found == 0:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must be above 0")
    return found


def amount_or_zero(name: str, text: str) -> int:
    """Returns an amount as ten-thousandths, like `amount`. The amount can be 0."""
    try:
        return parse_amount(text)
    except AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: {error}") from None
