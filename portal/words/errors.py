"""The translatable texts of the API's error codes.

`fspiop.errors` has the same texts. A test compares the texts of the two modules.
"""

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from fspiop.errors import FspiopError, text_of
from ledger.commands_and_outcomes import WIRE
from portal.words import refusals, service_texts
from rules.language import refusal_codes

TEXTS = {
    "1000": _("Communication error"),
    "1001": _("Destination communication error"),
    "2000": _("Generic server error"),
    "2001": _("Internal server error"),
    "2002": _("Not implemented"),
    "2003": _("Service currently unavailable"),
    "2004": _("Server timed out"),
    "2005": _("Server busy"),
    "2006": _("Temporary party resolution failed, try again"),
    "3000": _("Generic client error"),
    "3001": _("Unacceptable version requested"),
    "3002": _("Unknown URI"),
    "3003": _("Add Party information error"),
    "3040": _("Delete Party information error"),
    "3100": _("Generic validation error"),
    "3101": _("Malformed syntax"),
    "3102": _("Missing mandatory element"),
    "3103": _("Too many elements"),
    "3104": _("Too large payload"),
    "3105": _("Invalid signature"),
    "3106": _("Modified request"),
    "3107": _("Missing mandatory extension parameter"),
    "3200": _("Generic ID not found"),
    "3201": _("Destination FSP Error"),
    "3202": _("Payer FSP ID not found"),
    "3203": _("Payee FSP ID not found"),
    "3204": _("Party not found"),
    "3205": _("Quote ID not found"),
    "3206": _("Transaction request ID not found"),
    "3207": _("Transaction ID not found"),
    "3208": _("Transfer ID not found"),
    "3209": _("Bulk quote ID not found"),
    "3210": _("Bulk transfer ID not found"),
    "3300": _("Generic expired error"),
    "3301": _("Transaction request expired"),
    "3302": _("Quote expired"),
    "3303": _("Transfer expired"),
    "4000": _("Generic Payer error"),
    "4001": _("Payer FSP insufficient liquidity"),
    "4100": _("Generic Payer rejection"),
    "4101": _("Payer rejected transaction request"),
    "4102": _("Payer FSP unsupported transaction type"),
    "4103": _("Payer unsupported currency"),
    "4200": _("Payer limit error"),
    "4300": _("Payer permission error"),
    "4400": _("Generic Payer blocked error"),
    "5000": _("Generic Payee error"),
    "5001": _("Payee FSP insufficient liquidity"),
    "5100": _("Generic Payee rejection"),
    "5101": _("Payee rejected quote"),
    "5102": _("Payee FSP unsupported transaction type"),
    "5103": _("Payee FSP rejected quote"),
    "5104": _("Payee rejected transaction"),
    "5105": _("Payee FSP rejected transaction"),
    "5106": _("Payee unsupported currency"),
    "5107": _("Payee identifier no longer valid"),
    "5200": _("Payee limit error"),
    "5300": _("Payee permission error"),
    "5400": _("Generic Payee blocked error"),
    "6000": _("Generic Settlement Error"),
    "7000": _("Generic third-party error"),
    "7100": _("Generic third-party transaction error"),
    "7200": _("Generic account linking error"),
    "7300": _("Generic third-party auth service error"),
}

# The details that the ledger adds to an error, and the refusals with these details.
_REFUSALS = {detail: refusal.value for refusal, (_code, detail) in WIRE.items() if detail}

SCHEME_TEXTS = {
    "3140": _("Payment is not allowed by the scheme"),
    "3141": _("Refund is not allowed by the scheme"),
    "3142": _("Expiration is outside of the scheme's bounds"),
    "3143": _("Element or extension that the scheme requires is missing"),
    "3144": _("Transfer differs from its quote"),
    "4240": _("Payer has reached the scheme's limit on the number of payments"),
    "4241": _("Payer has reached the scheme's limit on the value of payments"),
    "4540": _("Payer may not send"),
    "5240": _("Payee has reached the scheme's limit on the number of payments"),
    "5241": _("Payee has reached the scheme's limit on the value of payments"),
    "5540": _("Payee may not receive"),
}
"""The texts of the scheme's own codes. A test compares them with `rules.language.refusal_codes`."""


def words_of(code: str, description: str = "") -> str:
    """Returns an error in words: the standard text of the error code in the reader's language, and the text that the
    error's sender added. If the description only repeats the standard text, returns only the standard text. If the
    scheme itself defined the code, returns the standard text of the code, or the other text of the rule. The details
    of the ledger's own refusals are in the reader's language.
    """
    if code not in TEXTS:
        text = refusal_codes.text_of(code)
        return description if description not in ("", text) else str(SCHEME_TEXTS.get(code) or text)
    added = description.removeprefix(text_of(code)).removeprefix(" - ").strip()
    if not added:
        return str(TEXTS[code])
    if added in _REFUSALS:
        added = refusals.word_of(_REFUSALS[added])
    return gettext("%(error)s: %(added)s") % {"error": TEXTS[code], "added": added}


def words_for(error: FspiopError) -> str:
    """Returns the error text for an exception that a service of the hub raised."""
    if error.code not in TEXTS or not error.detail:
        return words_of(error.code, error.description)
    said = {"error": TEXTS[error.code], "added": service_texts.words_of(error.detail)}
    return gettext("%(error)s: %(added)s") % said
