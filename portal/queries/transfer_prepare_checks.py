"""Lists the hub's checks that a prepare passed, and the check that the prepare failed.

The list uses only the stored rows.

If the hub refuses a transfer, the hub stores the reason (a `Refusal`). A reserved transfer passed all checks. The hub
always makes the checks in the order of `ledger.decide.PREPARE_IS_REFUSED_BY`. So a refused transfer has passed all
checks that come before the failed check. After a refusal, the hub makes no further checks. The list does not show the
position and the limits at that time, because the hub does not store these values.
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
    """The hub makes some checks for all prepares. The hub makes other checks only for some prepares, or only under some
    settings. For some prepares, the stored rows prove that the hub made the check. This value states which prepares
    these are."""

    OF_ALL = auto()
    OF_CONVERSIONS = auto()
    OF_REFUSED_BY_IT = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A requirement that a prepare must meet. One or several successive entries of `PREPARE_IS_REFUSED_BY` check this
    requirement.

    A check equals only itself, even if another check has the same values.
    """

    text: Promise
    told: _Told = _Told.OF_ALL


_PAYER = Check(gettext_lazy("the payer is active and may send"))
_PAYEE = Check(gettext_lazy("the payee is known, active and may receive"))
_EXPIRATION = Check(gettext_lazy("the expiration is in the future, and not too late"))
_CONVERSION = Check(
    gettext_lazy("the conversion is agreed, has the transfer's amount and currency, and has not expired"),
    _Told.OF_CONVERSIONS,
)
_DEBTOR = Check(gettext_lazy("the paying participant has an active account with a net debit cap in this currency"))
BY_RULE: Mapping[Refusal, Check] = {
    Refusal.ID_IS_OF_BOTH: Check(gettext_lazy("no conversion has this id")),
    Refusal.PAYER_IS_NOT_ACTIVE: _PAYER,
    Refusal.PAYER_MAY_NOT_SEND: _PAYER,
    Refusal.PAYEE_IS_UNKNOWN: _PAYEE,
    Refusal.PAYEE_IS_NOT_ACTIVE: _PAYEE,
    Refusal.PAYEE_MAY_NOT_RECEIVE: _PAYEE,
    Refusal.PAYER_AND_PAYEE_ARE_THE_SAME: Check(gettext_lazy("payer and payee are different participants")),
    Refusal.DESTINATION_IS_NOT_THE_PAYEE: Check(gettext_lazy("the message names the payee as its destination")),
    Refusal.EXPIRED_ON_ARRIVAL: _EXPIRATION,
    Refusal.EXPIRES_TOO_LATE: _EXPIRATION,
    # The hub does not store whether this check was active at the time of the prepare.
    Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE: Check(
        gettext_lazy("the terms equal the terms of the quote"), _Told.OF_REFUSED_BY_IT
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
    # The rules' decision, and not the prepare, records whether rules were active.
    Refusal.REFUSED_BY_RULE: Check(gettext_lazy("the scheme's rules allow the payment"), _Told.OF_REFUSED_BY_IT),
    Refusal.LIQUIDITY: Check(gettext_lazy("the cover of the paying participant is enough")),
    Refusal.NDC: Check(gettext_lazy("the net debit cap of the paying participant is enough")),
}
CHECKS: Sequence[tuple[Check, frozenset[str]]] = [
    (check, frozenset(rule.value for rule in rules))
    for check, rules in groupby(PREPARE_IS_REFUSED_BY, key=BY_RULE.__getitem__)
]
"""The checks in the hub's order. Each check comes with its reasons: if a prepare fails the check, the hub refuses the
prepare for one of these reasons."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One check of a prepare. If this check refused the prepare, `rule` is the reason of the refusal. Otherwise, `rule`
    is empty."""

    text: Promise
    rule: str = ""


def to_prepare(transfer: Transfer, *, was_reserved: bool) -> list[Applied]:
    """Returns the checks of a prepare in order, up to the check that refused the prepare.

    For an item of a bulk, returns no checks, because the hub checks the bulk instead.
    """
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
    # If no check in this list has the stored reason, nobody can know which checks the prepare passed.
    return found if was_reserved else []
