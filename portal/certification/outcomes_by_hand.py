"""The states that people report for the payments that they made by hand.

A person makes the payments if the certifier cannot call an outbound API of the DFSP. So the certifier does not see the
DFSP's own records, and a person must report what these records show.
"""

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from hub.audit import record
from portal.certification.models import Certification, CertificationCase

STATES: dict[str, Promise] = {"COMMITTED": _("Paid"), "ABORTED": _("Failed"), "OPEN": _("Still open")}
"""The states that a person can report, and their names."""


@transaction.atomic
def report(certification: Certification, case: str, *, state: str, actor: str) -> bool:
    """Stores the state that a person reports for the payment of a case. Returns False if the case does not wait for a
    report, for example because another person has already reported the state."""
    assert state in STATES, state
    if not _awaited(certification, case).update(reported={"state": state, "by": actor}):
        return False
    after = {"certification": certification.pk, "case": case, "state": state}
    record("certification_outcome_reported", subject=certification.participant.name, actor=actor, after=after)
    return True


def is_awaited(certification: Certification, case: str) -> bool:
    """Returns whether the case waits until a person reports the state of the payment."""
    return _awaited(certification, case).exists()


def _awaited(certification: Certification, case: str) -> "QuerySet[CertificationCase]":
    return CertificationCase.objects.filter(
        certification=certification,
        certification__state=Certification.State.RUNNING,
        name=case,
        ended_at=None,
        instruction__what="outcome",
        reported__isnull=True,
    )


def reported(certification: Certification, case: str) -> str | None:
    """Returns the state that a person has reported for the payment of a case, or None."""
    found = certification.cases.values_list("reported", flat=True).get(name=case)
    return None if found is None else str(found["state"])
