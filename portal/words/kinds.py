"""The translatable words for kinds of entries, movements, markers and lists, and for directions in bank statements.

The pages show the words. The files and the APIs contain the untranslated names, such as FUNDS_IN. When the mouse is on
a word, the page shows the untranslated name.
"""

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WORDS: dict[str, Promise] = {
    # entries of the ledger, and movements of funds
    "TRANSFER": _("Transfer"),
    "FX_TRANSFER": _("Conversion"),
    "FUNDS_IN": _("Funds in"),
    "FUNDS_OUT": _("Funds out"),
    "NET_RECIPIENT": _("Settlement of a net recipient"),
    "NET_SENDER": _("Settlement of a net sender"),
    "NET_ABORT": _("Abort of a settlement"),
    "GROSS_PAYER": _("Immediate settlement, payer"),
    "GROSS_PAYEE": _("Immediate settlement, payee"),
    # the bank's directions
    "DEBIT": _("Debit"),
    "CREDIT": _("Credit"),
    # methods of settlement
    "DEFERRED NET MULTILATERAL": _("deferred, net, multilateral: one net amount for each participant"),
    "DEFERRED NET BILATERAL": _("deferred, net, bilateral: one net amount for each pair of participants"),
    "DEFERRED GROSS BILATERAL": _("deferred, gross: each payment separately, when its window is settled"),
    "IMMEDIATE GROSS BILATERAL": _("immediate, gross: each payment within about a second"),
    # lists of parties
    "BLOCK": _("Blocked parties"),
    "ALLOW": _("Allowed parties"),
    "EXCLUSION": _("Customers excluded by the scheme"),
    "SANCTIONS": _("Sanctions"),
    # the kinds of reports that an alert contains
    "RULE": _("Rule"),
    "SKIPPED": _("Check that was not possible"),
    "NAME_MATCH": _("Match of a name"),
    "MARKER": _("Marker"),
    "APPEAL": _("Appeal"),
    # fraud markers
    "MULE_ACCOUNT": _("Mule account"),
    "SCAMMER_ACCOUNT": _("Account of a scammer"),
    "APPLICATION_FRAUD": _("Application fraud"),
    "OTHER": _("Other"),
    "CONFIRMED": _("Confirmed"),
    # the sides of a payment
    "PAYER": _("Payer"),
    "PAYEE": _("Payee"),
    # e-mails and webhooks
    "invitation": _("Invitation"),
    "email_changed": _("E-mail address changed"),
    "first_sign_in": _("First sign-in"),
    "approvals": _("Requests that wait for approval"),
    "alarms": _("Alarms"),
    "fraud_alerts": _("Fraud alerts"),
}

DESCRIPTIONS = (
    _("The hub's side of settlements"),
    _("The hub's side of funds in and out"),
    _("Interchange fees owed and due"),
    _("What interchange fees are settled into"),
    _("A participant's position towards the scheme"),
    _("What a participant holds at the settlement bank"),
)
"""The descriptions of account types that every hub has. The page translates a description that is in this list."""


def word_of(name: str) -> str:
    """Returns the word for a kind. If this module does not know a kind, returns the name of the kind."""
    return str(WORDS.get(name) or name)


def words_of(kinds: Iterable[str]) -> list[tuple[str, Promise]]:
    """Returns the choices of a form: each kind, and its word in the visitor's language."""
    return [(str(kind), WORDS[kind]) for kind in kinds]
