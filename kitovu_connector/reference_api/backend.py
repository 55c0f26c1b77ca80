"""Lets the connector use a core with the backend API of Mojaloop's SDK (version 2.1).

A response with a status of at least 400 and a `statusCode` is the core's refusal, as in the SDK. The connector answers
every transfer with RESERVED. Later, the connector reports the transfer's end to the core by PUT /transfers/{id}, as the
SDK does if a core answers RESERVED.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote as quoted

import msgspec
import structlog

from fspiop import bodies, ilp
from fspiop import time as fsptime
from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.bulk_transfers import BulkTransferPost
from fspiop.bodies.common import CorrelationId, GeoCode
from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.bodies.transaction_requests import (
    TransactionRequestPost,
    TransactionRequestPut,
    TransactionRequestState,
)
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import party_identifiers, payee_terms
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.bulk_transactions import BulkTransaction
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.core_http import CoreHttp
from kitovu_connector.fxp import ConversionEnd
from kitovu_connector.payment_record import Payment
from kitovu_connector.reference_api import core_forms
from kitovu_connector.reference_api.bulk_transactions import bulk_shown
from kitovu_connector.reference_api.core_forms import Pair, PartyAnswer, QuoteAnswer

log = structlog.get_logger(__name__)

_STARTED = frozenset({"RECEIVED", "RESERVED", "COMMITTED"})
_NO_DECISION = frozenset({408, 425, 429})


class _Error(msgspec.Struct, rename="camel", kw_only=True):
    status_code: str | int | None = None
    message: str | None = None


class _Owner(msgspec.Struct, rename="camel", kw_only=True):
    fsp_id: str | None = None


class _Terms(QuoteAnswer, rename="camel", kw_only=True):
    expiration: str | None = None
    geo_code: GeoCode | None = None
    extension_list: tuple[Pair, ...] = ()


class _Transfer(msgspec.Struct, rename="camel", kw_only=True):
    transfer_state: str | None = None


class _Reservation(msgspec.Struct, rename="camel", kw_only=True):
    fulfilment: str | None = None


class _Request(msgspec.Struct, rename="camel", kw_only=True):
    transaction_request_state: TransactionRequestState
    transaction_id: CorrelationId | None = None


class _Password(msgspec.Struct, rename="camel", kw_only=True):
    otp_value: Annotated[str, msgspec.Meta(pattern=r"^\S{1,64}\Z")]


class _ItemTerms(QuoteAnswer, rename="camel", kw_only=True):
    error_response: _Error | None = None


class _BulkTerms(msgspec.Struct, rename="camel", kw_only=True):
    individual_quote_results: tuple[_ItemTerms, ...]
    expiration: str | None = None


class _ItemTransfer(msgspec.Struct, rename="camel", kw_only=True):
    transfer_id: str
    fulfilment: str | None = None
    error_response: _Error | None = None


class _BulkTransfer(msgspec.Struct, rename="camel", kw_only=True):
    individual_transfer_results: tuple[_ItemTransfer, ...] = ()


class _ConversionTerms(msgspec.Struct, rename="camel", kw_only=True):
    conversion_terms: FxConversion


class _Conversion(msgspec.Struct, rename="camel", kw_only=True):
    conversion_state: str
    fulfilment: str | None = None


class ReferenceBackend(CoreHttp):
    """Sends requests to the core in the same form as the SDK."""

    async def is_well(self) -> bool:
        """Sends GET /. Returns whether the core answers."""
        try:
            status, _ = await self.call("GET", "/", None)
        except Unavailable:
            return False
        return 200 <= status < 300

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Sends GET /parties/{idType}/{idValue}[/{idSubValue}]."""
        found = await self._find("parties", PartyAnswer, id_type, id_value, sub_id)
        return None if found is None else found.details()

    async def find_owner(self, id_type: str, id_value: str, sub_id: str | None) -> str | None:
        """Sends GET /participants/{idType}/{idValue}[/{idSubValue}]."""
        found = await self._find("participants", _Owner, id_type, id_value, sub_id)
        return None if found is None else found.fsp_id

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        """Sends POST /quoterequests."""
        status, raw = await self.call("POST", "/quoterequests", core_forms.quote_request(wanted))
        answer = self.answer_of(_Terms, status, raw)
        return core_forms.terms_of(
            answer,
            wanted.currency,
            expires_at=None if answer.expiration is None else _timestamp(answer.expiration),
            geo_code=answer.geo_code,
            extensions=core_forms.pairs_of(answer.extension_list),
            core_answer=raw,
        )

    async def reserve(self, incoming: IncomingMoney) -> None:
        """Sends POST /transfers. If the core may already have the transfer, first sends GET /transfers/{id}.

        The SDK never repeats POST /transfers. So a core that was written for the SDK may credit the same transfer twice
        if the connector repeats the POST.
        """
        if incoming.is_repeated and await self._has(incoming.transfer_id):
            return
        status, raw = await self.call("POST", "/transfers", _transfer_request(incoming))
        self.check(status, raw)
        _check_fulfilment(_own_fulfilment(raw), bodies.read(TransferPost, incoming.message).condition)

    async def commit(self, incoming: IncomingMoney) -> None:
        """Sends PUT /transfers/{id} with the state COMMITTED and all known data of the transfer."""
        body = _all_of(incoming) | _notification(incoming.transfer_id, "COMMITTED", incoming.completed_at)
        await self.tell(f"/transfers/{incoming.transfer_id}", body)

    async def release(self, transfer_id: str) -> None:
        """Sends PUT /transfers/{id} with the state ABORTED."""
        await self.tell(f"/transfers/{transfer_id}", _notification(transfer_id, "ABORTED", None))

    async def take_request(self, asked: TransactionRequestPost, payee_fsp: str) -> TransactionRequestPut:
        """Sends POST /transactionrequests."""
        status, raw = await self.call("POST", "/transactionrequests", core_forms.request_told(asked, payee_fsp))
        found: _Request = self.answer_of(_Request, status, raw)
        return TransactionRequestPut(
            transaction_request_state=found.transaction_request_state, transaction_id=found.transaction_id
        )

    async def give_password(self, transaction_request_id: str) -> str:
        """Sends GET /otp/{transactionRequestId}."""
        status, raw = await self.call("GET", f"/otp/{transaction_request_id}", None)
        found: _Password = self.answer_of(_Password, status, raw)
        return found.otp_value

    async def request_told(self, transaction_request_id: str, home_id: str, state: str) -> None:
        """Sends PUT /requestToPay/{transactionRequestId}."""
        body = {"homeR2PTransactionId": home_id, "transactionRequestState": state}
        await self.tell(f"/requestToPay/{transaction_request_id}", body)

    # --- bulks --------------------------------------------------------------------------------------------------------

    async def give_bulk_terms(
        self, bulk: BulkQuotePost, wanted: Sequence[TermsWanted], *, is_repeated: bool
    ) -> list[Terms | Refused]:
        """Sends POST /bulkQuotes. If the core may already have given terms, first sends GET /bulkQuotes/{id}."""
        answer = await self._known(f"/bulkQuotes/{bulk.bulk_quote_id}", _BulkTerms) if is_repeated else None
        if answer is None:
            status, raw = await self.call("POST", "/bulkQuotes", core_forms.bulk_quote_request(bulk, wanted))
            answer = self.answer_of(_BulkTerms, status, raw)
        expires_at = None if answer.expiration is None else _timestamp(answer.expiration)
        by_id = {result.quote_id: result for result in answer.individual_quote_results}
        return [_item_terms(by_id.get(one.quote_id), one, expires_at) for one in wanted]

    async def reserve_bulk(
        self, bulk: BulkTransferPost, incoming: Sequence[IncomingMoney], *, is_repeated: bool
    ) -> list[Refused | None]:
        """Sends POST /bulkTransfers. If the core may already have the bulk, first sends GET /bulkTransfers/{id}."""
        answer = await self._known(f"/bulkTransfers/{bulk.bulk_transfer_id}", _BulkTransfer) if is_repeated else None
        if answer is None:
            status, raw = await self.call("POST", "/bulkTransfers", core_forms.bulk_transfer_request(bulk, incoming))
            answer = self.answer_of(_BulkTransfer, status, raw)
        refusals = {
            result.transfer_id: result.error_response
            for result in answer.individual_transfer_results
            if result.error_response is not None
        }
        given = {result.transfer_id: result.fulfilment for result in answer.individual_transfer_results}
        conditions = {item.transfer_id: item.condition for item in bulk.individual_transfers}
        return [
            _item_refusal(
                refusals.get(one.transfer_id), given.get(one.transfer_id), conditions.get(one.transfer_id, "")
            )
            for one in incoming
        ]

    async def bulk_told(self, bulk: BulkTransaction, payments: list[Payment]) -> None:
        """Sends PUT /bulkTransactions/{bulkTransactionId}."""
        await self.tell(f"/bulkTransactions/{bulk.id}", bulk_shown(bulk, payments))

    async def _known(self, path: str, kind: type[Any]) -> Any:
        """Returns the core's earlier answer, or None if the core does not have the request."""
        status, raw = await self.call("GET", path, None)
        if status == 404:
            return None
        try:
            return self.answer_of(kind, status, raw)
        except Refused:
            return None

    # --- conversions --------------------------------------------------------------------------------------------------

    async def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        """Sends POST /fxQuotes."""
        status, raw = await self.call("POST", "/fxQuotes", msgspec.to_builtins(asked))
        self.check(status, raw)
        try:
            found = bodies.read(_ConversionTerms, raw)
        except FspiopError as error:
            raise NotUnderstood(error.description) from None
        return found.conversion_terms

    async def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        """Sends POST /fxTransfers. The API has no request that shows whether the core already has a conversion."""
        body = msgspec.to_builtins(asked)
        body.pop("expiration", None)  # this field does not exist in the SDK's API
        status, raw = await self.call("POST", "/fxTransfers", body)
        found = self.answer_of(_Conversion, status, raw)
        if found.conversion_state == "ABORTED":
            raise Refused("5105", "the FXP aborted the conversion")
        _check_fulfilment(found.fulfilment, asked.condition)

    async def end_conversion(self, commit_request_id: str, end: ConversionEnd) -> None:
        """Sends PATCH /fxTransfers/{commitRequestId}. Sends PUT instead of PATCH if the hub reported the end as an
        answer to GET.
        """
        path = f"/fxTransfers/{commit_request_id}"
        completed_at = end.completed_at or fsptime.format_datetime(datetime.now(UTC))
        if end.was_pushed:
            await self.tell(path, core_forms.conversion_end(commit_request_id, end, completed_at), "PATCH")
            return
        fulfilment = msgspec.json.decode(end.answer).get("fulfilment") if end.answer else None
        body = {"conversionState": end.state, "completedTimestamp": completed_at}
        await self.tell(path, body | ({"fulfilment": fulfilment} if fulfilment else {}))

    # --- for all of them ----------------------------------------------------------------------------------------------

    async def tell(self, path: str, body: dict[str, Any], method: str = "PUT") -> None:
        """Sends a notification.

        Raises Unavailable if the core's status is not 2xx, because a core cannot refuse a notification.
        """
        status, _ = await self.call(method, path, body)
        if not 200 <= status < 300:
            raise Unavailable(f"HTTP {status} to {method} {path.split('/')[1]}")

    def check(self, status: int, raw: bytes) -> None:
        """Raises the error that the core's answer reports. Raises no error if the answer reports a success."""
        if 200 <= status < 300:
            return
        if status < 400 or status in _NO_DECISION:
            raise Unavailable(f"HTTP {status}")
        try:
            error = msgspec.json.decode(raw, type=_Error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = _Error()
        if error.status_code is not None:
            raise Refused(str(error.status_code), error.message or "", is_perhaps_done=status >= 500)
        if status >= 500:
            raise Unavailable(f"HTTP {status}")
        raise NotUnderstood(f"HTTP {status} without a statusCode")

    def answer_of(self, kind: type[Any], status: int, raw: bytes) -> Any:
        """Returns the core's answer as the expected type. Raises an error for any other answer."""
        self.check(status, raw)
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotUnderstood(str(error)) from None

    async def _find(self, resource: str, kind: type[Any], *alias: str | None) -> Any:
        segments = [part for part in alias if part]
        if not all(party_identifiers.is_segment(part) for part in segments):
            return None  # with this segment, the path would name a different resource of the core
        path = "/".join(("", resource, *(quoted(part, safe="") for part in segments)))
        status, raw = await self.call("GET", path, None)
        if status == 404:
            return None
        return self.answer_of(kind, status, raw)

    async def _has(self, transfer_id: str) -> bool:
        """Returns whether the core already has this transfer."""
        status, raw = await self.call("GET", f"/transfers/{transfer_id}", None)
        if status == 404:
            return False
        try:
            found = self.answer_of(_Transfer, status, raw)
        except Refused:
            return False  # the core does not have this transfer; the API defines only the status 500 for this case
        return found.transfer_state in _STARTED


def _item_terms(found: _ItemTerms | None, wanted: TermsWanted, expires_at: float | None) -> Terms | Refused:
    if found is None:
        return Refused("2001", "the payee DFSP's core gave no terms")
    if found.error_response is not None:
        return Refused(str(found.error_response.status_code), found.error_response.message or "")
    try:
        raw = msgspec.json.encode(found)
        return core_forms.terms_of(found, wanted.currency, expires_at=expires_at, core_answer=raw)
    except NotUnderstood as error:
        log.error("core_not_understood", quote=wanted.quote_id, why=str(error))
        return Refused("2001", "the answer of the payee DFSP's core is invalid")


def _transfer_request(incoming: IncomingMoney) -> dict[str, Any]:
    wanted, asked = incoming.terms, incoming.terms.asked
    offer = msgspec.json.decode(incoming.offer)
    return {
        "transferId": incoming.transfer_id,
        "quote": msgspec.json.decode(incoming.core_answer or b"{}"),
        **core_forms.parties_of(wanted),
        "amountType": asked.amount_type,
        "amount": asked.amount.amount,
        "currency": asked.amount.currency,
        "transactionType": asked.transaction_type.scenario,
        "ilpPacket": {"data": payee_terms.transaction_in(offer["ilpPacket"])},
        **{
            name: value
            for name, value in {
                "subScenario": asked.transaction_type.sub_scenario,
                "note": asked.note,
                "transactionRequestId": asked.transaction_request_id,
                "homeR2PTransactionId": incoming.terms.home_request_id,
                "quoteRequestExtensions": core_forms.listed(asked.extension_list),
                "transferRequestExtensions": [{"key": key, "value": value} for key, value in incoming.extensions],
            }.items()
            if value
        },
    }


def _all_of(incoming: IncomingMoney) -> dict[str, Any]:
    """Returns the fields of fulfilNotification that describe the transfer."""
    asked, offer = msgspec.to_builtins(incoming.terms.asked), msgspec.json.decode(incoming.offer)
    fulfilled = msgspec.json.decode(incoming.answer) if incoming.answer else {}
    return {
        "quoteRequest": {"body": asked},
        "quote": {
            "request": asked,
            "internalRequest": core_forms.quote_request(incoming.terms),
            "response": msgspec.json.decode(incoming.core_answer or b"{}"),
            "mojaloopResponse": offer,
            **({"fulfilment": fulfilled["fulfilment"]} if "fulfilment" in fulfilled else {}),
        },
        "quoteResponse": {"body": offer},
        "prepare": {"body": msgspec.json.decode(incoming.message)},
        "fulfil": {"body": fulfilled},
    }


def _item_refusal(error: _Error | None, fulfilment: str | None, condition: str) -> Refused | None:
    """Returns the refusal of one item of a bulk, or None if the core has reserved the item's money."""
    if error is not None:
        return Refused(str(error.status_code), error.message or "")
    try:
        _check_fulfilment(fulfilment, condition)
    except NotUnderstood as fault:
        return Refused(ErrorCode.INTERNAL_SERVER_ERROR.code, str(fault), is_perhaps_done=True)
    return None


def _own_fulfilment(raw: bytes) -> str | None:
    """Returns the fulfilment in the core's answer to POST /transfers. Returns None if the body of the answer has no
    such field.
    """
    try:
        return msgspec.json.decode(raw, type=_Reservation).fulfilment
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _check_fulfilment(given: str | None, condition: str) -> None:
    """Raises NotUnderstood if the core's own fulfilment does not fit the condition. The hub would refuse such a
    fulfilment, and the core would have reserved money for a transfer that never commits. Only one fulfilment fits a
    condition, so a fitting fulfilment equals the connector's own fulfilment.
    """
    if given is not None and not ilp.fulfils(given, condition):
        raise NotUnderstood("fulfilment: does not fit the condition")


def _notification(transfer_id: str, state: str, completed_at: str | None) -> dict[str, Any]:
    return {
        "transferId": transfer_id,
        "direction": "INBOUND",
        "currentState": "COMPLETED" if state == "COMMITTED" else "ABORTED",
        "finalNotification": {
            "completedTimestamp": completed_at or fsptime.format_datetime(datetime.now(UTC)),
            "transferState": state,
        },
    }


def _timestamp(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise NotUnderstood("expiration: is not a time") from None
