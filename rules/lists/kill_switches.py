"""A kill switch stops all payments of one of three kinds: from or to one alias, from or to one DFSP, or from one DFSP
to another DFSP.

Each change of a kill switch needs two people. The database accepts a change only if the database transaction also
contains the approved request (`kill_switch`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from hub.audit import record
from rules.change_refused import NotChanged
from rules.lists import change_numbers, dfsp_corridor_and_name_keys
from rules.lists.matches import KILL_SWITCH, matches
from rules.lists.models import KillSwitch

KIND = "kill_switch"
"""The kind of request in `hub.audit.approvals`."""


class Stopped(StrEnum):
    """The reason why a kill switch stops a payment: the payer, the payee, one of the DFSPs, or the pair of DFSPs."""

    PAYER = "payer"
    PAYEE = "payee"
    DFSP = "dfsp"
    CORRIDOR = "corridor"


@dataclass(frozen=True, slots=True)
class Payment:
    """The DFSPs of a payment, and the keys of the payment's parties, as far as the hub knows the DFSPs and keys."""

    payer_dfsp: str
    payee_dfsp: str
    payer: int | None = None
    payee: int | None = None
    payer_alias: int | None = None  # with the sub-identifier
    payee_alias: int | None = None


def stopped(payments: Iterable[Payment]) -> list[Stopped | None]:
    """For each payment, returns the reason why a kill switch stops the payment. Returns None for a payment that no kill
    switch stops.

    In most cases, the function runs no SQL statement, because `rules.lists.matches` keeps the kill switches in memory.
    """
    found = [_keys_of(payment) for payment in payments]
    on = matches([key for each in found for key in each])
    return [next((what for key, what in each.items() if KILL_SWITCH in on.get(key, ())), None) for each in found]


def _keys_of(payment: Payment) -> dict[int, Stopped]:
    found = {
        dfsp_corridor_and_name_keys.of_dfsp(payment.payer_dfsp): Stopped.DFSP,
        dfsp_corridor_and_name_keys.of_dfsp(payment.payee_dfsp): Stopped.DFSP,
        dfsp_corridor_and_name_keys.of_corridor(payment.payer_dfsp, payment.payee_dfsp): Stopped.CORRIDOR,
    }
    found |= {key: Stopped.PAYER for key in (payment.payer, payment.payer_alias) if key is not None}
    found |= {key: Stopped.PAYEE for key in (payment.payee, payment.payee_alias) if key is not None}
    return found


def key_of(kind: str, *, party: int | None = None, payer_dfsp: str = "", payee_dfsp: str = "") -> int:
    """Returns the key of a kill switch. Raises NotChanged if the values do not fit this kind of kill switch."""
    match KillSwitch.Kind(kind), party, bool(payer_dfsp), bool(payee_dfsp):
        case KillSwitch.Kind.ALIAS, int(), False, False:
            assert party is not None
            return party
        case KillSwitch.Kind.DFSP, None, True, False:
            return dfsp_corridor_and_name_keys.of_dfsp(payer_dfsp)
        case KillSwitch.Kind.CORRIDOR, None, True, True:
            return dfsp_corridor_and_name_keys.of_corridor(payer_dfsp, payee_dfsp)
    raise NotChanged(_("A kill switch stops one alias, one DFSP, or the payments from one DFSP to another DFSP."))


def subject_of(key: int) -> str:
    """Returns the subject of a request to change a kill switch. A trigger in the database checks that the change
    matches this subject."""
    return f"kill switch {key}"


@transaction.atomic
def switch_on(
    kind: str, *, party: int | None = None, payer_dfsp: str = "", payee_dfsp: str = "", reason: str, actor: str
) -> KillSwitch:
    """Switches a kill switch on, in the database transaction that approves the request.

    Raises NotChanged if the kill switch is already on.
    """
    key = key_of(kind, party=party, payer_dfsp=payer_dfsp, payee_dfsp=payee_dfsp)
    record(
        "kill_switch_on",
        subject=subject_of(key),
        actor=actor,
        after={"kind": kind, "payer_dfsp": payer_dfsp, "payee_dfsp": payee_dfsp, "reason": reason},
    )
    # Two approvals can run at the same time. The second approval then waits until the first approval has written its
    # audit entry. So this check comes after the entry in the audit trail.
    if KillSwitch.objects.filter(key=key, off_at=None).exists():
        raise NotChanged(_("This kill switch is already on."))
    return KillSwitch.objects.create(
        kind=kind,
        key=key,
        payer_dfsp=payer_dfsp,
        payee_dfsp=payee_dfsp,
        reason=reason,
        on_by=actor,
        change=change_numbers.count(change_numbers.LISTS),
    )


@transaction.atomic
def switch_off(key: int, *, actor: str) -> KillSwitch:
    """Switches a kill switch off, in the database transaction that approves the request.

    Raises NotChanged if the kill switch is not on.
    """
    found = KillSwitch.objects.select_for_update(no_key=True).filter(key=key, off_at=None).first()
    if found is None:
        raise NotChanged(_("This kill switch is not on."))
    record("kill_switch_off", subject=subject_of(key), actor=actor, before={"on_by": found.on_by})
    found.off_at, found.off_by = Now(), actor
    found.change = change_numbers.count(change_numbers.LISTS)
    found.save(update_fields=["off_at", "off_by", "change"])
    return found


def are_on() -> list[KillSwitch]:
    """Returns the kill switches that are on, with the latest first."""
    return list(KillSwitch.objects.filter(off_at=None))
