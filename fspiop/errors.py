"""The API's error codes, and the bodies of error responses (FSPIOP API v1.1, section 7.6).

Each error code has the HTTP status that the reference hub returns with this code.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

MAX_DESCRIPTION = 128  # FSPIOP API v1.1, section 7.3.12
MAX_EXTENSIONS = 16  # section 7.4.4
MAX_EXTENSION_KEY = 32  # section 7.3.13
MAX_EXTENSION_VALUE = 128  # section 7.3.14

_STATUS = {"2002": 501, "2003": 503, "2006": 503, "3001": 406, "3002": 404}
_STATUS_OF_CATEGORY = {"1": 503, "2": 500}


class ErrorCode(Enum):
    """The text of every error code: the API's own codes, and the codes that the reference hub adds."""

    COMMUNICATION_ERROR = ("1000", "Communication error")
    DESTINATION_COMMUNICATION_ERROR = ("1001", "Destination communication error")

    SERVER_ERROR = ("2000", "Generic server error")
    INTERNAL_SERVER_ERROR = ("2001", "Internal server error")
    NOT_IMPLEMENTED = ("2002", "Not implemented")
    SERVICE_UNAVAILABLE = ("2003", "Service currently unavailable")
    SERVER_TIMED_OUT = ("2004", "Server timed out")
    SERVER_BUSY = ("2005", "Server busy")
    TEMPORARY_PARTY_RESOLUTION_FAILURE = ("2006", "Temporary party resolution failed, try again")

    CLIENT_ERROR = ("3000", "Generic client error")
    UNACCEPTABLE_VERSION = ("3001", "Unacceptable version requested")
    UNKNOWN_URI = ("3002", "Unknown URI")
    ADD_PARTY_INFO_ERROR = ("3003", "Add Party information error")
    DELETE_PARTY_INFO_ERROR = ("3040", "Delete Party information error")

    VALIDATION_ERROR = ("3100", "Generic validation error")
    MALFORMED_SYNTAX = ("3101", "Malformed syntax")
    MISSING_ELEMENT = ("3102", "Missing mandatory element")
    TOO_MANY_ELEMENTS = ("3103", "Too many elements")
    TOO_LARGE_PAYLOAD = ("3104", "Too large payload")
    INVALID_SIGNATURE = ("3105", "Invalid signature")
    MODIFIED_REQUEST = ("3106", "Modified request")
    MISSING_EXTENSION_PARAMETER = ("3107", "Missing mandatory extension parameter")

    ID_NOT_FOUND = ("3200", "Generic ID not found")
    DESTINATION_FSP_ERROR = ("3201", "Destination FSP Error")
    PAYER_FSP_ID_NOT_FOUND = ("3202", "Payer FSP ID not found")
    PAYEE_FSP_ID_NOT_FOUND = ("3203", "Payee FSP ID not found")
    PARTY_NOT_FOUND = ("3204", "Party not found")
    QUOTE_ID_NOT_FOUND = ("3205", "Quote ID not found")
    TRANSACTION_REQUEST_ID_NOT_FOUND = ("3206", "Transaction request ID not found")
    TRANSACTION_ID_NOT_FOUND = ("3207", "Transaction ID not found")
    TRANSFER_ID_NOT_FOUND = ("3208", "Transfer ID not found")
    BULK_QUOTE_ID_NOT_FOUND = ("3209", "Bulk quote ID not found")
    BULK_TRANSFER_ID_NOT_FOUND = ("3210", "Bulk transfer ID not found")

    EXPIRED_ERROR = ("3300", "Generic expired error")
    TRANSACTION_REQUEST_EXPIRED = ("3301", "Transaction request expired")
    QUOTE_EXPIRED = ("3302", "Quote expired")
    TRANSFER_EXPIRED = ("3303", "Transfer expired")

    PAYER_ERROR = ("4000", "Generic Payer error")
    PAYER_FSP_INSUFFICIENT_LIQUIDITY = ("4001", "Payer FSP insufficient liquidity")
    PAYER_REJECTION = ("4100", "Generic Payer rejection")
    PAYER_REJECTED_TRANSACTION_REQUEST = ("4101", "Payer rejected transaction request")
    PAYER_FSP_UNSUPPORTED_TRANSACTION_TYPE = ("4102", "Payer FSP unsupported transaction type")
    PAYER_UNSUPPORTED_CURRENCY = ("4103", "Payer unsupported currency")
    PAYER_LIMIT_ERROR = ("4200", "Payer limit error")
    PAYER_PERMISSION_ERROR = ("4300", "Payer permission error")
    PAYER_BLOCKED_ERROR = ("4400", "Generic Payer blocked error")

    PAYEE_ERROR = ("5000", "Generic Payee error")
    PAYEE_FSP_INSUFFICIENT_LIQUIDITY = ("5001", "Payee FSP insufficient liquidity")
    PAYEE_REJECTION = ("5100", "Generic Payee rejection")
    PAYEE_REJECTED_QUOTE = ("5101", "Payee rejected quote")
    PAYEE_FSP_UNSUPPORTED_TRANSACTION_TYPE = ("5102", "Payee FSP unsupported transaction type")
    PAYEE_FSP_REJECTED_QUOTE = ("5103", "Payee FSP rejected quote")
    PAYEE_REJECTED_TRANSACTION = ("5104", "Payee rejected transaction")
    PAYEE_FSP_REJECTED_TRANSACTION = ("5105", "Payee FSP rejected transaction")
    PAYEE_UNSUPPORTED_CURRENCY = ("5106", "Payee unsupported currency")
    PAYEE_IDENTIFIER_NOT_VALID = ("5107", "Payee identifier no longer valid")
    PAYEE_LIMIT_ERROR = ("5200", "Payee limit error")
    PAYEE_PERMISSION_ERROR = ("5300", "Payee permission error")
    PAYEE_BLOCKED_ERROR = ("5400", "Generic Payee blocked error")

    SETTLEMENT_ERROR = ("6000", "Generic Settlement Error")
    THIRD_PARTY_ERROR = ("7000", "Generic third-party error")
    THIRD_PARTY_TRANSACTION_ERROR = ("7100", "Generic third-party transaction error")
    ACCOUNT_LINKING_ERROR = ("7200", "Generic account linking error")
    THIRD_PARTY_AUTH_ERROR = ("7300", "Generic third-party auth service error")

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text
        self.http_status = _STATUS.get(code) or _STATUS_OF_CATEGORY.get(code[0], 400)


_TEXTS: Mapping[str, str] = {error.code: error.text for error in ErrorCode}


def text_of(code: str) -> str:
    """Returns the text of an error code. If a scheme adds an error code, this code has the text of its category's
    generic code (FSPIOP API v1.1, 7.6)."""
    for known in (code, code[:2] + "00", code[:1] + "000"):
        if known in _TEXTS:
            return _TEXTS[known]
    return ErrorCode.SERVER_ERROR.text


def error_body(code: str, description: str, extensions: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Returns the body of an error. Cuts each text in the body to the length that the API allows (FSPIOP API v1.1,
    7.4.2)."""
    information: dict[str, Any] = {
        "errorCode": code,
        "errorDescription": description[:MAX_DESCRIPTION] or text_of(code),
    }
    if extensions:
        information["extensionList"] = {
            "extension": [
                {"key": key[:MAX_EXTENSION_KEY], "value": value[:MAX_EXTENSION_VALUE]}
                for key, value in extensions[:MAX_EXTENSIONS]
            ]
        }
    return {"errorInformation": information}


class FspiopError(Exception):
    """Raised when the hub or another receiver refuses a request or message. The exception contains the error code and
    the description for the sender."""

    def __init__(
        self,
        error: ErrorCode,
        detail: str = "",
        *,
        extensions: Sequence[tuple[str, str]] = (),
        http_status: int | None = None,
    ) -> None:
        self.error = error
        self.code = error.code
        self.detail = detail
        self.description = (f"{error.text} - {detail}" if detail else error.text)[:MAX_DESCRIPTION]
        self.extensions = tuple(extensions)
        self.http_status = error.http_status if http_status is None else http_status
        super().__init__(f"{self.code} {self.description}")

    def body(self) -> dict[str, Any]:
        """Returns the body of the error in the API's form."""
        return error_body(self.code, self.description, self.extensions)


_BY_CODE: Mapping[str, ErrorCode] = {error.code: error for error in ErrorCode}


def scheme_error(code: str, text: str) -> FspiopError:
    """Returns an error with one of the scheme's own codes (xx40 to xx99) and exactly this text."""
    generic = next(_BY_CODE[known] for known in (code[:2] + "00", code[:1] + "000", "2000") if known in _BY_CODE)
    error = FspiopError(generic)
    error.code, error.detail, error.description = code, text, (text or text_of(code))[:MAX_DESCRIPTION]
    error.args = (f"{code} {error.description}",)
    return error
