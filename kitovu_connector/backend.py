"""The five methods that a bank implements. `HttpBackend` implements them for an existing core, by HTTP requests.

The paths and names are those of Mojaloop's SDK (backend API 2.1), which DFSPs know: GET /parties,
POST /quoterequests, POST /transfers (reserve), PUT /transfers/{id} (commit or release).
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import quote as quoted

import aiohttp
import msgspec
from yarl import URL

from fspiop.bodies.common import Extension, GeoCode, TransactionType
from fspiop.bodies.quotes import QuotePost
from kitovu_connector import identifiers
from kitovu_connector.amounts import format_amount, parse_amount
from kitovu_connector.client import read_at_most
from kitovu_connector.payment_order import Extensions, PartyRef, extensions_of

ANSWER_AT_MOST = 256 * 1024


@dataclass(frozen=True, slots=True)
class PartyDetails:
    """A customer that the core knows under an alias."""

    name: str
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
    """A request for the terms of a payment to a customer of this DFSP, with every field that the payer DFSP sent."""

    payer: PartyRef  # the payer as the payer DFSP describes it, with fsp_id
    payee: PartyRef
    amount: int
    asked: QuotePost  # as received

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
        """SEND: `amount` is what the payer spends. RECEIVE: `amount` is what the payee receives."""
        return self.asked.amount_type

    @property
    def currency(self) -> str:
        """The currency of `amount`."""
        return self.asked.amount.currency

    @property
    def transaction_type(self) -> TransactionType:
        """The kind of payment, and which side initiated it."""
        return self.asked.transaction_type

    @property
    def note(self) -> str | None:
        """The payer's note for the payee."""
        return self.asked.note


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of the core: the amount that the customer receives, and the bank's fee, both in ten-thousandths."""

    receive_amount: int
    fee: int = 0


@dataclass(frozen=True, slots=True)
class IncomingMoney:
    """A transfer to a customer of this DFSP.

    The connector has compared the transfer with the terms that the core gave.
    """

    transfer_id: str
    terms: TermsWanted  # the request that this transfer pays for
    amount: int  # the amount that the hub settles with this DFSP
    receive_amount: int  # the amount that the customer receives
    fee: int
    currency: str
    extensions: Extensions = ()  # the extensions of the transfer itself


class Refused(Exception):
    """The core's definite refusal, with an FSPIOP code (5104 payee rejected transaction, 5200 payee limit, ...)."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


class Unavailable(Exception):
    """The outcome at the core is unknown. The connector retries, so the core must be idempotent by transfer id."""


class NotUnderstood(Exception):
    """The core's answer cannot be read, and a repeated request would get the same answer. Nothing is accepted."""


class Backend(Protocol):
    """The core. The connector may repeat any call with the same arguments.

    The core must then return the same result.
    """

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Returns the customer with this alias, or None."""

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        """Returns the amount and the fee, or raises Refused. Reserves nothing."""

    async def reserve(self, incoming: IncomingMoney) -> None:
        """Ensures durably that the money can be credited later.

        If this method raises Refused, the refusal is final for this id.
        """

    async def commit(self, incoming: IncomingMoney) -> None:
        """Credits the customer with the amount reserved under this id, after the hub has committed.

        If this method raises an error, the connector calls it again, until it returns.
        """

    async def release(self, transfer_id: str) -> None:
        """Releases the reservation after the hub has aborted, and refuses every later reservation with this id."""


class _Answer(msgspec.Struct, rename="camel", kw_only=True):
    status_code: str | int | None = None
    message: str | None = None


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


class HttpBackend:
    """An existing core behind HTTP.

    2xx is a success. 4xx with `{statusCode, message}` is a refusal. After 3xx and 5xx, the outcome is unknown.

    The connector cannot read any other answer, and then refuses the request in the core's name.
    """

    def __init__(self, url: str, *, timeout_s: float = 8.0, connections: int = 32) -> None:
        self._base = url.rstrip("/")
        self._timeout_s = timeout_s
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self.fault = ""
        """Why the last call had no answer. Empty if it had one, and before the first call."""

    async def __aenter__(self) -> "HttpBackend":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=3),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Sends GET /parties/{idType}/{idValue}[/{idSubValue}]. The response 404 means that there is no such party."""
        segments = [part for part in (id_type, id_value, sub_id) if part]
        if not all(identifiers.is_segment(part) for part in segments):
            return None  # the path would lead to another resource of the core
        status, raw = await self._call("GET", "/parties/" + "/".join(quoted(part, safe="") for part in segments), None)
        if status == 404:
            return None
        party = _read(_PartyAnswer, status, raw)
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
        status, raw = await self._call(
            "POST",
            "/quoterequests",
            _wanted(wanted)
            | {
                "amount": format_amount(wanted.amount),
                "currency": wanted.currency,
                **_present(
                    feesAmount=wanted.asked.fees and wanted.asked.fees.amount,
                    feesCurrency=wanted.asked.fees and wanted.asked.fees.currency,
                    geoCode=_geo_code(wanted.asked.geo_code),
                    expiration=wanted.asked.expiration,
                    transactionRequestId=wanted.asked.transaction_request_id,
                    converter=wanted.asked.converter,
                    currencyConversion=msgspec.to_builtins(wanted.asked.currency_conversion),
                    extensionList=_extensions(extensions_of(wanted.asked.extension_list)),
                ),
            },
        )
        answer = _read(_TermsAnswer, status, raw)
        return Terms(
            receive_amount=_amount("payeeReceiveAmount", answer.payee_receive_amount),
            fee=_amount("payeeFspFeeAmount", answer.payee_fsp_fee_amount or "0"),
        )

    async def reserve(self, incoming: IncomingMoney) -> None:
        """Sends POST /transfers."""
        status, raw = await self._call(
            "POST",
            "/transfers",
            _wanted(incoming.terms)
            | {
                "transferId": incoming.transfer_id,
                **_amounts(incoming),
                **_present(
                    quoteRequestExtensions=_extensions(extensions_of(incoming.terms.asked.extension_list)),
                    transferRequestExtensions=_extensions(incoming.extensions),
                ),
            },
        )
        _check(status, raw)

    async def commit(self, incoming: IncomingMoney) -> None:
        """Sends PUT /transfers/{id} with COMMITTED, the payee and the amounts."""
        payee = {"to": _party(incoming.terms.payee)}
        await self._end(incoming.transfer_id, {"transferState": "COMMITTED"} | payee | _amounts(incoming))

    async def release(self, transfer_id: str) -> None:
        """Sends PUT /transfers/{id} with ABORTED."""
        await self._end(transfer_id, {"transferState": "ABORTED"})

    async def _end(self, transfer_id: str, body: dict[str, Any]) -> None:
        status, _ = await self._call("PUT", f"/transfers/{transfer_id}", body)
        if not 200 <= status < 300:  # the core can no longer refuse, because the hub has decided; so this is a fault
            raise Unavailable(f"HTTP {status} to PUT /transfers")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        assert self._session is not None, "use as a context manager"
        try:
            async with self._session.request(
                method,
                URL(self._base + path, encoded=True),
                data=None if body is None else msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                raw = await read_at_most(response, ANSWER_AT_MOST)
                self.fault = f"HTTP {response.status}" if response.status >= 500 else ""
                return response.status, raw
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.fault = type(error).__name__
            raise Unavailable(type(error).__name__) from error


def _wanted(wanted: TermsWanted) -> dict[str, Any]:
    """Returns the fields that terms and transfer share, with the names of Mojaloop's SDK.

    The SDK does not have the last two fields.
    """
    kind = wanted.transaction_type
    return {
        "quoteId": wanted.quote_id,
        "transactionId": wanted.transaction_id,
        "from": _party(wanted.payer),
        "to": _party(wanted.payee),
        "amountType": wanted.amount_type,
        "transactionType": kind.scenario,
        "initiator": kind.initiator,
        "initiatorType": kind.initiator_type,
        "note": wanted.note,
        **_present(
            subScenario=kind.sub_scenario,
            refundInfo=msgspec.to_builtins(kind.refund_info),
            balanceOfPayments=kind.balance_of_payments,
        ),
    }


def _amounts(incoming: IncomingMoney) -> dict[str, str]:
    return {
        "amount": format_amount(incoming.amount),
        "payeeReceiveAmount": format_amount(incoming.receive_amount),
        "payeeFspFeeAmount": format_amount(incoming.fee),
        "currency": incoming.currency,
    }


def _party(party: PartyRef) -> dict[str, Any]:
    return {
        "idType": party.id_type,
        "idValue": party.id_value,
        **_present(
            idSubValue=party.sub_id,
            fspId=party.fsp_id,
            displayName=party.name,
            firstName=party.first_name,
            middleName=party.middle_name,
            lastName=party.last_name,
            dateOfBirth=party.date_of_birth,
            kycInformation=party.kyc_information,
            merchantClassificationCode=party.merchant_classification_code,
            supportedCurrencies=list(party.currencies),
            extensionList=_extensions(party.extensions),
        ),
    }


def _extensions(extensions: Extensions) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in extensions]


def _geo_code(place: GeoCode | None) -> dict[str, str] | None:
    return None if place is None else {"latitude": place.latitude, "longitude": place.longitude}


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _check(status: int, raw: bytes) -> None:
    if 200 <= status < 300:
        return
    if not 400 <= status < 500 or status in (408, 425, 429):
        raise Unavailable(f"HTTP {status}")
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotUnderstood(f"HTTP {status} without a statusCode") from None
    if answer.status_code is None:
        raise NotUnderstood(f"HTTP {status} without a statusCode")
    raise Refused(str(answer.status_code), answer.message or "")


def _read(kind: type[Any], status: int, raw: bytes) -> Any:
    _check(status, raw)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotUnderstood(str(error)) from None


def _amount(name: str, text: str) -> int:
    try:
        return parse_amount(text)
    except ValueError as error:
        raise NotUnderstood(f"{name}: {error}") from None
