"""Right messages, to be spoilt by the tests."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from fspiop.time import format_datetime
from tests.keys import CONDITION, FULFILMENT, PACKET

TRANSACTION_TYPE = {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"}


def moment(seconds: float = 60) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))


def transfer(**changes: Any) -> dict[str, Any]:
    return {
        "transferId": str(uuid.uuid4()),
        "payerFsp": "green",
        "payeeFsp": "blue",
        "amount": {"currency": "TZS", "amount": "100"},
        "ilpPacket": PACKET,
        "condition": CONDITION,
        "expiration": moment(),
    } | changes


def fulfilment(**changes: Any) -> dict[str, Any]:
    return {"transferState": "COMMITTED", "fulfilment": FULFILMENT, "completedTimestamp": moment(0)} | changes


def error(code: Any = "5104", text: str = "no") -> dict[str, Any]:
    return {"errorInformation": {"errorCode": code, "errorDescription": text}}


def party(fsp: str, identifier: str, **more: Any) -> dict[str, Any]:
    info = {"partyIdType": "MSISDN", "partyIdentifier": identifier, "fspId": fsp}
    return {"partyIdInfo": info} | more


def quote(**changes: Any) -> dict[str, Any]:
    return {
        "quoteId": str(uuid.uuid4()),
        "transactionId": str(uuid.uuid4()),
        "payer": party("green", "255712001001"),
        "payee": party("blue", "255655001001"),
        "amountType": "SEND",
        "amount": {"currency": "TZS", "amount": "100"},
        "transactionType": TRANSACTION_TYPE,
    } | changes


def terms(**changes: Any) -> dict[str, Any]:
    return {
        "transferAmount": {"currency": "TZS", "amount": "100"},
        "expiration": moment(),
        "ilpPacket": PACKET,
        "condition": CONDITION,
    } | changes


def bulk_quote(count: int = 2, **changes: Any) -> dict[str, Any]:
    return {
        "bulkQuoteId": str(uuid.uuid4()),
        "payer": party("green", "255712001001"),
        "individualQuotes": [
            {
                "quoteId": str(uuid.uuid4()),
                "transactionId": str(uuid.uuid4()),
                "payee": party("blue", f"2556550010{number:02}"),
                "amountType": "SEND",
                "amount": {"currency": "TZS", "amount": "1"},
                "transactionType": TRANSACTION_TYPE,
            }
            for number in range(count)
        ],
    } | changes


def bulk_terms(asked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "expiration": moment(),
        "individualQuoteResults": [
            {
                "quoteId": quote["quoteId"],
                "transferAmount": quote["amount"],
                "ilpPacket": PACKET,
                "condition": CONDITION,
            }
            for quote in asked["individualQuotes"]
        ],
    } | changes


def bulk_transfer(*amounts: str, **changes: Any) -> dict[str, Any]:
    return {
        "bulkTransferId": str(uuid.uuid4()),
        "bulkQuoteId": str(uuid.uuid4()),
        "payerFsp": "green",
        "payeeFsp": "blue",
        "individualTransfers": [item(amount) for amount in amounts or ("1", "1")],
        "expiration": moment(),
    } | changes


def item(amount: str = "1", currency: str = "TZS", **changes: Any) -> dict[str, Any]:
    return {
        "transferId": str(uuid.uuid4()),
        "transferAmount": {"currency": currency, "amount": amount},
        "ilpPacket": PACKET,
        "condition": CONDITION,
    } | changes


def bulk_results(asked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The payee's answer that fulfils every item."""
    return {
        "bulkTransferState": "COMPLETED",
        "completedTimestamp": moment(0),
        "individualTransferResults": [
            {"transferId": item["transferId"], "fulfilment": FULFILMENT} for item in asked["individualTransfers"]
        ],
    } | changes
