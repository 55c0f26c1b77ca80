"""The five methods that a bank implements. `HttpBackend` implements these methods by HTTP requests to an existing core.

The paths and names are those of Mojaloop's SDK (backend API 2.1), which many DFSPs already use: GET /parties, POST
/quoterequests, POST /transfers (reserve), PUT /transfers/{id} (commit or release).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote as quoted

import msgspec

from fspiop.bodies.common import Extension, GeoCode, Party, TransactionType
from fspiop.bodies.quotes import QuotePost
from fspiop.bodies.transaction_requests import (
    TransactionRequestPost,
    TransactionRequestPut,
    TransactionRequestState,
)
from fspiop.errors import ErrorCode
from kitovu_connector import party_identifiers
from kitovu_connector.amounts import decimal_of, format_decimal, ten_thousandths_of
from kitovu_connector.core_errors import Refused, Unavailable
from kitovu_connector.core_http import (
    CoreHttp,
    amount_of,
    check,
    extensions_shown,
    has_code,
    party_shown,
    present,
    read,
)
from kitovu_connector.payment_order import Extensions, PartyRef, extensions_of, ref_of


@dataclass(frozen=True, slots=True)
class PartyDetails:
    """A customer that the core knows under an alias."""

    name: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    date_of_birth: str | None = None
    kyc_information: str | None = None
    merchant_classification_code: str | None = None
    currencies: tuple[str, ...] = ()
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class TermsWanted:
    """A request for the terms of a payment whose payee is a customer of this DFSP. The request has every field that the
    payer DFSP sent.
    """

    payer: PartyRef  # the payer DFSP's description of the payer, with the field fsp_id
    payee: PartyRef
    amount: Decimal
    asked: QuotePost  # as received
    # if the payment answers one of the core's requests to pay: the core's own id of this request
    home_request_id: str | None = None

    @property
    def quote_id(self) -> str:
        """The id of the quote, set by the payer DFSP."""
        return self.asked.quote_id

    @property
    def transaction_id(self) -> str:
        """The id of the whole payment."""
        return self.asked.transaction_id

    @property
    def amount_type(self) -> str:
        """SEND: the payer spends `amount`. RECEIVE: the payee receives `amount`."""
        return self.asked.amount_type

    @property
    def currency(self) -> str:
        """The currency of `amount`."""
        return self.asked.amount.currency

    @property
    def transaction_type(self) -> TransactionType:
        """The kind of the payment, and the side that initiated the payment."""
        return self.asked.transaction_type

    @property
    def note(self) -> str | None:
        """The payer's note for the payee."""
        return self.asked.note


@dataclass(frozen=True, slots=True)
class Terms:
    """The core's terms: the amount that the customer receives, and the bank's fee. Each amount is a Decimal, or a text
    such as "12.50". `Terms` keeps a text as a Decimal. Raises AmountError for any other amount.

    The hub settles `receive_amount + fee - commission`.
    """

    receive_amount: Decimal | str
    fee: Decimal | str = Decimal(0)
    commission: Decimal | str = Decimal(0)
    expires_at: float | None = None  # seconds since 1970; None: `quote_expiry_s` from now
    geo_code: GeoCode | None = None
    extensions: Extensions = ()
    core_answer: bytes = b""  # the connector sends this value back to the core with the transfer

    def __post_init__(self) -> None:
        for name in ("receive_amount", "fee", "commission"):
            object.__setattr__(self, name, decimal_of(ten_thousandths_of(getattr(self, name))))


@dataclass(frozen=True, slots=True)
class IncomingMoney:
    """A transfer to a customer of this DFSP.

    The connector has compared the transfer with the core's terms.
    """

    transfer_id: str
    terms: TermsWanted  # the request that this transfer pays for
    amount: Decimal  # the amount that the hub settles with this DFSP
    receive_amount: Decimal  # the amount that the customer receives
    fee: Decimal
    currency: str
    extensions: Extensions = ()  # the extensions of POST /transfers
    core_answer: bytes = b""  # the core's own answer to the request for terms
    offer: bytes = b""  # the body of PUT /quotes
    message: bytes = b""  # the body of POST /transfers
    answer: bytes = b""  # the body of PUT /transfers, empty until the connector has it
    completed_at: str | None = None  # the time when the hub committed the transfer
    is_repeated: bool = False  # true if an earlier call, whose answer was lost, may have reached the core


class Backend(Protocol):
    """The interface of a core. The connector may call a method again with the same arguments. The core must then return
    the same result as before.
    """

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Returns the customer with this alias, or None."""

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        """Returns the amount and the fee, or raises Refused. Must not reserve money."""

    async def reserve(self, incoming: IncomingMoney) -> None:
        """Reserves the money durably, so that the core can credit the money later.

        After this method has raised Refused for a transfer id, the core must never reserve money for this id.
        """

    async def commit(self, incoming: IncomingMoney) -> None:
        """Credits the customer with the amount that the core reserved under this id.

        The connector calls this method after the hub has committed the transfer.

        If this method raises an error, the connector repeats the call until it succeeds.
        """

    async def release(self, transfer_id: str) -> None:
        """Releases the reservation after the hub has aborted the transfer.

        The core must refuse later reservations with this id.
        """


@runtime_checkable
class OwnerBackend(Protocol):
    """The interface for cores that can also return a customer's DFSP."""

    async def find_owner(self, id_type: str, id_value: str, sub_id: str | None) -> str | None:
        """Returns the DFSP of the customer with this alias, or None."""


class _PartyAnswer(msgspec.Struct, rename="camel", kw_only=True):
    display_name: str
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    date_of_birth: str | None = None
    kyc_information: str | None = None
    merchant_classification_code: str | None = None
    supported_currencies: tuple[str, ...] = ()
    extension_list: tuple[Extension, ...] = ()


class _TermsAnswer(msgspec.Struct, rename="camel", kw_only=True):
    payee_receive_amount: str
    payee_fsp_fee_amount: str | None = None


class _RequestAnswer(msgspec.Struct, rename="camel", kw_only=True):
    transaction_request_state: TransactionRequestState = "RECEIVED"


_HAS_NOT = frozenset({404, 405, 501})


class HttpBackend(CoreHttp):
    """Calls an existing core by HTTP.

    A 2xx response means success. A 4xx response with `{statusCode, message}` is a refusal. After a 3xx or 5xx response,
    the outcome is unknown.

    If the connector cannot read the core's answer, the connector itself refuses the request.
    """

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Sends GET /parties/{idType}/{idValue}[/{idSubValue}].

        The response 404 means that the core does not have this party.
        """
        segments = [part for part in (id_type, id_value, sub_id) if part]
        if not all(party_identifiers.is_segment(part) for part in segments):
            return None  # with this segment, the path would name a different resource of the core
        status, raw = await self.call("GET", "/parties/" + "/".join(quoted(part, safe="") for part in segments), None)
        if status == 404:
            return None
        party = read(_PartyAnswer, status, raw)
        return PartyDetails(
            name=party.display_name,
            first_name=party.first_name,
            middle_name=party.middle_name,
            last_name=party.last_name,
            date_of_birth=party.date_of_birth,
            kyc_information=party.kyc_information,
            merchant_classification_code=party.merchant_classification_code,
            currencies=party.supported_currencies,
            extensions=tuple((extension.key, extension.value) for extension in party.extension_list),
        )

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        """Sends POST /quoterequests."""
        status, raw = await self.call(
            "POST",
            "/quoterequests",
            _wanted(wanted)
            | {
                "amount": format_decimal(wanted.amount),
                "currency": wanted.currency,
                **present(
                    feesAmount=wanted.asked.fees and wanted.asked.fees.amount,
                    feesCurrency=wanted.asked.fees and wanted.asked.fees.currency,
                    geoCode=_geo_code(wanted.asked.geo_code),
                    expiration=wanted.asked.expiration,
                    transactionRequestId=wanted.asked.transaction_request_id,
                    converter=wanted.asked.converter,
                    currencyConversion=msgspec.to_builtins(wanted.asked.currency_conversion),
                    extensionList=extensions_shown(extensions_of(wanted.asked.extension_list)),
                ),
            },
        )
        answer = read(_TermsAnswer, status, raw)
        return Terms(
            receive_amount=decimal_of(amount_of("payeeReceiveAmount", answer.payee_receive_amount)),
            fee=decimal_of(amount_of("payeeFspFeeAmount", answer.payee_fsp_fee_amount or "0")),
        )

    async def reserve(self, incoming: IncomingMoney) -> None:
        """Sends POST /transfers."""
        status, raw = await self.call(
            "POST",
            "/transfers",
            _wanted(incoming.terms)
            | {
                "transferId": incoming.transfer_id,
                **_amounts(incoming),
                **present(
                    quoteRequestExtensions=extensions_shown(extensions_of(incoming.terms.asked.extension_list)),
                    transferRequestExtensions=extensions_shown(incoming.extensions),
                ),
            },
        )
        check(status, raw)

    async def commit(self, incoming: IncomingMoney) -> None:
        """Sends PUT /transfers/{id} with COMMITTED, the payee and the amounts."""
        payee = {"to": party_shown(incoming.terms.payee)}
        await self._end(incoming.transfer_id, {"transferState": "COMMITTED"} | payee | _amounts(incoming))

    async def release(self, transfer_id: str) -> None:
        """Sends PUT /transfers/{id} with ABORTED."""
        await self._end(transfer_id, {"transferState": "ABORTED"})

    async def take_request(self, asked: TransactionRequestPost, payee_fsp: str) -> TransactionRequestPut:
        """Sends POST /transactionrequests. A core without this path cannot receive requests to pay."""
        payee = msgspec.structs.replace(ref_of(asked.payee), fsp_id=payee_fsp)
        kind = asked.transaction_type
        body = {
            "transactionRequestId": asked.transaction_request_id,
            "from": party_shown(ref_of(Party(party_id_info=asked.payer))),
            "to": party_shown(payee),
            "amount": asked.amount.amount,
            "currency": asked.amount.currency,
            "transactionType": kind.scenario,
            "initiator": kind.initiator,
            "initiatorType": kind.initiator_type,
            **present(
                subScenario=kind.sub_scenario,
                note=asked.note,
                expiration=asked.expiration,
                authenticationType=asked.authentication_type,
            ),
        }
        status, raw = await self.call("POST", "/transactionrequests", body)
        if status in _HAS_NOT and not has_code(raw):
            code = ErrorCode.PAYER_FSP_UNSUPPORTED_TRANSACTION_TYPE.code
            raise Refused(code, "the payer DFSP accepts no requests to pay")
        answer: _RequestAnswer = read(_RequestAnswer, status, raw)
        return TransactionRequestPut(transaction_request_state=answer.transaction_request_state)

    async def _end(self, transfer_id: str, body: dict[str, Any]) -> None:
        status, _ = await self.call("PUT", f"/transfers/{transfer_id}", body)
        if not 200 <= status < 300:  # after the hub's decision, a refusal by the core is a fault
            raise Unavailable(f"HTTP {status} to PUT /transfers")


def _wanted(wanted: TermsWanted) -> dict[str, Any]:
    """Returns the fields that both a request for terms and a transfer have. The fields have the names of Mojaloop's
    SDK.

    Mojaloop's SDK itself does not have the last two fields.
    """
    kind = wanted.transaction_type
    return {
        "quoteId": wanted.quote_id,
        "transactionId": wanted.transaction_id,
        "from": party_shown(wanted.payer),
        "to": party_shown(wanted.payee),
        "amountType": wanted.amount_type,
        "transactionType": kind.scenario,
        "initiator": kind.initiator,
        "initiatorType": kind.initiator_type,
        "note": wanted.note,
        **present(
            subScenario=kind.sub_scenario,
            refundInfo=msgspec.to_builtins(kind.refund_info),
            balanceOfPayments=kind.balance_of_payments,
            homeRequestId=wanted.home_request_id,
        ),
    }


def _amounts(incoming: IncomingMoney) -> dict[str, str]:
    return {
        "amount": format_decimal(incoming.amount),
        "payeeReceiveAmount": format_decimal(incoming.receive_amount),
        "payeeFspFeeAmount": format_decimal(incoming.fee),
        "currency": incoming.currency,
    }


def _geo_code(place: GeoCode | None) -> dict[str, str] | None:
    return None if place is None else {"latitude": place.latitude, "longitude": place.longitude}
