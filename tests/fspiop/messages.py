"""One whole message of each kind, every optional field in it, as the API's examples have them."""

from typing import Any

from fspiop.bodies.authorizations import AuthorizationPut
from fspiop.bodies.bulk_quotes import BulkQuotePost, BulkQuotePut
from fspiop.bodies.bulk_transfers import BulkTransferPost, BulkTransferPut
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_quotes import FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPatch, FxTransferPost, FxTransferPut
from fspiop.bodies.participants import ParticipantPost, ParticipantPut, ParticipantsPost, ParticipantsPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.services import ServicesFxpPut
from fspiop.bodies.transaction_requests import TransactionRequestPost, TransactionRequestPut
from fspiop.bodies.transactions import TransactionPut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut

ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"
ULID = "01M85BYKXWRNDZ75CG33DMZB0J"
CONDITION = "f5sqb7tBTWPd5Y8BDFdMm9BJR_MNI4isf8p8n4D5pHA"
FULFILMENT = "WLctttbu2HvTsa1XWvUoGRcQozHsqeu9Ahl2JW9Bsu8"
MOMENT = "2016-05-24T08:38:08.699-04:00"
EXTENSIONS = {"extension": [{"key": "channel", "value": "USSD"}]}
ERROR = {"errorCode": "5100", "errorDescription": "Generic Payee rejection", "extensionList": EXTENSIONS}
GEO_CODE = {"latitude": "+45.4215", "longitude": "-75.6972"}
PACKET = "AYIBgQAAAAAAAASwNGxldmVsb25lLmRmc3AxLm1lci45T2RTOF81MDdqUUZERmZlakgyOVc4bXFmNEpL"

PARTY_ID = {
    "partyIdType": "PERSONAL_ID",
    "partyIdentifier": "16135551212",
    "partySubIdOrType": "DRIVING_LICENSE",
    "fspId": "blue",
    "extensionList": EXTENSIONS,
}
PARTY = {
    "partyIdInfo": PARTY_ID,
    "merchantClassificationCode": "4321",
    "name": "Justin Trudeau",
    "personalInfo": {
        "complexName": {"firstName": "Justin", "middleName": "Pierre", "lastName": "O'Neil-Trudeau, Jr."},
        "dateOfBirth": "1971-12-25",
        "kycInformation": '{"level": 2}',
    },
    "supportedCurrencies": ["CAD", "XTS"],
}


def money(amount: str = "123.45", currency: str = "USD") -> dict[str, str]:
    return {"currency": currency, "amount": amount}


TRANSACTION_TYPE = {
    "scenario": "REFUND",
    "subScenario": "LOCALLY_DEFINED",
    "initiator": "PAYEE",
    "initiatorType": "BUSINESS",
    "refundInfo": {"originalTransactionId": ID, "refundReason": "wrong size"},
    "balanceOfPayments": "123",
}
CONVERSION = {
    "conversionId": ULID,
    "determiningTransferId": ID,
    "initiatingFsp": "green",
    "counterPartyFsp": "fxp",
    "amountType": "SEND",
    "sourceAmount": money(),
    "targetAmount": money("99", "XTS"),
    "expiration": MOMENT,
    "charges": [{"chargeType": "margin", "sourceAmount": money("1"), "targetAmount": money("0.5", "XTS")}],
    "extensionList": EXTENSIONS,
}

WHOLE: dict[type[Any], dict[str, Any]] = {
    TransferPost: {
        "transferId": ID,
        "payeeFsp": "blue",
        "payerFsp": "green",
        "amount": money(),
        "ilpPacket": PACKET,
        "condition": CONDITION,
        "expiration": MOMENT,
        "extensionList": EXTENSIONS,
    },
    TransferPut: {
        "fulfilment": FULFILMENT,
        "completedTimestamp": MOMENT,
        "transferState": "COMMITTED",
        "extensionList": EXTENSIONS,
    },
    TransferPatch: {"completedTimestamp": MOMENT, "transferState": "ABORTED", "extensionList": EXTENSIONS},
    QuotePost: {
        "quoteId": ULID,
        "transactionId": ID,
        "transactionRequestId": ID,
        "payee": PARTY,
        "payer": PARTY,
        "amountType": "SEND",
        "amount": money(),
        "fees": money("1.25"),
        "transactionType": TRANSACTION_TYPE,
        "converter": "PAYER",
        "currencyConversion": {"sourceAmount": money(), "targetAmount": money("99", "XTS")},
        "geoCode": GEO_CODE,
        "note": "Thank you",
        "expiration": MOMENT,
        "extensionList": EXTENSIONS,
    },
    QuotePut: {
        "transferAmount": money(),
        "payeeReceiveAmount": money("123"),
        "payeeFspFee": money("0.45"),
        "payeeFspCommission": money("0"),
        "expiration": MOMENT,
        "geoCode": GEO_CODE,
        "ilpPacket": PACKET,
        "condition": CONDITION,
        "extensionList": EXTENSIONS,
    },
    FxQuotePost: {"conversionRequestId": ID, "conversionTerms": CONVERSION},
    FxQuotePut: {"condition": CONDITION, "conversionTerms": CONVERSION},
    FxTransferPost: {
        "commitRequestId": ULID,
        "determiningTransferId": ID,
        "initiatingFsp": "green",
        "counterPartyFsp": "fxp",
        "sourceAmount": money(),
        "targetAmount": money("99", "XTS"),
        "condition": CONDITION,
        "expiration": MOMENT,
    },
    FxTransferPut: {
        "fulfilment": FULFILMENT,
        "completedTimestamp": MOMENT,
        "conversionState": "RESERVED",
        "extensionList": EXTENSIONS,
    },
    FxTransferPatch: {"completedTimestamp": MOMENT, "conversionState": "COMMITTED", "extensionList": EXTENSIONS},
    ServicesFxpPut: {"providers": ["fxp", "blue"]},
    PartyPut: {"party": PARTY},
    ParticipantPost: {"fspId": "blue", "currency": "USD", "extensionList": EXTENSIONS},
    ParticipantsPost: {"requestId": ID, "partyList": [PARTY_ID, PARTY_ID], "currency": "USD"},
    ParticipantPut: {"fspId": "blue", "partyList": [PARTY_ID], "currency": "USD"},
    ParticipantsPut: {
        "partyList": [{"partyId": PARTY_ID, "errorInformation": ERROR}, {"partyId": PARTY_ID}],
        "currency": "USD",
    },
    BulkQuotePost: {
        "bulkQuoteId": ULID,
        "payer": PARTY,
        "individualQuotes": [
            {
                "quoteId": ID,
                "transactionId": ULID,
                "payee": PARTY,
                "amountType": "RECEIVE",
                "amount": money(),
                "transactionType": TRANSACTION_TYPE,
                "fees": money("1.25"),
                "note": "November",
                "extensionList": EXTENSIONS,
            },
        ],
        "geoCode": GEO_CODE,
        "expiration": MOMENT,
        "extensionList": EXTENSIONS,
    },
    BulkQuotePut: {
        "expiration": MOMENT,
        "individualQuoteResults": [
            {
                "quoteId": ID,
                "payee": PARTY,
                "transferAmount": money(),
                "payeeReceiveAmount": money("123"),
                "payeeFspFee": money("0.45"),
                "payeeFspCommission": money("0"),
                "ilpPacket": PACKET,
                "condition": CONDITION,
                "extensionList": EXTENSIONS,
            },
            {"quoteId": ULID, "errorInformation": ERROR},
        ],
        "extensionList": EXTENSIONS,
    },
    BulkTransferPost: {
        "bulkTransferId": ID,
        "bulkQuoteId": ULID,
        "payerFsp": "green",
        "payeeFsp": "blue",
        "individualTransfers": [
            {
                "transferId": ULID,
                "transferAmount": money(),
                "ilpPacket": PACKET,
                "condition": CONDITION,
                "extensionList": EXTENSIONS,
            },
        ],
        "expiration": MOMENT,
        "extensionList": EXTENSIONS,
    },
    BulkTransferPut: {
        "bulkTransferState": "COMPLETED",
        "completedTimestamp": MOMENT,
        "individualTransferResults": [
            {"transferId": ULID, "fulfilment": FULFILMENT, "extensionList": EXTENSIONS},
            {"transferId": ID, "errorInformation": ERROR},
        ],
        "extensionList": EXTENSIONS,
    },
    TransactionRequestPost: {
        "transactionRequestId": ID,
        "payee": PARTY,
        "payer": PARTY_ID,
        "amount": money(),
        "transactionType": TRANSACTION_TYPE,
        "note": "Thank you",
        "geoCode": GEO_CODE,
        "authenticationType": "OTP",
        "expiration": MOMENT,
        "extensionList": EXTENSIONS,
    },
    TransactionRequestPut: {
        "transactionId": ID,
        "transactionRequestState": "PENDING",
        "extensionList": EXTENSIONS,
    },
    AuthorizationPut: {
        "authenticationInfo": {"authentication": "OTP", "authenticationValue": "0123"},
        "responseType": "ENTERED",
    },
    TransactionPut: {
        "completedTimestamp": MOMENT,
        "transactionState": "COMPLETED",
        "code": "Test1234",
        "extensionList": EXTENSIONS,
    },
    ErrorPut: {"errorInformation": ERROR},
}

_TERMS = [
    f"conversionTerms.{path}"
    for path in (
        *("conversionId", "initiatingFsp", "counterPartyFsp", "amountType", "sourceAmount", "sourceAmount.currency"),
        *("targetAmount", "targetAmount.currency", "expiration", "charges[0].chargeType"),
        *("charges[0].sourceAmount.amount", "charges[0].targetAmount.currency"),
    )
]
# What the API marks as mandatory, at every depth, as the path by which a refusal names it.
REQUIRED: dict[type[Any], list[str]] = {
    TransferPost: [
        *("transferId", "payeeFsp", "payerFsp", "amount", "amount.currency", "amount.amount"),
        *("ilpPacket", "condition", "expiration", "extensionList.extension", "extensionList.extension[0].key"),
        "extensionList.extension[0].value",
    ],
    TransferPut: ["transferState"],
    TransferPatch: ["completedTimestamp", "transferState"],
    QuotePost: [
        *("quoteId", "transactionId", "payee", "payee.partyIdInfo", "payee.partyIdInfo.partyIdType"),
        *("payee.partyIdInfo.partyIdentifier", "payer", "payer.partyIdInfo", "amountType", "amount"),
        *("fees.currency", "transactionType", "transactionType.scenario", "transactionType.initiator"),
        *("transactionType.initiatorType", "transactionType.refundInfo.originalTransactionId"),
        *("currencyConversion.sourceAmount", "currencyConversion.targetAmount.amount"),
        *("geoCode.latitude", "geoCode.longitude"),
    ],
    QuotePut: ["transferAmount", "transferAmount.amount", "expiration", "ilpPacket", "condition", "payeeFspFee.amount"],
    FxQuotePost: ["conversionRequestId", "conversionTerms", *_TERMS],
    FxQuotePut: ["conversionTerms", *_TERMS],
    FxTransferPost: [
        *("commitRequestId", "initiatingFsp", "counterPartyFsp", "sourceAmount", "sourceAmount.currency"),
        *("sourceAmount.amount", "targetAmount", "targetAmount.currency", "targetAmount.amount", "condition"),
    ],
    FxTransferPut: ["conversionState"],
    FxTransferPatch: ["conversionState"],
    ServicesFxpPut: ["providers"],
    PartyPut: ["party", "party.partyIdInfo", "party.partyIdInfo.partyIdType", "party.partyIdInfo.partyIdentifier"],
    ParticipantPost: ["fspId"],
    ParticipantsPost: ["requestId", "partyList", "partyList[0].partyIdType", "partyList[1].partyIdentifier"],
    ParticipantPut: ["partyList[0].partyIdType"],
    ParticipantsPut: ["partyList", "partyList[1].partyId", "partyList[0].errorInformation.errorCode"],
    BulkQuotePost: [
        *("bulkQuoteId", "payer", "individualQuotes", "individualQuotes[0].quoteId", "individualQuotes[0].payee"),
        *("individualQuotes[0].transactionId", "individualQuotes[0].amountType", "individualQuotes[0].amount"),
        *("individualQuotes[0].transactionType", "individualQuotes[0].transactionType.scenario"),
        *("individualQuotes[0].transactionType.initiator", "individualQuotes[0].transactionType.initiatorType"),
        "individualQuotes[0].transactionType.refundInfo.originalTransactionId",
    ],
    BulkQuotePut: ["expiration", "individualQuoteResults[0].quoteId"],
    BulkTransferPost: [
        *("bulkTransferId", "bulkQuoteId", "payerFsp", "payeeFsp", "individualTransfers", "expiration"),
        *("individualTransfers[0].transferId", "individualTransfers[0].transferAmount"),
        *("individualTransfers[0].ilpPacket", "individualTransfers[0].condition"),
    ],
    BulkTransferPut: ["bulkTransferState", "individualTransferResults[0].transferId"],
    TransactionRequestPost: [
        *("transactionRequestId", "payee", "payee.partyIdInfo", "payer", "payer.partyIdType", "payer.partyIdentifier"),
        *("amount", "transactionType", "transactionType.scenario", "transactionType.initiator"),
        *("transactionType.initiatorType", "transactionType.refundInfo.originalTransactionId", "geoCode.latitude"),
    ],
    TransactionRequestPut: ["transactionRequestState"],
    AuthorizationPut: [
        *("responseType", "authenticationInfo.authentication", "authenticationInfo.authenticationValue"),
    ],
    TransactionPut: ["transactionState"],
    ErrorPut: ["errorInformation", "errorInformation.errorCode", "errorInformation.errorDescription"],
}

# The same wherever such a part stands.
REQUIRED_IN_PARTS = {
    *("currency", "amount", "sourceAmount", "targetAmount", "latitude", "longitude"),
    *("extension", "key", "value", "errorCode", "errorDescription"),
    *("partyIdInfo", "partyIdType", "partyIdentifier"),
}
# ... but for these: an FX quote asks for the amount, and a charge is in either currency.
OPTIONAL = {
    "conversionTerms.sourceAmount.amount",
    "conversionTerms.targetAmount.amount",
    "conversionTerms.charges.sourceAmount",
    "conversionTerms.charges.targetAmount",
}
