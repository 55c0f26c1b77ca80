"""The form of each answer of the SDK's outbound API, version 2.1: statuses, required members, types, enumerations.

These are facts of the SDK's OpenAPI document, written down here. `fault_of` compares a real answer of the connector
with these facts. An answer can have further members. In some places the connector differs from the document: there, a
comment begins with "the document".
"""

from typing import Any

import jsonschema

from fspiop.money import CURRENCIES

Schema = dict[str, Any]


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def text(pattern: str = "") -> Schema:
    return {"type": "string", "pattern": pattern} if pattern else {"type": "string"}


def listed(items: Schema, *, least: int = 0, most: int = 1000) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def record(required: dict[str, Schema], /, **optional: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": required | optional}


def incomplete(found: Schema) -> Schema:
    """The state in an error: only the members that are known so far. The SDK's is empty if nothing has begun."""
    return found | {"required": []}


def answer_of(body: Schema, *, has_headers: bool = False) -> Schema:
    """The body of a message of the API, in most operations with the message's headers."""
    headers = {"type": "object"}
    return record({"body": body, "headers": headers}) if has_headers else record({"body": body}, headers=headers)


# --- elements ---------------------------------------------------------------------------------------------------------

ID = text(r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-7][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$|^[0-9A-HJKMNP-TV-Z]{26}$")
AMOUNT = text(r"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[1-9])?$")
CURRENCY = one_of(*sorted(CURRENCIES))
MOMENT = text(r"^[1-9]\d{3}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}(Z|[+-][01]\d:[0-5]\d)$")
HASH = text(r"^[A-Za-z0-9-_]{43}$")
PACKET = text(r"^[A-Za-z0-9-_]+={0,2}$")
ID_TYPE = one_of("MSISDN", "EMAIL", "PERSONAL_ID", "BUSINESS", "DEVICE", "ACCOUNT_ID", "IBAN", "ALIAS")
SCENARIO = one_of("DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND")
AMOUNT_TYPE = one_of("SEND", "RECEIVE")
TRANSFER_STATE = one_of("RECEIVED", "RESERVED", "COMMITTED", "ABORTED")
COMPLETED_OR_NOT = one_of("ERROR_OCCURRED", "COMPLETED")
MONEY = record({"currency": CURRENCY, "amount": AMOUNT})
EXTENSION = record({"key": text(), "value": text()})
EXTENSIONS = record({"extension": listed(EXTENSION, least=1, most=16)})
ERROR_INFORMATION = record({"errorCode": text(r"^[1-9]\d{3}$"), "errorDescription": text()}, extensionList=EXTENSIONS)
LAST_ERROR = record(
    {}, httpStatusCode={"type": "integer"}, mojaloopError=record({}, errorInformation=ERROR_INFORMATION)
)
PARTY = record(
    {
        "partyIdInfo": record(
            {"partyIdType": ID_TYPE, "partyIdentifier": text()},
            partySubIdOrType=text(),
            fspId=text(),
            extensionList=EXTENSIONS,
        )
    },
    merchantClassificationCode=text(r"^\d{1,4}$"),
    name=text(),
    personalInfo=record(
        {},
        complexName=record({}, firstName=text(), middleName=text(), lastName=text()),
        dateOfBirth=text(r"^\d{4}-\d\d-\d\d$"),
        kycInformation=text(),
    ),
    supportedCurrencies=listed(CURRENCY, most=16),
)
SDK_PARTY = record(
    {"idType": ID_TYPE, "idValue": text()},
    type=one_of("CONSUMER", "AGENT", "BUSINESS", "DEVICE"),
    idSubValue=text(),
    displayName=text(),
    firstName=text(),
    middleName=text(),
    lastName=text(),
    dateOfBirth=text(r"^\d{4}-\d\d-\d\d$"),
    merchantClassificationCode=text(r"^\d{1,4}$"),
    fspId=text(),
    supportedCurrencies=listed(CURRENCY, most=16),
    kycInformation=text(),
    extensionList=listed(EXTENSION, most=16),
)
QUOTE = record(
    {"transferAmount": MONEY, "expiration": MOMENT, "ilpPacket": PACKET, "condition": HASH},
    payeeReceiveAmount=MONEY,
    payeeFspFee=MONEY,
    payeeFspCommission=MONEY,
    geoCode=record({"latitude": text(), "longitude": text()}),
    extensionList=EXTENSIONS,
)
FULFIL = record({"transferState": TRANSFER_STATE}, fulfilment=HASH, completedTimestamp=MOMENT, extensionList=EXTENSIONS)
FX_MONEY = record({"currency": CURRENCY}, amount=AMOUNT)
FX_TERMS = record(
    {
        "conversionId": ID,
        "initiatingFsp": text(),
        "counterPartyFsp": text(),
        "amountType": AMOUNT_TYPE,
        "sourceAmount": FX_MONEY,
        "targetAmount": FX_MONEY,
        "expiration": MOMENT,
    },
    determiningTransferId=ID,
    charges=listed(record({"chargeType": text()}, sourceAmount=MONEY, targetAmount=MONEY), most=16),
    extensionList=EXTENSIONS,
)
FX_QUOTE = record({"conversionTerms": FX_TERMS}, homeTransactionId=text(), condition=HASH)

# --- bodies -----------------------------------------------------------------------------------------------------------

NOTHING: Schema = {"type": "null"}
ERROR = record({"statusCode": text(r"^\d{4}$"), "message": text()})


def error_with(name: str, state: Schema) -> Schema:
    """An error that also shows the state of the call."""
    return record({"statusCode": text(r"^\d{4}$"), "message": text(), name: incomplete(state)})


ACCOUNT = record({"idType": ID_TYPE, "idValue": text()}, idSubValue=text(), currency=CURRENCY)
ACCOUNTS = record(
    {"accounts": listed(ACCOUNT)},
    modelId=ID,
    response=listed(record({"idType": ID_TYPE, "idValue": text()}, idSubValue=text(), error=ERROR)),
    currentState=COMPLETED_OR_NOT,
    lastError=LAST_ERROR,
    postAccountsResponse=answer_of({"type": "object"}),
)
DELETED_ACCOUNT = record(
    {"idType": ID_TYPE, "idValue": text()},
    subIdOrType=text(),
    response=listed(record({"fspId": text()}, error=ERROR)),
    currentState=COMPLETED_OR_NOT,
    lastError=LAST_ERROR,
    deleteAccountResponse=answer_of({"type": "object"}),
)
BULK_QUOTE = record(
    {
        "bulkQuoteId": ID,
        "individualQuoteResults": listed(
            record(
                {"quoteId": ID},
                transferAmount=MONEY,
                payeeReceiveAmount=MONEY,
                payeeFspFee=MONEY,
                payeeFspCommission=MONEY,
                geoCode=record({"latitude": text(), "longitude": text()}),
                ilpPacket=PACKET,
                condition=HASH,
                extensionList=EXTENSIONS,
                lastError=LAST_ERROR,
            )
        ),
        "currentState": COMPLETED_OR_NOT,
        "expiration": MOMENT,
    },
    homeTransactionId=text(),
    extensionList=EXTENSIONS,
)
BULK_TRANSFER = record(
    {
        "bulkTransferId": ID,
        "individualTransferResults": listed(
            record(
                {"transferId": ID},
                fulfilment=HASH,
                extensionList=EXTENSIONS,
                transferState=TRANSFER_STATE,
                lastError=LAST_ERROR,
            )
        ),
        "currentState": COMPLETED_OR_NOT,
    },
    bulkQuoteId=ID,
    homeTransactionId=text(),
    bulkTransferState=TRANSFER_STATE,
    completedTimestamp=MOMENT,
    extensionList=EXTENSIONS,
)
BULK_TRANSFER_STATUS = record(
    {
        "bulkTransferId": ID,
        "currentState": COMPLETED_OR_NOT,
        "fulfils": listed(record({}, fulfilment=HASH, extensionList=EXTENSIONS), least=1),
    }
)
BULK_QUOTE_STATUS = record(
    {
        "bulkQuoteId": ID,
        "currentState": COMPLETED_OR_NOT,
        "individualQuotes": listed(
            record(
                {
                    "quoteId": ID,
                    "to": SDK_PARTY,
                    "amountType": AMOUNT_TYPE,
                    "currency": CURRENCY,
                    "transactionType": one_of("TRANSFER"),
                    "amount": AMOUNT,
                },
                note=text(),
            ),
            least=1,
        ),
    }
)
PARTIES = record(
    {
        "party": answer_of(PARTY, has_headers=True),
        "currentState": one_of("WAITING_FOR_ACTION", "COMPLETED", "ERROR_OCCURRED"),
    }
)
PARTY_ERROR = record({"errorInformation": ERROR_INFORMATION})
QUOTES = record(
    {
        "quotes": answer_of(QUOTE, has_headers=True),
        "currentState": one_of("WAITING_FOR_ACTION", "COMPLETED", "ERROR_OCCURRED"),
    }
)
REQUEST = record(
    {
        "transactionRequestId": ID,
        "from": SDK_PARTY,
        "to": SDK_PARTY,
        "amountType": AMOUNT_TYPE,
        "currency": CURRENCY,
        "amount": AMOUNT,
        "transactionType": SCENARIO,
        # the document: without ABORTED, which the SDK answers if the payer is not accepted
        "currentState": one_of("ERROR_OCCURRED", "WAITING_FOR_PARTY_ACCEPTANCE", "COMPLETED", "ABORTED"),
    },
    subScenario=text(),
    # the document: the party itself; in all other answers, the body is the message PUT /parties
    getPartiesResponse=answer_of(record({"party": PARTY}), has_headers=True),
    transactionRequestResponse=answer_of(
        record(
            {"transactionRequestState": one_of("RECEIVED", "PENDING", "ACCEPTED", "REJECTED")},
            transactionId=ID,
            extensionList=EXTENSIONS,
        ),
        has_headers=True,
    ),
    lastError=LAST_ERROR,
)
TRANSFER_STATUS = one_of(
    "ERROR_OCCURRED",
    "WAITING_FOR_PARTY_ACCEPTANCE",
    "WAITING_FOR_QUOTE_ACCEPTANCE",
    "WAITING_FOR_CONVERSION_ACCEPTANCE",
    "COMPLETED",
    # the document: without these two, which the SDK answers as well
    "ABORTED",
    "WAITING_FOR_OTP_ACCEPTANCE",
)
TERMS_OF_A_PAYMENT: dict[str, Schema] = {
    "from": SDK_PARTY,
    "to": SDK_PARTY,
    "amountType": AMOUNT_TYPE,
    "currency": CURRENCY,
    "amount": AMOUNT,
    # the document: TRANSFER alone; a request to pay can also have another scenario
    "transactionType": SCENARIO,
}
TRANSFER = record(
    {"homeTransactionId": text()} | TERMS_OF_A_PAYMENT,
    transferId=ID,
    subScenario=text(r"^[A-Z_]{1,32}$"),
    note=text(),
    currentState=TRANSFER_STATUS,
    quoteId=ID,
    getPartiesResponse=answer_of({"oneOf": [record({"party": PARTY}), PARTY_ERROR]}),
    quoteResponse=answer_of(QUOTE),
    quoteResponseSource=text(),
    conversionRequestId=ID,
    fxQuotesResponse=answer_of(FX_QUOTE),
    fxQuotesResponseSource=text(),
    fulfil=answer_of(FULFIL),
    lastError=LAST_ERROR,
    skipPartyLookup={"type": "boolean"},
)
REQUEST_TRANSFER = record(
    {"transactionRequestId": ID} | TERMS_OF_A_PAYMENT,
    transferId=ID,
    homeR2PTransactionId=text(),
    note=text(),
    currentState=TRANSFER_STATUS,
    quoteId=ID,
    quoteResponse=answer_of(QUOTE),
    quoteResponseSource=text(),
    authorizationResponse=answer_of(
        record(
            {"responseType": one_of("ENTERED", "REJECTED", "RESEND")},
            authenticationInfo=record(
                {
                    "authentication": one_of("OTP", "QRCODE", "U2F"),
                    "authenticationValue": {"type": ["string", "object"]},
                }
            ),
        )
    ),
    fulfil=answer_of(FULFIL),
    lastError=LAST_ERROR,
)
SIMPLE_TRANSFER = record(
    {
        "transfer": answer_of(FULFIL, has_headers=True),
        "currentState": one_of("WAITING_FOR_ACTION", "COMPLETED", "ERROR_OCCURRED"),
    }
)
TRANSFER_SHOWN = record({"transferId": ID, "currentState": TRANSFER_STATUS, "fulfil": answer_of(FULFIL)})
PROVIDERS = record({"providers": listed(text(), most=16)})
FX_TRANSFER = record(
    {"conversionState": TRANSFER_STATE},
    homeTransactionId=text(),
    fulfilment=HASH,
    completedTimestamp=MOMENT,
    extensionList=EXTENSIONS,
)

ACCOUNTS_ERROR = error_with("executionState", ACCOUNTS)
# the document: the state of POST /accounts, although the call has other members
DELETION_ERROR = error_with("executionState", DELETED_ACCOUNT)
TRANSFER_ERROR = error_with("transferState", TRANSFER)
REQUEST_TRANSFER_ERROR = error_with("transferState", REQUEST_TRANSFER)
# the document: the member transferState; the SDK's is requestToPayState
REQUEST_ERROR = error_with("requestToPayState", REQUEST)
BULK_ERROR = error_with("bulkTransferState", BULK_TRANSFER)
BULK_QUOTE_ERROR = error_with("bulkQuoteState", BULK_QUOTE)
FAULTS = (400, 403, 500, 504)
"""The statuses of errors. The document does not name each status at each operation."""


def either(success: dict[int, Schema], error: Schema) -> dict[int, Schema]:
    return success | {status: error for status in FAULTS if status not in success}


ANSWERS: dict[str, dict[int, Schema]] = {
    "GET /": either({200: NOTHING}, ERROR),
    "POST /accounts": either({200: ACCOUNTS}, ACCOUNTS_ERROR),
    "DELETE /accounts/{Type}/{ID}": either({200: DELETED_ACCOUNT}, DELETION_ERROR),
    "DELETE /accounts/{Type}/{ID}/{SubId}": either({200: DELETED_ACCOUNT}, DELETION_ERROR),
    "POST /bulkQuotes": either({200: BULK_QUOTE}, BULK_QUOTE_ERROR),
    "GET /bulkQuotes/{bulkQuoteId}": either({200: BULK_QUOTE_STATUS}, ERROR),
    # the document: without a body, also if the front end has asked for a synchronous answer
    "POST /bulkTransactions": either({202: {"type": ["null", "object"]}, 400: BULK_ERROR}, ERROR),
    "PUT /bulkTransactions/{bulkTransactionId}": either({202: NOTHING, 400: BULK_ERROR}, ERROR),
    "POST /bulkTransfers": either({200: BULK_TRANSFER, 400: BULK_ERROR}, ERROR),
    "GET /bulkTransfers/{bulkTransferId}": either({200: BULK_TRANSFER_STATUS}, ERROR),
    "GET /parties/{Type}/{ID}": either({200: PARTIES, 404: PARTY_ERROR}, ERROR),
    "GET /parties/{Type}/{ID}/{SubId}": either({200: PARTIES, 404: PARTY_ERROR}, ERROR),
    "POST /quotes": either({200: QUOTES}, ERROR),
    "POST /requestToPay": either({200: REQUEST}, REQUEST_ERROR),
    "PUT /requestToPay/{transactionRequestId}": either({200: REQUEST}, REQUEST_ERROR),
    "POST /requestToPayTransfer": either({200: REQUEST_TRANSFER}, REQUEST_TRANSFER_ERROR),
    "PUT /requestToPayTransfer/{transactionRequestId}": either({200: TRANSFER}, REQUEST_TRANSFER_ERROR),
    "POST /simpleTransfers": either({200: SIMPLE_TRANSFER}, ERROR),
    "POST /transfers": either({200: TRANSFER}, TRANSFER_ERROR),
    "PUT /transfers/{transferId}": either({200: TRANSFER}, TRANSFER_ERROR),
    "GET /transfers/{transferId}": either({200: TRANSFER_SHOWN}, ERROR),
    "GET /services/FXP": either({200: PROVIDERS}, ERROR),
    "GET /services/FXP/{SourceCurrency}/{TargetCurrency}": either({200: PROVIDERS}, ERROR),
    "POST /fxQuotes": either({200: FX_QUOTE}, ERROR),
    "POST /fxTransfers": either({200: FX_TRANSFER}, ERROR),
}
"""The body of each answer, by operation and status."""


def operation_of(method: str, path: str) -> str | None:
    """The operation of a call, or None if the document does not have it."""
    found = [method, *path.partition("?")[0].split("/")]
    for operation in ANSWERS:
        wanted = operation.replace(" ", "/", 1).split("/")
        if len(wanted) == len(found) and all(
            part.startswith("{") or part == other for part, other in zip(wanted, found, strict=True)
        ):
            return operation
    return None


def fault_of(operation: str, status: int, body: Any) -> str | None:
    """What of this answer is not as the document has it, or None."""
    schema = ANSWERS[operation].get(status)
    if schema is None:
        return f"the status {status} is not in the table"
    faults = jsonschema.Draft202012Validator(schema).iter_errors(body)
    return "; ".join(f"{'.'.join(map(str, fault.path)) or 'body'}: {fault.message[:200]}" for fault in faults) or None
