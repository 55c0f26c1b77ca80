"""The error codes with which a scheme's rules refuse payments, and the texts of these codes. Pure.

The API reserves the codes xx40 to xx99 of each category for schemes (FSPIOP API v1.1, section 7.6).
"""

import re
from collections.abc import Mapping

from fspiop.errors import ErrorCode
from fspiop.errors import text_of as text_of_category

NOT_ALLOWED, OUT_OF_TIME = "3140", "3142"
"""The codes for the hub's own refusals of payments that the scheme's rules delay."""

CODES: Mapping[str, str] = {
    "3140": "Payment is not allowed by the scheme",
    "3141": "Refund is not allowed by the scheme",
    "3142": "Expiration is outside of the scheme's bounds",
    "3143": "Element or extension that the scheme requires is missing",
    "3144": "Transfer differs from its quote",
    "4240": "Payer has reached the scheme's limit on the number of payments",
    "4241": "Payer has reached the scheme's limit on the value of payments",
    "4540": "Payer may not send",
    "5240": "Payee has reached the scheme's limit on the number of payments",
    "5241": "Payee has reached the scheme's limit on the value of payments",
    "5540": "Payee may not receive",
}
"""The codes that have a text of their own. A scheme can also refuse with any other code of the scheme range."""

_SCHEME_CODE = re.compile(r"(?:3[0-3]|4[0-5]|5[0-5])[4-9][0-9]\Z")
_API_CODES = frozenset(error.code for error in ErrorCode)


def is_scheme_code(code: str) -> bool:
    """Returns whether a rule is allowed to refuse payments with this code."""
    return _SCHEME_CODE.match(code) is not None and code not in _API_CODES


def text_of(code: str) -> str:
    """Returns the fixed text of a code. The text does not reveal which rule refused the payment."""
    return CODES.get(code) or text_of_category(code)
