"""Which of the hub's checks a prepare passed, and at which it ended, as far as that follows from what is recorded.

Recorded is the rule by which a transfer was refused, and that a reserved one was refused by none. The checks are made
in one order (`ledger.decide.PREPARE_IS_REFUSED_BY`), so those before the one that refused were passed, and none after
it was made.
What the position and the limits were at that time is kept nowhere, and so not said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from ledger.commands_and_outcomes import Refusal
from ledger.decide import PREPARE_IS_REFUSED_BY
from ledger.models import Transfer


class _Told(Enum):
    """Of which prepares it is known that a check was made."""

    OF_ALL = auto()
    OF_CONVERSIONS = auto()
    OF_REFUSED_BY_IT = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What one or more rules, one after the other, ask of a prepare; equal to itself only."""

    text: Promise
    told: _Told = _Told.OF_ALL


_PAYER = Check(gettext_lazy("the payer is active and may send"))
_PAYEE = Check(gettext_lazy("the payee is known, active and may receive"))
_EXPIRATION = Check(gettext_lazy("it expires in the future, and not too late"))
_CONVERSION = Check(gettext_lazy("its conversion is agreed, of this money, and in time"), _Told.OF_CONVERSIONS)
_DEBTOR = Check(gettext_lazy("who pays has an active account with a net debit cap in this currency"))
BY_RULE: Mapping[Refusal, Check] = {
    Refusal.ID_IS_OF_BOTH: Check(gettext_lazy("no conversion has this id")),
    Refusal.PAYER_IS_NOT_ACTIVE: _PAYER,
    Refusal.PAYER_MAY_NOT_SEND: _PAYER,
    Refusal.PAYEE_IS_UNKNOWN: _PAYEE,
    Refusal.PAYEE_IS_NOT_ACTIVE: _PAYEE,
    Refusal.PAYEE_MAY_NOT_RECEIVE: _PAYEE,
    Refusal.PAYER_AND_PAYEE_ARE_THE_SAME: Check(gettext_lazy("payer and payee are two")),
    Refusal.DESTINATION_IS_NOT_THE_PAYEE: Check(gettext_lazy("it names the payee as its destination")),
    Refusal.EXPIRED_ON_ARRIVAL: _EXPIRATION,
    Refusal.EXPIRES_TOO_LATE: _EXPIRATION,
    # Whether the scheme had it checked then is not recorded.
    Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE: Check(
        gettext_lazy("its terms are those of the quote"), _Told.OF_REFUSED_BY_IT
    ),
    Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT: Check(gettext_lazy("the payee has an active account in this currency")),
    Refusal.CONVERSION_HAS_ENDED: _CONVERSION,
    Refusal.CONVERSION_IS_NOT_AGREED: _CONVERSION,
    Refusal.CONVERSION_EXPIRED: _CONVERSION,
    Refusal.CONVERSION_IS_OF_OTHER_MONEY: _CONVERSION,
    Refusal.FXP_IS_PARTY_OF_THE_TRANSFER: _CONVERSION,
    Refusal.FXP_MAY_NOT_CONVERT: _CONVERSION,
    Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT: _DEBTOR,
    Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT: _DEBTOR,
    Refusal.LIQUIDITY: Check(gettext_lazy("its cover is enough")),
    Refusal.NDC: Check(gettext_lazy("its net debit cap is enough")),
}
CHECKS: Sequence[tuple[Check, frozenset[str]]] = [
    (check, frozenset(rule.value for rule in rules))
    for check, rules in groupby(PREPARE_IS_REFUSED_BY, key=BY_RULE.__getitem__)
]
"""In the order in which they are made, each with the rules by which it refuses."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One check; `rule` is the one by which it refused, empty where it was passed."""

    text: Promise
    rule: str = ""


def to_prepare(transfer: Transfer, *, was_reserved: bool) -> list[Applied]:
    """What was checked, in order, up to what refused it; nothing of a bulk's item, which its bulk is checked for."""
    if transfer.bulk_id is not None:
        return []
    refused_by = "" if was_reserved else transfer.reason or ""
    found: list[Applied] = []
    for check, rules in CHECKS:
        if refused_by in rules:
            return [*found, Applied(check.text, refused_by)]
        has_conversion = transfer.payer_conversion_id is not None
        if check.told is _Told.OF_ALL or (check.told is _Told.OF_CONVERSIONS and has_conversion):
            found.append(Applied(check.text))
    # A rule that is not in the list says nothing of the order.
    return found if was_reserved else []
