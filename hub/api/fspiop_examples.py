"""An example of each message, for the FSPIOP document and the integrator's guide.

A customer of greenbank pays 100 TZS to a customer of bluewallet. A test sends the messages of this payment to a hub in
this order, and checks that the hub accepts them. The other examples are about the same two DFSPs: bluewallet requests a
payment, greenbank pays salaries with a bulk, and the FXP goldfx converts TZS into KES.
"""

from types import MappingProxyType
from typing import Any

from fspiop import ilp
from fspiop.errors import ErrorCode, error_body

PAYER, PAYEE, FXP = "greenbank", "bluewallet", "goldfx"
_NUMBER, _PAYERS_NUMBER = "255655001001", "255712001001"
QUOTE_ID = "7c23e80c-d078-4077-8263-2c047876fcf6"
TRANSACTION_ID = "85feac2f-39b2-491b-817e-4a03203d4f14"
TRANSFER_ID = TRANSACTION_ID
DATE = "Tue, 24 Nov 2026 08:00:00 GMT"
_EXPIRATION = "2026-11-24T08:01:00.000Z"
_AMOUNT = {"currency": "TZS", "amount": "100"}


def _lock(minor_units: int, number: str, transaction_id: str) -> tuple[str, str, str]:
    """Returns the packet, the fulfilment and the condition of a payment."""
    packet = ilp.encode_payment(ilp.IlpPayment(minor_units, f"g.tz.{PAYEE}.{number}", transaction_id.encode()))
    fulfilment = ilp.fulfilment_for(packet, b"a secret of the payee DFSP")
    return packet, fulfilment, ilp.condition_for(fulfilment)


_PACKET, _FULFILMENT, _CONDITION = _lock(10_000, _NUMBER, TRANSACTION_ID)
_COMPLETED = "2026-11-24T08:00:00.120Z"
_REQUEST_ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"
_BULK_QUOTE_ID, _BULK_TRANSFER_ID = "3b5a9f62-5d3b-4a4e-9b64-1d8a3ad4f1a0", "8f2c1d4e-6a7b-4c8d-9e0f-1a2b3c4d5e6f"
_SALARIES = (
    (
        "0d6f1c1e-54a7-4f0b-8c59-0a7b7b5f2a11",
        "6d1c4e0a-2f7b-4b6e-9f0d-3c5a1e7b9d21",
        "255655001001",
        "Asha Juma",
        "450000",
    ),
    (
        "1e7f2d2f-65b8-4a1c-9d6a-1b8c8c6a3b22",
        "7e2d5f1b-3a8c-4c7f-8a1e-4d6b2f8cae32",
        "255655001002",
        "Neema Ali",
        "380000",
    ),
)
_CONVERSION_REQUEST_ID, _CONVERSION_ID = "c8a1e2d3-4b5f-4c6a-8d7e-9f0a1b2c3d4e", "d9b2f3e4-5c6a-4d7b-9e8f-0a1b2c3d4e5f"
_SOURCE, _TARGET = {"currency": "TZS", "amount": "2000"}, {"currency": "KES", "amount": "100"}
_TYPE = {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"}


def _party(fsp: str, number: str, name: str) -> dict[str, Any]:
    return {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": number, "fspId": fsp}, "name": name}


def _error(error: ErrorCode, detail: str = "") -> dict[str, Any]:
    return error_body(error.code, f"{error.text} - {detail}" if detail else error.text)


ERRORS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "participants": _error(ErrorCode.ADD_PARTY_INFO_ERROR, "another DFSP has registered this alias"),
        "parties": _error(ErrorCode.PARTY_NOT_FOUND),
        "quotes": _error(ErrorCode.PAYEE_FSP_REJECTED_QUOTE, "the account cannot receive this amount"),
        "transfers": _error(ErrorCode.PAYEE_REJECTED_TRANSACTION),
        "transactionRequests": _error(ErrorCode.PAYER_REJECTED_TRANSACTION_REQUEST),
        "authorizations": _error(ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND),
        "transactions": _error(ErrorCode.TRANSACTION_ID_NOT_FOUND),
        "bulkQuotes": _error(ErrorCode.PAYEE_FSP_REJECTED_QUOTE, "bulk payments are not offered"),
        "bulkTransfers": _error(ErrorCode.PAYEE_FSP_REJECTED_TRANSACTION, "the bulk does not match its quote"),
        "fxQuotes": _error(ErrorCode.PAYEE_UNSUPPORTED_CURRENCY, "no rate for TZS to KES"),
        "fxTransfers": _error(ErrorCode.PAYEE_FSP_INSUFFICIENT_LIQUIDITY),
    }
)
"""The body of an error callback, for each resource."""


_LOCKS = [_lock(100 * int(amount), number, transfer_id) for _, transfer_id, number, _, amount in _SALARIES]


def _terms_of_salaries() -> list[dict[str, Any]]:
    return [
        {"transferAmount": {"currency": "TZS", "amount": amount}, "ilpPacket": packet, "condition": condition}
        for (*_, amount), (packet, _, condition) in zip(_SALARIES, _LOCKS, strict=True)
    ]


def _conversion(**more: Any) -> dict[str, Any]:
    return {
        "conversionId": _CONVERSION_ID,
        "determiningTransferId": TRANSFER_ID,
        "initiatingFsp": PAYER,
        "counterPartyFsp": FXP,
        "amountType": "SEND",
        "sourceAmount": _SOURCE,
        "targetAmount": {"currency": "KES"},
        "expiration": _EXPIRATION,
    } | more


_ALIAS_IS_REGISTERED = {"fspId": PAYEE}
_ALIAS = {"fspId": PAYEE, "currency": "TZS"}
_FOUND = {"party": _party(PAYEE, _NUMBER, "Asha Juma")}
_MANY = [{"partyIdType": "MSISDN", "partyIdentifier": number, "fspId": PAYEE} for _, _, number, _, _ in _SALARIES]

EXAMPLES: MappingProxyType[tuple[str, str], dict[str, Any]] = MappingProxyType(
    {
        ("post", "/participants"): {"requestId": _REQUEST_ID, "partyList": _MANY, "currency": "TZS"},
        ("put", "/participants/{request_id}"): {"partyList": [{"partyId": each} for each in _MANY], "currency": "TZS"},
        ("post", "/participants/{id_type}/{identifier}"): _ALIAS,
        ("put", "/participants/{id_type}/{identifier}"): _ALIAS_IS_REGISTERED,
        ("post", "/participants/{id_type}/{identifier}/{sub_id}"): _ALIAS,
        ("put", "/participants/{id_type}/{identifier}/{sub_id}"): _ALIAS_IS_REGISTERED,
        ("put", "/parties/{id_type}/{identifier}"): _FOUND,
        ("put", "/parties/{id_type}/{identifier}/{sub_id}"): _FOUND,
        ("post", "/quotes"): {
            "quoteId": QUOTE_ID,
            "transactionId": TRANSACTION_ID,
            "payer": _party(PAYER, _PAYERS_NUMBER, "Juma Hassan"),
            "payee": _party(PAYEE, _NUMBER, "Asha Juma"),
            "amountType": "SEND",
            "amount": _AMOUNT,
            "transactionType": _TYPE,
            "note": "School fees",
        },
        ("put", "/quotes/{quote_id}"): {
            "transferAmount": _AMOUNT,
            "payeeReceiveAmount": _AMOUNT,
            "expiration": _EXPIRATION,
            "ilpPacket": _PACKET,
            "condition": _CONDITION,
        },
        ("post", "/transfers"): {
            "transferId": TRANSFER_ID,
            "payerFsp": PAYER,
            "payeeFsp": PAYEE,
            "amount": _AMOUNT,
            "ilpPacket": _PACKET,
            "condition": _CONDITION,
            "expiration": _EXPIRATION,
        },
        ("put", "/transfers/{transfer_id}"): {
            "transferState": "COMMITTED",
            "fulfilment": _FULFILMENT,
            "completedTimestamp": _COMPLETED,
        },
        ("post", "/transactionRequests"): {
            "transactionRequestId": _REQUEST_ID,
            "payee": _party(PAYEE, _NUMBER, "Asha Juma"),
            "payer": {"partyIdType": "MSISDN", "partyIdentifier": _PAYERS_NUMBER, "fspId": PAYER},
            "amount": _AMOUNT,
            "transactionType": {"scenario": "PAYMENT", "initiator": "PAYEE", "initiatorType": "BUSINESS"},
            "authenticationType": "OTP",
            "expiration": _EXPIRATION,
        },
        ("put", "/transactionRequests/{transaction_request_id}"): {
            "transactionId": TRANSACTION_ID,
            "transactionRequestState": "RECEIVED",
        },
        ("put", "/authorizations/{subject_id}"): {
            "authenticationInfo": {"authentication": "OTP", "authenticationValue": "4711"},
            "responseType": "ENTERED",
        },
        ("put", "/transactions/{subject_id}"): {"transactionState": "COMPLETED", "completedTimestamp": _COMPLETED},
        ("post", "/bulkQuotes"): {
            "bulkQuoteId": _BULK_QUOTE_ID,
            "payer": _party(PAYER, _PAYERS_NUMBER, "Kilimo Limited"),
            "individualQuotes": [
                {
                    "quoteId": quote_id,
                    "transactionId": transaction_id,
                    "payee": _party(PAYEE, number, name),
                    "amountType": "RECEIVE",
                    "amount": {"currency": "TZS", "amount": amount},
                    "transactionType": _TYPE | {"initiatorType": "BUSINESS"},
                    "note": "Salary for November",
                }
                for quote_id, transaction_id, number, name, amount in _SALARIES
            ],
            "expiration": _EXPIRATION,
        },
        ("put", "/bulkQuotes/{bulk_quote_id}"): {
            "expiration": _EXPIRATION,
            "individualQuoteResults": [
                {"quoteId": quote_id, **terms}
                for (quote_id, *_), terms in zip(_SALARIES, _terms_of_salaries(), strict=True)
            ],
        },
        ("post", "/bulkTransfers"): {
            "bulkTransferId": _BULK_TRANSFER_ID,
            "bulkQuoteId": _BULK_QUOTE_ID,
            "payerFsp": PAYER,
            "payeeFsp": PAYEE,
            "individualTransfers": [
                {"transferId": transfer_id, **terms}
                for (_, transfer_id, *_), terms in zip(_SALARIES, _terms_of_salaries(), strict=True)
            ],
            "expiration": _EXPIRATION,
        },
        ("put", "/bulkTransfers/{bulk_transfer_id}"): {
            "bulkTransferState": "COMPLETED",
            "completedTimestamp": _COMPLETED,
            "individualTransferResults": [
                {"transferId": _SALARIES[0][1], "fulfilment": _LOCKS[0][1]},
                {"transferId": _SALARIES[1][1], **_error(ErrorCode.PAYEE_LIMIT_ERROR)},
            ],
        },
        ("put", "/services/FXP"): {"providers": [FXP]},
        ("put", "/services/FXP/{source_currency}/{target_currency}"): {"providers": [FXP]},
        ("post", "/fxQuotes"): {"conversionRequestId": _CONVERSION_REQUEST_ID, "conversionTerms": _conversion()},
        ("put", "/fxQuotes/{conversion_request_id}"): {
            "conversionTerms": _conversion(
                targetAmount=_TARGET,
                charges=[{"chargeType": "margin", "sourceAmount": {"currency": "TZS", "amount": "20"}}],
            ),
            "condition": _CONDITION,
        },
        ("post", "/fxTransfers"): {
            "commitRequestId": _CONVERSION_ID,
            "determiningTransferId": TRANSFER_ID,
            "initiatingFsp": PAYER,
            "counterPartyFsp": FXP,
            "sourceAmount": _SOURCE,
            "targetAmount": _TARGET,
            "condition": _CONDITION,
            "expiration": _EXPIRATION,
        },
        ("put", "/fxTransfers/{commit_request_id}"): {
            "conversionState": "RESERVED",
            "fulfilment": _FULFILMENT,
            "completedTimestamp": _COMPLETED,
        },
    }
)
"""The example of each message, by its method and path in the document."""
