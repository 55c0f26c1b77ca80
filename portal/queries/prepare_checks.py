"""Which of the hub's checks a prepare passed, and at which it ended, as far as that follows from what is recorded.

Recorded is the rule by which a transfer was refused, and that a reserved one was refused by none. The checks are made
in one order (`ledger.decide.decide_prepare`), so those before the one that refused were passed, and none after it was
made.
What the position and the limits were at that time is kept nowhere, and so not said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from ledger.messages import Refusal
from ledger.models import Transfer

_CONVERSION = "conversion"
# In the order in which they are made, each with the rules by which it refuses. The last says when it is made at all.
CHECKS: Sequence[tuple[Promise, tuple[Refusal, ...], str]] = (
    (gettext_lazy("no conversion has this id"), (Refusal.ID_IS_OF_BOTH,), ""),
    (gettext_lazy("the payer is active and may send"), (Refusal.PAYER_IS_NOT_ACTIVE, Refusal.PAYER_MAY_NOT_SEND), ""),
    (
        gettext_lazy("the payee is known, active and may receive"),
        (Refusal.PAYEE_IS_UNKNOWN, Refusal.PAYEE_IS_NOT_ACTIVE, Refusal.PAYEE_MAY_NOT_RECEIVE),
        "",
    ),
    (gettext_lazy("payer and payee are two"), (Refusal.PAYER_AND_PAYEE_ARE_THE_SAME,), ""),
    (gettext_lazy("it names the payee as its destination"), (Refusal.DESTINATION_IS_NOT_THE_PAYEE,), ""),
    (
        gettext_lazy("it expires in the future, and not too late"),
        (Refusal.EXPIRED_ON_ARRIVAL, Refusal.EXPIRES_TOO_LATE),
        "",
    ),
    # Whether the scheme had it checked then is not recorded.
    (gettext_lazy("its terms are those of the quote"), (Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE,), "refused"),
    (
        gettext_lazy("the payee has an active account in this currency"),
        (Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT,),
        "",
    ),
    (
        gettext_lazy("its conversion is agreed, of this money, and in time"),
        (
            Refusal.CONVERSION_HAS_ENDED,
            Refusal.CONVERSION_IS_NOT_AGREED,
            Refusal.CONVERSION_EXPIRED,
            Refusal.CONVERSION_IS_OF_OTHER_MONEY,
            Refusal.FXP_IS_PARTY_OF_THE_TRANSFER,
            Refusal.FXP_MAY_NOT_CONVERT,
        ),
        _CONVERSION,
    ),
    (
        gettext_lazy("who pays has an active account with a net debit cap in this currency"),
        (Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT, Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT),
        "",
    ),
    (gettext_lazy("its cover is enough"), (Refusal.LIQUIDITY,), ""),
    (gettext_lazy("its net debit cap is enough"), (Refusal.NDC,), ""),
)


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
    for text, rules, when in CHECKS:
        is_refusal = refused_by in {rule.value for rule in rules}
        if is_refusal:
            return [*found, Applied(text, refused_by)]
        if not when or (when == _CONVERSION and transfer.payer_conversion_id is not None):
            found.append(Applied(text))
    # A rule that is not in the list says nothing of the order.
    return found if was_reserved else []
