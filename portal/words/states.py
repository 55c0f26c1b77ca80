"""The translatable words for the states of payments, messages, settlements, requests and alerts.

Some states have different names in different tables. On the pages, each state has only one word.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WORDS: dict[str, Promise] = {
    "ABORTED": _("ABORTED"),
    "ACCEPTED": _("ACCEPTED"),
    "ACKNOWLEDGED": _("ACKNOWLEDGED"),
    "ACTIVE": _("ACTIVE"),
    "AGREED": _("AGREED"),
    "ALERT": _("ALERT"),
    "ALLOW": _("ALLOW"),
    "ANSWERED": _("ANSWERED"),
    "APPROVED": _("APPROVED"),
    "CANCELLED": _("CANCELLED"),
    "CLOSED": _("CLOSED"),
    "COMMITTED": _("COMMITTED"),
    "COMPLETED": _("COMPLETED"),
    "DEAD": _("GIVEN UP"),
    "DELIVERED": _("DELIVERED"),
    "DONE": _("DONE"),
    "DRAFT": _("DRAFT"),
    "ENDED": _("ENDED"),
    "EXPIRED": _("EXPIRED"),
    "FAILED": _("FAILED"),
    "FRAUD": _("FRAUD"),
    "GIVEN_UP": _("GIVEN UP"),
    "HELD": _("HELD"),
    "HOLD": _("HOLD"),
    "LIFTED": _("LIFTED"),
    "LIVE": _("LIVE"),
    "MATCHED": _("MATCHED"),
    "NO_FRAUD": _("NO FRAUD"),
    "OPEN": _("OPEN"),
    "OTHER_AMOUNT": _("OTHER AMOUNT"),
    "OTHER_CURRENCY": _("OTHER CURRENCY"),
    "OTHER_DIRECTION": _("OTHER DIRECTION"),
    "OTHER_PARTICIPANT": _("OTHER PARTICIPANT"),
    "PENDING": _("WAITING"),
    "PENDING_SETTLEMENT": _("TO BE SETTLED"),
    "PLANNED": _("PLANNED"),
    "PS_TRANSFERS_COMMITTED": _("NET SENDERS SETTLED"),
    "PS_TRANSFERS_RECORDED": _("RECORDED"),
    "PS_TRANSFERS_RESERVED": _("NET RECIPIENTS SETTLED"),
    "RECEIVED": _("RECEIVED"),
    "REFUSE": _("REFUSE"),
    "REFUSED": _("REJECTED"),
    "REJECTED": _("REJECTED"),
    "RELEASED": _("RELEASED"),
    "REQUESTED": _("REQUESTED"),
    "RESERVED": _("RESERVED"),
    "RUNNING": _("RUNNING"),
    "SENT": _("SENT"),
    "SETTLED": _("SETTLED"),
    "SETTLING": _("SETTLING"),
    "SHADOW": _("SHADOW"),
    "TWICE": _("TWICE"),
    "UNCLEAR": _("UNCLEAR"),
    "UNKNOWN_REFERENCE": _("UNKNOWN REFERENCE"),
    "WAITING": _("WAITING"),
    "WITHDRAWN": _("WITHDRAWN"),
}


def word_of(name: str) -> str:
    """Returns the word for a state. If this module does not know a state, returns the name of the state."""
    return str(WORDS.get(name) or name.replace("_", " "))


def choices(*names: str) -> list[tuple[str, Promise | str]]:
    """Returns the choices of a search form for these states. The first choice is "any state"."""
    return [("", "–"), *((name, WORDS.get(name, name)) for name in names)]
