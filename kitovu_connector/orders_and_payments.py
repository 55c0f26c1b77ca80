"""Orders and payments in the form of the Python API, with Decimal amounts.

The connector stores orders and payments in another form, with whole ten-thousandths
(`kitovu_connector.payment_order.Order`, `kitovu_connector.payment_record.Payment`).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import msgspec

from fspiop.errors import ErrorCode
from kitovu_connector import payment_conversion, payment_order
from kitovu_connector import payment_record as stored
from kitovu_connector.amounts import AmountError, decimal_of, parse_amount, ten_thousandths_of
from kitovu_connector.errors import InvalidRequest
from kitovu_connector.payer import entered_password
from kitovu_connector.payment_order import OrderBase, PartyRef
from kitovu_connector.payment_record import ENDS, State

_LONGEST_HOME_ID = 128
_AMOUNTS = ("amount", "max_amount", "fee_limit")


class Order(OrderBase, frozen=True, kw_only=True, omit_defaults=True):
    """An order for a payment. `home_id` is the program's own id of the payment: all orders with one `home_id` are one
    payment.

    Each amount is a Decimal, such as Decimal("12.50"), or a text, such as "12.50". The order keeps a text as a Decimal.
    Raises AmountError for any other amount, also for a float.
    """

    amount: Decimal | str
    # for amount_type RECEIVE: the largest transfer amount, including fees. By default, `quote` has no limit. `pay` has
    # the limit `amount`, which permits no fees
    max_amount: Decimal | str | None = None
    fee_limit: Decimal | str | None = None  # terms with a higher fee end the payment

    def __post_init__(self) -> None:
        for name in _AMOUNTS:
            value = getattr(self, name)
            if value is None and name != "amount":
                continue
            try:
                amount = ten_thousandths_of(value)
            except AmountError as error:
                raise AmountError(f"{name}: {error}") from None
            msgspec.structs.force_setattr(self, name, decimal_of(amount))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedConversion:
    """The terms on which an FXP converts a payment. The payer spends the source amount."""

    fxp: str
    source_amount: Decimal
    source_currency: str
    target_amount: Decimal
    target_currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An outgoing payment in its present state. Each time is in seconds since 1970.

    If the payment has a `conversion`, all other amounts are in the conversion's target currency.
    """

    order: Order
    state: State
    transfer_id: str
    transaction_id: str
    quote_id: str
    payee: PartyRef | None  # the payee DFSP's description of the payee, with fsp_id
    transfer_amount: Decimal | None  # this amount and the fee are None until the payee DFSP's terms have arrived
    receive_amount: Decimal | None  # None also if the terms do not contain it
    fee: Decimal | None
    terms_expire_at: float | None
    conversion: AgreedConversion | None
    otp: str | None  # the one-time password that the payer has entered
    error_code: str | None
    error_text: str | None
    created_at: float
    changed_at: float
    completed_at: str | None  # the time of the commit, as the hub reported it

    @property
    def home_id(self) -> str:
        """The program's own id of the payment."""
        return self.order.home_id

    @property
    def is_ended(self) -> bool:
        """Whether the payment has ended: COMMITTED or ABORTED. A final state never changes."""
        return self.state in ENDS

    @property
    def waits_for(self) -> Literal["TERMS", "OTP"] | None:
        """What the program must confirm next, or None."""
        return _WAITS_FOR.get(self.state)


_WAITS_FOR: dict[State, Literal["TERMS", "OTP"]] = {State.AGREED: "TERMS", State.AUTHORIZED: "OTP"}


def stored_order(order: Order, *, needs_confirmation: bool = False) -> payment_order.Order:
    """Converts an order of the Python API into the stored form. Raises InvalidRequest or AmountError if a field has a
    wrong type or an amount of 0.
    """
    if not isinstance(order, Order):
        raise InvalidRequest("the order must be a kitovu_connector.Order")
    amount = ten_thousandths_of(order.amount)
    if amount == 0:
        raise AmountError("amount: must be above 0")
    found = payment_order.Order(
        **_fields_of(order),
        amount=amount,
        max_amount=None if order.max_amount is None else ten_thousandths_of(order.max_amount),
        fee_limit=None if order.fee_limit is None else ten_thousandths_of(order.fee_limit),
        needs_confirmation=needs_confirmation,
    )
    try:
        # A payment whose record cannot be written or read could not continue.
        found = msgspec.convert(msgspec.to_builtins(found, builtin_types=(bytes,)), type=payment_order.Order)
        msgspec.json.encode(found)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise InvalidRequest(str(error)) from None
    if not 1 <= len(found.home_id) <= _LONGEST_HOME_ID:
        raise InvalidRequest(f"home_id: must have 1 to {_LONGEST_HOME_ID} characters")
    if found.max_amount is not None and found.amount_type != "RECEIVE":
        raise InvalidRequest("max_amount: only with the amount_type RECEIVE")
    if found.max_amount is not None and found.max_amount < found.amount:
        raise InvalidRequest("max_amount: must not be below amount")
    if found.needs_password and not found.transaction_request_id:
        raise InvalidRequest("transaction_request_id is required with needs_password", ErrorCode.MISSING_ELEMENT)
    if found.skip_lookup and not found.payee.fsp_id:
        raise InvalidRequest("payee.fsp_id is required with skip_lookup", ErrorCode.MISSING_ELEMENT)
    return found


def payment_of(payment: stored.Payment, changed_at: float) -> Payment:
    """Converts a stored payment into the form of the Python API."""
    return Payment(
        order=_order_of(payment.order),
        state=payment.state,
        transfer_id=payment.transfer_id,
        transaction_id=payment.transaction_id,
        quote_id=payment.quote_id,
        payee=payment.payee,
        transfer_amount=_decimal_of(payment.transfer_amount or None),
        receive_amount=_decimal_of(payment.receive_amount),
        # a payee DFSP without a fee can leave the fee out of its terms
        fee=_decimal_of((payment.fee or 0) if payment.transfer_amount else None),
        terms_expire_at=payment.terms_expire_at or None,
        conversion=_conversion_of(payment),
        otp=entered_password(payment),
        error_code=payment.error_code,
        error_text=payment.error_text,
        created_at=payment.created_at,
        changed_at=changed_at,
        completed_at=payment.completed_at,
    )


def _order_of(order: payment_order.Order) -> Order:
    return Order(
        **_fields_of(order),
        amount=decimal_of(order.amount),
        max_amount=_decimal_of(order.max_amount),
        fee_limit=_decimal_of(order.fee_limit),
    )


def _fields_of(order: OrderBase) -> dict[str, Any]:
    return {name: getattr(order, name) for name in OrderBase.__struct_fields__}


def _decimal_of(amount: int | None) -> Decimal | None:
    return None if amount is None else decimal_of(amount)


def _conversion_of(payment: stored.Payment) -> AgreedConversion | None:
    if not payment.fx_quote_answer:
        return None
    source, target = payment_conversion.sides(payment)
    return AgreedConversion(
        fxp=payment_conversion.provider(payment),
        source_amount=decimal_of(parse_amount(source.amount)),
        source_currency=source.currency,
        target_amount=decimal_of(parse_amount(target.amount)),
        target_currency=target.currency,
    )
