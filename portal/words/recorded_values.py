"""The words that the pages show for recorded names and values: labels, amounts, times, "yes" and "no".

In the downloaded file of the audit trail, each value has its recorded form. Only the pages show the words of this
module.
"""

import re
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

LABELS = {
    "about": gettext_lazy("Subject"),
    "account": gettext_lazy("Account"),
    "accounts": gettext_lazy("Accounts"),
    "added": gettext_lazy("Added"),
    "alarmPercentage": gettext_lazy("Alarm at, per cent"),
    "alarm_percentage": gettext_lazy("Alarm at, per cent"),
    "amount": gettext_lazy("Amount"),
    "approval": gettext_lazy("Request"),
    "client": gettext_lazy("API client"),
    "code": gettext_lazy("Error code"),
    "commits": gettext_lazy("Paid out"),
    "contacts": gettext_lazy("Contacts"),
    "csr": gettext_lazy("Signing request"),
    "currencies": gettext_lazy("Currencies"),
    "currency": gettext_lazy("Currency"),
    "days": gettext_lazy("Days"),
    "email": gettext_lazy("Email"),
    "endpoint": gettext_lazy("Callback URL"),
    "entry": gettext_lazy("Entry"),
    "externalReference": gettext_lazy("Bank's reference"),
    "extensions": gettext_lazy("Extensions"),
    "fsp": gettext_lazy("Participant"),
    "id": gettext_lazy("Number"),
    "isActive": gettext_lazy("Active"),
    "is_active": gettext_lazy("Active"),
    "isExact": gettext_lazy("Matches"),
    "isProxy": gettext_lazy("Proxy of another scheme"),
    "jwsCompat": gettext_lazy("Signatures of the reference's libraries"),
    "key": gettext_lazy("Key"),
    "kind": gettext_lazy("Kind"),
    "label": gettext_lazy("Label"),
    "lines": gettext_lazy("Lines"),
    "maker": gettext_lazy("Requested by"),
    "maySend": gettext_lazy("May send"),
    "mayReceive": gettext_lazy("May receive"),
    "message": gettext_lazy("Message"),
    "messages": gettext_lazy("Messages"),
    "model": gettext_lazy("Settlement model"),
    "name": gettext_lazy("Name"),
    "ndc": gettext_lazy("Net debit cap"),
    "ndc_before": gettext_lazy("Cap before"),
    "networks": gettext_lazy("Allowed source addresses"),
    "notification": gettext_lazy("Notification"),
    "opened": gettext_lazy("Opened"),
    "outcome": gettext_lazy("Outcome"),
    "participant": gettext_lazy("Participant"),
    "payload": gettext_lazy("Requested change"),
    "phone": gettext_lazy("Telephone"),
    "reason": gettext_lazy("Reason"),
    "reference": gettext_lazy("Reference"),
    "removed": gettext_lazy("Removed"),
    "role": gettext_lazy("Role"),
    "roles": gettext_lazy("Roles"),
    "scopes": gettext_lazy("Scopes"),
    "settlement": gettext_lazy("Settlement"),
    "sha256": gettext_lazy("SHA-256"),
    "source": gettext_lazy("Source currency"),
    "sourceCurrency": gettext_lazy("Source currency"),
    "state": gettext_lazy("State"),
    "statement": gettext_lazy("Bank's statement"),
    "subject": gettext_lazy("Subject"),
    "target": gettext_lazy("Target currency"),
    "targetCurrency": gettext_lazy("Target currency"),
    "to": gettext_lazy("To"),
    "transferId": gettext_lazy("Transfer"),
    "transfer_id": gettext_lazy("Movement"),
    "type": gettext_lazy("Type"),
    "username": gettext_lazy("User name"),
    "validFrom": gettext_lazy("Valid from"),
    "validUntil": gettext_lazy("Valid until"),
    "value": gettext_lazy("Value"),
    "version": gettext_lazy("Version"),
    "windows": gettext_lazy("Windows"),
}

# The names of the amounts that the hub records in ten-thousandths of the currency unit.
AMOUNTS = frozenset({"amount", "ndc", "ndc_before", "remaining", "limit", "owed", "owes"})

_WORDS = re.compile(r"[_\s]+|(?<=[a-z0-9])(?=[A-Z])")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?\Z")


def label_of(name: str) -> str:
    """Returns the label of a recorded name. If there is no label for the name, returns the words in the name."""
    known = LABELS.get(name)
    return str(known) if known is not None else " ".join(_WORDS.split(name)).strip().capitalize()


def time_in(text: str) -> datetime | None:
    """Returns the time that a recorded text contains, or None if the text is not a time."""
    if not _TIME.match(text):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def yes_or_no(value: bool) -> str:
    return _("yes") if value else _("no")


def is_complex(value: Any) -> bool:
    """Returns whether a value is an object, or a list that contains objects or lists. A page shows the inner values one
    below the other."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(part, dict | list) for part in value))
