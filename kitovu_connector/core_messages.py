"""The messages of the API for the bank's own core. The connector creates the OpenAPI document from these types."""

from typing import Annotated, Literal

import msgspec

from fspiop.bodies.common import (
    AmountType,
    BalanceOfPayments,
    CorrelationId,
    Currency,
    Date,
    KycInformation,
    MerchantCode,
    Name,
    PartyIdType,
    SubScenario,
    Text128,
)
from kitovu_connector.hub_api import Position
from kitovu_connector.payment_order import Initiator, InitiatorType, Scenario
from kitovu_connector.payment_record import State
from kitovu_connector.request_to_pay_records import RequestState

HomeId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]

# --- what the core sends ----------------------------------------------------------------------------------------------


class Wanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A request of the core. The connector refuses a request with an unknown field, because the connector cannot
    forward this field to the payee.
    """


class Pair(Wanted):
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    value: Text128


Extensions = Annotated[tuple[Pair, ...], msgspec.Meta(max_length=16)]


class RefundInfo(Wanted):
    original_transaction_id: CorrelationId
    refund_reason: Text128 | None = None


class PartyWanted(Wanted):
    id_type: PartyIdType
    id_value: Text128
    id_sub_value: Text128 | None = None
    display_name: Text128 | None = None
    first_name: Name | None = None
    middle_name: Name | None = None
    last_name: Name | None = None
    date_of_birth: Date | None = None
    kyc_information: KycInformation | None = None
    merchant_classification_code: MerchantCode | None = None
    extension_list: Extensions = ()


class PaymentWanted(Wanted):
    """POST /payments. `home_transaction_id` is the core's own id of the payment.

    A repeated request with the same id does not begin a second payment. With the `amount_type` RECEIVE, the payee
    receives `amount`, and the payer also pays the fees. `max_amount` is then the highest amount that the payer pays. If
    `max_amount` is missing, terms with a fee end the payment, unless `confirm` is false. If `confirm` is false, the
    payment waits when its terms have arrived. It continues when the core sends POST /payments/{id}/confirm. If
    `may_convert` is true, an FXP may convert the amount into a currency that the payee accepts. If the payment answers
    a request to pay, `transaction_request_id` is the id of this request. If `otp` is true, the payer must enter a
    one-time password at the payee's device.
    """

    home_transaction_id: HomeId
    from_: PartyWanted = msgspec.field(name="from")
    to: PartyWanted
    amount: str
    currency: Currency
    amount_type: AmountType = "SEND"
    max_amount: str | None = None
    transaction_type: Scenario = "TRANSFER"
    sub_scenario: SubScenario | None = None
    initiator: Initiator = "PAYER"
    initiator_type: InitiatorType = "CONSUMER"
    refund_info: RefundInfo | None = None
    balance_of_payments: BalanceOfPayments | None = None
    note: Text128 | None = None
    quote_request_extensions: Extensions = ()
    transfer_request_extensions: Extensions = ()
    confirm: bool = True
    may_convert: bool = False
    transaction_request_id: CorrelationId | None = None
    otp: bool = False


class PaymentConfirmed(Wanted):
    """POST /payments/{id}/confirm. If the body has no `otp`, the core accepts the terms.

    With `otp`, the core accepts the one-time password that the payer has entered. `otp` must equal the payment's field
    `otp`. The core must first compare this field with the core's own password.
    """

    otp: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class AliasWanted(Wanted):
    """POST /aliases."""

    id_type: PartyIdType
    id_value: Text128
    id_sub_value: Text128 | None = None
    currency: Currency | None = None


class RequestWanted(Wanted):
    """POST /requests. `from` is the payer, who is a customer of another DFSP. `to` is the payee: your customer.

    `home_request_id` is the core's own id of the request to pay. A repeated request with the same id does not begin a
    second request to pay. If `otp` is true, the payer approves the payment with a one-time password. The payer enters
    this password at the payee's device.
    """

    home_request_id: HomeId
    from_: PartyWanted = msgspec.field(name="from")
    to: PartyWanted
    amount: str
    currency: Currency
    amount_type: AmountType = "RECEIVE"
    transaction_type: Scenario = "PAYMENT"
    sub_scenario: SubScenario | None = None
    initiator_type: InitiatorType = "BUSINESS"
    note: Text128 | None = None
    otp: bool = False


class PasswordEntered(Wanted):
    """POST /requests/{id}/otp: the one-time password that the payer has entered."""

    otp: Annotated[str, msgspec.Meta(pattern=r"^\S{1,64}\Z")]


# --- what the connector answers ---------------------------------------------------------------------------------------


class Shown(msgspec.Struct, rename="camel", kw_only=True):
    """An answer to the core."""


class ConversionTerms(Shown, kw_only=True):
    """The terms on which an FXP converts a payment. The payer spends the source amount."""

    fxp: str
    source_amount: str
    source_currency: str
    target_amount: str
    target_currency: str


class PaymentShown(Shown, kw_only=True):
    """A payment in its present state. All amounts outside `conversion` are in `currency`. Before the terms are known,
    `currency` is the currency of the order. If an FXP converts the payment, `currency` is afterwards the conversion's
    target currency.

    `waits_for` is the subject for which the payment waits: the terms, or the one-time password `otp` that the payer has
    entered. The core accepts this subject by POST /payments/{id}/confirm. To accept the one-time password, the core
    sends `otp` back in the body. The core can confirm the payment until `expiration_date`.
    """

    home_transaction_id: str
    transfer_id: str
    state: State
    is_ended: bool
    waits_for: Literal["TERMS", "OTP"] | None = None
    payee_name: str | None = None
    payee_fsp: str | None = None
    transfer_amount: str | None = None
    payee_receive_amount: str | None = None
    payee_fsp_fee_amount: str | None = None
    currency: str
    conversion: ConversionTerms | None = None
    expiration_date: str | None = None
    otp: str | None = None
    error_code: str | None = None
    error_description: str | None = None


class PartyShown(Shown, omit_defaults=True, kw_only=True):
    """A party, as the party's DFSP describes it."""

    id_type: PartyIdType
    id_value: str
    id_sub_value: str | None = None
    fsp_id: str | None = None
    display_name: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    supported_currencies: list[str] | None = None


class AliasShown(Shown, kw_only=True):
    """An alias as one line of a list."""

    id_type: PartyIdType
    id_value: str


class PaymentLine(Shown, kw_only=True):
    """A payment as one line of a list."""

    home_transaction_id: str
    transfer_id: str
    state: State
    to: AliasShown
    payee_name: str | None
    payee_fsp: str | None
    amount: str
    currency: str
    error_code: str | None
    error_description: str | None
    created_date: str
    changed_date: str


class Payments(Shown, omit_defaults=True, kw_only=True):
    """One page. A page without `next` is the last page."""

    payments: list[PaymentLine]
    next: str | None = None


class TransferLine(Shown, omit_defaults=True, kw_only=True):
    """A transfer as one line of a list.

    `direction` is OUT if your customer pays, and IN if your customer is paid. A line with OUT has
    `home_transaction_id`. A line with IN has `expiration_date`.
    """

    transfer_id: str
    direction: Literal["OUT", "IN"]
    state: Literal["RESERVED", "COMMITTED", "ABORTED"]
    other_fsp: str | None
    amount: str
    currency: str
    error_code: str | None
    changed_date: str
    home_transaction_id: str | None = None
    home_request_id: str | None = None
    created_date: str | None = None
    expiration_date: str | None = None


class Transfers(Shown, omit_defaults=True, kw_only=True):
    """One page. A page without `next` is the last page."""

    transfers: list[TransferLine]
    next: str | None = None


class ConversionLine(Shown, omit_defaults=True, kw_only=True):
    """A conversion as one line of a list. `role` is FXP if you convert, and INITIATOR if another DFSP converts for you.

    A line with the role FXP has `expiration_date`.
    """

    commit_request_id: str
    role: Literal["INITIATOR", "FXP"]
    state: Literal["RESERVED", "COMMITTED", "ABORTED"]
    other_fsp: str | None
    source_amount: str
    source_currency: str
    target_amount: str
    target_currency: str
    changed_date: str
    created_date: str | None = None
    expiration_date: str | None = None


class Conversions(Shown, omit_defaults=True, kw_only=True):
    """One page. A page without `next` is the last page."""

    conversions: list[ConversionLine]
    next: str | None = None


class IncomingShown(Shown, omit_defaults=True, kw_only=True):
    """A transfer to a customer.

    While the connector stores the terms, this message also has the parties and `transactionId`.
    """

    transfer_id: str
    state: Literal["RESERVED", "COMMITTED", "ABORTED"]
    amount: str
    currency: str
    home_request_id: str | None = None
    transaction_id: str | None = None
    from_: PartyShown | None = msgspec.field(name="from", default=None)
    to: PartyShown | None = None


class RequestShown(Shown, kw_only=True):
    """A request to pay in its present state.

    `answer` is the latest answer of the payer's DFSP: RECEIVED, PENDING, ACCEPTED or REJECTED. If `is_otp_wanted` is
    true, the request waits for POST /requests/{id}/otp. `is_paid` is true if a transfer for this request has committed,
    and the requested payee got at least the requested amount.
    """

    home_request_id: str
    transaction_request_id: str
    state: RequestState
    is_ended: bool
    answer: str | None = None
    is_otp_wanted: bool = False
    is_paid: bool = False
    transfer_ids: list[str] = []
    payer_name: str | None = None
    payer_fsp: str | None = None
    amount: str
    currency: str
    error_code: str | None = None
    error_description: str | None = None


class Positions(Shown, kw_only=True):
    """This DFSP's positions at the hub, one for each currency."""

    positions: list[Position]


class RegisteredAlias(Shown, kw_only=True):
    """The answer to a registration of an alias. It contains the alias's DFSP: the connector's own DFSP."""

    fsp_id: str


class Live(Shown, kw_only=True):
    """GET /health/live."""

    status: Literal["OK"] = "OK"


class HealthShown(Shown, kw_only=True):
    """GET /health. `status` is OK, or names the first fault. `hub`, `core` and `state` are OK or name a fault. `state`
    is the connector's database.
    """

    status: Literal["OK", "STATE_NOT_AVAILABLE", "HUB_NOT_AVAILABLE", "CORE_NOT_AVAILABLE", "CLOCK_DIFFERS"]
    time: float
    hub: str
    core: str
    state: str
    clock: dict[str, float | bool | None]
