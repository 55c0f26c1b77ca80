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
    "activation": gettext_lazy("Activation"),
    "added": gettext_lazy("Added"),
    "after": gettext_lazy("After"),
    "alarm_percentage": gettext_lazy("Alarm at, per cent"),
    "alarmPercentage": gettext_lazy("Alarm at, per cent"),
    "amount": gettext_lazy("Amount"),
    "appeal": gettext_lazy("Appeal"),
    "approval": gettext_lazy("Request"),
    "attempts": gettext_lazy("Attempts"),
    "auto_position_reset": gettext_lazy("Resets positions"),
    "autoPositionReset": gettext_lazy("Resets positions"),
    "before": gettext_lazy("Before"),
    "case": gettext_lazy("Case"),
    "certification": gettext_lazy("Certification"),
    "change": gettext_lazy("Requested change"),
    "client": gettext_lazy("API client"),
    "closed": gettext_lazy("Closed"),
    "code": gettext_lazy("Error code"),
    "commits": gettext_lazy("Paid out"),
    "confirmedBy": gettext_lazy("Confirmed by"),
    "contact": gettext_lazy("Contact"),
    "contacts": gettext_lazy("Contacts"),
    "csr": gettext_lazy("Signing request"),
    "currencies": gettext_lazy("Currencies"),
    "currency": gettext_lazy("Currency"),
    "days": gettext_lazy("Days"),
    "delay": gettext_lazy("Delay"),
    "description": gettext_lazy("Description"),
    "dfsp": gettext_lazy("DFSP"),
    "digest": gettext_lazy("Digest"),
    "direction": gettext_lazy("Direction"),
    "email": gettext_lazy("Email"),
    "endpoint": gettext_lazy("Callback URL"),
    "entries": gettext_lazy("Entries"),
    "entry": gettext_lazy("Entry"),
    "extensions": gettext_lazy("Extensions"),
    "externalReference": gettext_lazy("Bank's reference"),
    "file": gettext_lazy("File"),
    "form": gettext_lazy("File format"),
    "found": gettext_lazy("Found"),
    "from": gettext_lazy("From"),
    "fsp": gettext_lazy("Participant"),
    "granularity": gettext_lazy("Granularity"),
    "holder": gettext_lazy("Secret given to"),
    "id": gettext_lazy("Number"),
    "interchange": gettext_lazy("Settled between"),
    "involved": gettext_lazy("Involved in the account"),
    "is_active": gettext_lazy("Active"),
    "is_default": gettext_lazy("Default oracle if a request names no currency"),
    "is_proxy": gettext_lazy("Proxy of another scheme"),
    "is_settleable": gettext_lazy("Can be settled"),
    "isActive": gettext_lazy("Active"),
    "isConfirmed": gettext_lazy("Confirmed"),
    "isDefault": gettext_lazy("Default oracle if a request names no currency"),
    "isExact": gettext_lazy("Matches"),
    "isLive": gettext_lazy("Live"),
    "isProxy": gettext_lazy("Proxy of another scheme"),
    "isSettleable": gettext_lazy("Can be settled"),
    "isStaff": gettext_lazy("May read the database tables"),
    "jws_compat": gettext_lazy("Signatures of the reference's libraries"),
    "jwsCompat": gettext_lazy("Signatures of the reference's libraries"),
    "key": gettext_lazy("Key"),
    "kind": gettext_lazy("Kind"),
    "label": gettext_lazy("Label"),
    "least_score": gettext_lazy("Least similarity"),
    "ledger_account_type": gettext_lazy("Account"),
    "ledgerAccountType": gettext_lazy("Account"),
    "lines": gettext_lazy("Lines"),
    "list": gettext_lazy("List"),
    "maker": gettext_lazy("Requested by"),
    "marker": gettext_lazy("Marker"),
    "match": gettext_lazy("Match of a name"),
    "may_read": gettext_lazy("May read the database tables"),
    "mayReceive": gettext_lazy("May receive"),
    "maySend": gettext_lazy("May send"),
    "message": gettext_lazy("Message"),
    "messages": gettext_lazy("Messages"),
    "model": gettext_lazy("Settlement model"),
    "name": gettext_lazy("Name"),
    "ndc": gettext_lazy("Net debit cap"),
    "ndc_before": gettext_lazy("Cap before"),
    "networks": gettext_lazy("Allowed source addresses"),
    "notification": gettext_lazy("Notification"),
    "number": gettext_lazy("Number"),
    "on": gettext_lazy("Switched on"),
    "on_by": gettext_lazy("Switched on by"),
    "opened": gettext_lazy("Opened"),
    "oracle": gettext_lazy("Oracle"),
    "outcome": gettext_lazy("Outcome"),
    "owed": gettext_lazy("Amounts owed"),
    "participant": gettext_lazy("Participant"),
    "party": gettext_lazy("Party"),
    "payee": gettext_lazy("Payee"),
    "payee_dfsp": gettext_lazy("Payee DFSP"),
    "payer": gettext_lazy("Payer"),
    "payer_dfsp": gettext_lazy("Payer DFSP"),
    "payload": gettext_lazy("Requested change"),
    "payments": gettext_lazy("Payments"),
    "phone": gettext_lazy("Telephone"),
    "putAside": gettext_lazy("Put aside"),
    "reason": gettext_lazy("Reason"),
    "reference": gettext_lazy("Reference"),
    "registration": gettext_lazy("Registration"),
    "removed": gettext_lazy("Removed"),
    "require_liquidity_check": gettext_lazy("Net debit cap and cover are checked"),
    "requireLiquidityCheck": gettext_lazy("Net debit cap and cover are checked"),
    "role": gettext_lazy("Role"),
    "roles": gettext_lazy("Roles"),
    "row": gettext_lazy("Row"),
    "rows": gettext_lazy("Rows"),
    "rule": gettext_lazy("Rule"),
    "scopes": gettext_lazy("Scopes"),
    "settlement": gettext_lazy("Settlement"),
    "settlement_account_type": gettext_lazy("Settlement account"),
    "settlementAccountType": gettext_lazy("Settlement account"),
    "sha256": gettext_lazy("SHA-256"),
    "sightings": gettext_lazy("Reports"),
    "signedInAt": gettext_lazy("Signed in"),
    "signedInFrom": gettext_lazy("Signed in from"),
    "signedInWith": gettext_lazy("Browser"),
    "since": gettext_lazy("Since"),
    "source": gettext_lazy("Source currency"),
    "sourceCurrency": gettext_lazy("Source currency"),
    "state": gettext_lazy("State"),
    "statement": gettext_lazy("Bank's statement"),
    "steps": gettext_lazy("Steps"),
    "subject": gettext_lazy("Subject"),
    "target": gettext_lazy("Target currency"),
    "targetCurrency": gettext_lazy("Target currency"),
    "text": gettext_lazy("Text"),
    "to": gettext_lazy("To"),
    "transfer": gettext_lazy("Transfer"),
    "transfer_id": gettext_lazy("Movement"),
    "transferId": gettext_lazy("Transfer"),
    "type": gettext_lazy("Type"),
    "until": gettext_lazy("Until"),
    "use_case": gettext_lazy("Use case"),
    "username": gettext_lazy("User name"),
    "validFrom": gettext_lazy("Valid from"),
    "validUntil": gettext_lazy("Valid until"),
    "value": gettext_lazy("Value"),
    "version": gettext_lazy("Version"),
    "windows": gettext_lazy("Windows"),
}

# The names of the amounts that the hub records in ten-thousandths of the currency unit.
AMOUNTS = frozenset({"amount", "ndc", "ndc_before", "remaining", "limit", "owed", "owes"})

# The names of the values that people write. Such a text can look like a role or a state, so the pages show it as it is
# recorded.
WRITTEN = frozenset(
    {
        "description",
        "dfsp",
        "externalReference",
        "fsp",
        "label",
        "name",
        "participant",
        "payee_dfsp",
        "payer_dfsp",
        "reason",
        "reference",
        "text",
        "username",
    }
)

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
