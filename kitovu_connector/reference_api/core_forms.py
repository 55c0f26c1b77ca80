"""Converts parties and terms between the connector's form and the form of the SDK's backend API. Pure functions,
without I/O.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.bulk_transfers import BulkTransferPost
from fspiop.bodies.common import ExtensionList, Party, TransactionType
from fspiop.bodies.quotes import QuotePost
from fspiop.bodies.transaction_requests import TransactionRequestPost
from kitovu_connector.amounts import decimal_of, format_decimal
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.core_errors import NotUnderstood
from kitovu_connector.core_http import amount_of, extensions_shown, party_shown, present
from kitovu_connector.fxp import ConversionEnd
from kitovu_connector.payment_order import Extensions, extensions_of, ref_of


class Pair(msgspec.Struct):
    """One extension."""

    key: str
    value: str


class PartyAnswer(msgspec.Struct, rename="camel", kw_only=True):
    """The object transferParty, which is the answer to GET /parties."""

    display_name: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    date_of_birth: str | None = None
    kyc_information: str | None = None
    merchant_classification_code: str | None = None
    supported_currencies: tuple[str, ...] = ()
    extension_list: tuple[Pair, ...] = ()

    def details(self) -> PartyDetails:
        """Returns the customer."""
        return PartyDetails(
            name=self.display_name,
            first_name=self.first_name,
            middle_name=self.middle_name,
            last_name=self.last_name,
            date_of_birth=self.date_of_birth,
            kyc_information=self.kyc_information,
            merchant_classification_code=self.merchant_classification_code,
            currencies=self.supported_currencies,
            extensions=tuple((pair.key, pair.value) for pair in self.extension_list),
        )


class QuoteAnswer(msgspec.Struct, rename="camel", kw_only=True):
    """The object quoteResponse, or one result in a bulkQuoteResponse."""

    quote_id: str | None = None
    transfer_amount: str | None = None
    transfer_amount_currency: str | None = None
    payee_receive_amount: str | None = None
    payee_receive_amount_currency: str | None = None
    payee_fsp_fee_amount: str | None = None
    payee_fsp_fee_amount_currency: str | None = None
    payee_fsp_commission_amount: str | None = None
    payee_fsp_commission_amount_currency: str | None = None

    def amounts(self, currency: str) -> tuple[int, int, int]:
        """Returns the amount that the customer receives, the fee and the commission.

        Raises NotUnderstood if the sum of the amounts is wrong.
        """
        names = ("transfer_amount", "payee_receive_amount", "payee_fsp_fee_amount", "payee_fsp_commission_amount")
        if any(getattr(self, name + "_currency") not in (None, currency) for name in names):
            raise NotUnderstood(f"the terms are not in {currency}")
        if self.transfer_amount is None:
            raise NotUnderstood("transferAmount is missing")
        transfer = amount_of("transferAmount", self.transfer_amount)
        fee = amount_of("payeeFspFeeAmount", self.payee_fsp_fee_amount or "0")
        commission = amount_of("payeeFspCommissionAmount", self.payee_fsp_commission_amount or "0")
        receive = transfer - fee + commission
        if self.payee_receive_amount is not None:
            receive = amount_of("payeeReceiveAmount", self.payee_receive_amount)
        if receive < 0:
            raise NotUnderstood("payeeFspFeeAmount is more than transferAmount")
        if transfer != receive + fee - commission:
            # API Definition 5.1. A payer DFSP that checks the sum would refuse terms with a wrong sum.
            raise NotUnderstood("transferAmount is not payeeReceiveAmount + payeeFspFeeAmount - commission")
        return receive, fee, commission


def parties_of(wanted: TermsWanted) -> dict[str, Any]:
    """Returns the payer and the payee of a request."""
    return {"from": party_shown(wanted.payer), "to": party_shown(wanted.payee)}


def kind_shown(kind: TransactionType) -> dict[str, Any]:
    """Returns the kind of payment."""
    return {
        "transactionType": kind.scenario,
        "initiator": kind.initiator,
        "initiatorType": kind.initiator_type,
        **present(
            subScenario=kind.sub_scenario,
            refundInfo=msgspec.to_builtins(kind.refund_info),
            balanceOfPayments=kind.balance_of_payments,
        ),
    }


def quote_request(wanted: TermsWanted) -> dict[str, Any]:
    """Returns quoteRequest, the body of POST /quoterequests."""
    asked: QuotePost = wanted.asked
    return {
        "quoteId": asked.quote_id,
        "transactionId": asked.transaction_id,
        **parties_of(wanted),
        "amountType": asked.amount_type,
        "amount": format_decimal(wanted.amount),
        "currency": wanted.currency,
        **kind_shown(asked.transaction_type),
        **present(
            note=asked.note,
            feesAmount=asked.fees and asked.fees.amount,
            feesCurrency=asked.fees and asked.fees.currency,
            geoCode=asked.geo_code and msgspec.to_builtins(asked.geo_code),
            expiration=asked.expiration,
            transactionRequestId=asked.transaction_request_id,
            homeR2PTransactionId=wanted.home_request_id,
            converter=asked.converter,
            currencyConversion=asked.currency_conversion and msgspec.to_builtins(asked.currency_conversion),
            extensionList=listed(asked.extension_list),
        ),
    }


def terms_of(answer: QuoteAnswer, currency: str, **more: Any) -> Terms:
    """Returns the core's terms in the connector's form."""
    receive, fee, commission = map(decimal_of, answer.amounts(currency))
    return Terms(receive_amount=receive, fee=fee, commission=commission, **more)


def listed(extensions: ExtensionList | None) -> list[dict[str, str]]:
    """Returns extensions as the SDK's list."""
    return extensions_shown(extensions_of(extensions))


def pairs_of(extensions: tuple[Pair, ...]) -> Extensions:
    """Converts the SDK's list into extensions."""
    return tuple((pair.key, pair.value) for pair in extensions)


def party_told(party: Party) -> dict[str, Any]:
    """Returns a party of the API in the SDK's form."""
    return party_shown(ref_of(party))


def request_told(asked: TransactionRequestPost, payee_fsp: str) -> dict[str, Any]:
    """Returns transactionRequest, the body of POST /transactionrequests."""
    payee = msgspec.structs.replace(ref_of(asked.payee), fsp_id=payee_fsp)
    return {
        "transactionRequestId": asked.transaction_request_id,
        "from": party_told(Party(party_id_info=asked.payer)),
        "to": party_shown(payee),
        "amount": asked.amount.amount,
        "currency": asked.amount.currency,
        **kind_shown(asked.transaction_type),
        **present(
            note=asked.note,
            geoCode=asked.geo_code and msgspec.to_builtins(asked.geo_code),
            expiration=asked.expiration,
            authenticationType=asked.authentication_type,
        ),
    }


def bulk_quote_request(bulk: BulkQuotePost, wanted: Sequence[TermsWanted]) -> dict[str, Any]:
    """Returns bulkQuoteRequest, the body of POST /bulkQuotes."""
    items = []
    for one in wanted:
        item = quote_request(one)
        for name in ("from", "geoCode", "expiration"):  # the fields that concern the whole bulk
            item.pop(name, None)
        items.append(item)
    return {
        "bulkQuoteId": bulk.bulk_quote_id,
        "from": party_shown(wanted[0].payer),
        "individualQuotes": items,
        **present(
            expiration=bulk.expiration,
            geoCode=bulk.geo_code and msgspec.to_builtins(bulk.geo_code),
            extensionList=listed(bulk.extension_list),
        ),
    }


def bulk_transfer_request(bulk: BulkTransferPost, incoming: Sequence[IncomingMoney]) -> dict[str, Any]:
    """Returns bulkTransferRequest, the body of POST /bulkTransfers."""
    results = [msgspec.json.decode(one.core_answer or b"{}") for one in incoming]
    return {
        "bulkTransferId": bulk.bulk_transfer_id,
        "bulkQuote": {"bulkQuoteId": bulk.bulk_quote_id, "individualQuoteResults": results},
        "from": party_shown(incoming[0].terms.payer),
        "individualTransfers": [
            {
                "transferId": one.transfer_id,
                "to": party_shown(one.terms.payee),
                "amountType": one.terms.amount_type,
                "amount": one.terms.asked.amount.amount,
                "currency": one.currency,
                **kind_shown(one.terms.transaction_type),
                **present(note=one.terms.note),
            }
            for one in incoming
        ],
    }


def conversion_end(commit_request_id: str, end: ConversionEnd, completed_at: str) -> dict[str, Any]:
    """Returns FxTransfersPatchBackendRequest, the body of PATCH /fxTransfers/{commitRequestId}."""

    def known(raw: bytes) -> dict[str, Any]:
        return {"body": msgspec.json.decode(raw)} if raw else {}

    return {
        "conversionId": commit_request_id,
        "direction": "INBOUND",
        "currentState": "COMPLETED" if end.state == "COMMITTED" else "ABORTED",
        "fxQuoteRequest": known(end.quote_asked),
        "fxPrepare": known(end.asked),
        "fulfil": known(end.answer),
        "finalNotification": {"completedTimestamp": completed_at, "conversionState": end.state},
    }
