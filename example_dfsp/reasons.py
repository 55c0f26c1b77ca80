"""Explains the scheme's error codes to customers: the reason for the error, and what the customer can do. Texts are
translated."""

from collections.abc import Callable

_ = str  # marks a text for the catalogues of translations

_REASONS = {
    "1001": _("The other bank cannot be reached now. Try again in a few minutes."),
    "2001": _("The other bank had a fault. Try again later, or ask the other person to call their bank."),
    "2003": _("The payment scheme is not available now. Try again in a few minutes."),
    "2004": _("The other bank did not answer in time. Try again in a few minutes."),
    "3100": _("The entry cannot be used. Check the number and the amount."),
    "3200": _("Nobody has this number in the scheme. Check the number."),
    "3201": _("The other bank takes no payments in this currency."),
    "3204": _("Nobody has this number in the scheme. Check the number."),
    "3208": _("The payment did not reach the other bank in time. Send it again."),
    "3302": _("The terms were not confirmed in time. Begin the payment again."),
    "3303": _("The other bank did not answer in time, so the payment was cancelled. Send it again."),
    "4001": _("Your bank cannot send this amount now. Try a smaller amount, or try again tomorrow."),
    "4100": _("You cancelled the payment."),
    "4101": _("The one-time code was wrong or was not entered, so the payment was cancelled. Ask for a new request."),
    "4102": _("The payer's bank takes no requests of this kind."),
    "4103": _("The payer's account has another currency."),
    "4200": _("Your bank has reached its limit for now. Try a smaller amount, or try again later."),
    "5100": _("The other bank refused the payment. Ask the recipient to call their bank."),
    "5001": _("The other bank refused the payment. Ask the recipient to call their bank."),
    "5101": _("The other bank refused the terms. Try another amount."),
    "5102": _("The other bank does not take this kind of payment."),
    "5103": _("The other bank refused the terms. Try another amount."),
    "5104": _("The recipient's account takes no payments. Ask the recipient for another number."),
    "5105": _("The other bank refused the payment. Ask the recipient to call their bank."),
    "5106": _("The recipient's account has another currency, and nobody converts it now."),
    "5107": _("Nobody has this number in the scheme. Check the number."),
    "5200": _("The amount is above the limit of the recipient's account. Send a smaller amount."),
}
_CLASSES = {
    "3": _("The scheme refused the payment. Check the entries, and try again."),
    "4": _("The payment is not allowed for this payer. Your bank can explain the rule."),
    "5": _("The payment is not allowed for this recipient. Ask the recipient to call their bank."),
}
_OTHERWISE = _("The payment could not be made. Try again later.")


def reason(translate: Callable[[str], str], code: str | None, text: str | None) -> str:
    """Returns the sentence for an error code.

    Each error code of the scheme's own rules (xx40 to xx99) has a separate text.
    """
    code = code or ""
    sentence = translate(_REASONS.get(code) or _CLASSES.get(code[:1], _OTHERWISE))
    return f"{sentence} ({text})" if text and code[2:] >= "40" else sentence
