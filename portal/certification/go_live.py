"""Whether a DFSP may go live, as far as its certification is concerned. The onboarding asks before go-live."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.participants.models import Participant
from portal.certification.cases import BY_NAME
from portal.certification.models import Certification, CertificationCase


def missing_certification(participant: Participant) -> str | None:
    """Returns the reason why the DFSP's certification does not permit its go-live, or None.

    The scheme requires a certification with GO_LIVE_CERTIFICATION_DAYS.
    """
    days = settings.GO_LIVE_CERTIFICATION_DAYS
    if not days:
        return None
    latest = (
        Certification.objects.filter(participant=participant)
        .exclude(state__in=[Certification.State.WAITING, Certification.State.RUNNING, Certification.State.INTERRUPTED])
        .order_by("-ended_at")
        .first()
    )
    if latest is None:
        return _("This participant has no certification.")
    if latest.state != Certification.State.PASSED:
        return _("The latest certification of this participant failed.")
    if latest.ended_at is None or latest.ended_at < timezone.now() - timedelta(days=days):
        return _("The latest certification of this participant is older than %(days)s days.") % {"days": days}
    left_out = latest.cases.filter(verdict=CertificationCase.Verdict.LEFT_OUT)
    needed = [case for case in left_out if not _is_excused(case)]
    if needed:
        titles = ", ".join(str(BY_NAME[case.name].title) for case in needed)
        return _("The latest certification left out required cases: %(titles)s.") % {"titles": titles}
    return None


def _is_excused(case: CertificationCase) -> bool:
    """Returns whether the case is optional, or cannot apply to this DFSP in this scheme."""
    by_choice = any(each["code"] == "left_out" for each in case.faults)
    return not by_choice or case.name not in BY_NAME or BY_NAME[case.name].is_optional
