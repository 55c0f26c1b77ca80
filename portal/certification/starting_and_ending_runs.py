"""Requests, starts and ends certifications. A person requests a run, and then a worker starts a process for the run.

Only one process certifies at a time, because the certifier has only one endpoint. The process holds an advisory lock of
the database. When the process ends, the lock ends too. The process stores the results case by case. If the process
dies, the worker or a later tick ends the run as interrupted.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from hub.audit import record
from hub.participants.endpoint_types_and_urls import ALARM_NUMBER_TYPES, EMAIL_TYPES
from hub.participants.models import Participant
from portal.certification import certifier_participant, recorded_requests
from portal.certification.cases import CASES
from portal.certification.models import OPEN, Certification, CertificationCase
from portal.certification.options import Options

log = structlog.get_logger("certification")

State = Certification.State
_LOCK = 7_301_201
_STALE = timedelta(minutes=2)
_INTERRUPTED = "the process of the certification ended before the certification was complete"


class NotStarted(Exception):
    """Raised if a certification cannot be requested. The text of the error is the reason."""


@transaction.atomic
def ask(participant: Participant, options: Options, *, asked_by: str) -> Certification:
    """Requests a certification. If this DFSP has an open certification, returns this certification."""
    if participant.is_hub or participant.name == settings.CERTIFIER_NAME:
        raise NotStarted(f"{participant.name} is no DFSP")
    if participant.closed_at is not None or not participant.is_active:
        raise NotStarted(f"{participant.name} is not active")
    if participant.leaving_since is not None:
        raise NotStarted(f"{participant.name} is leaving, so it can neither send nor receive payments")
    if not participant.endpoints.exists():
        raise NotStarted(f"{participant.name} has no endpoint")
    with only_process() as is_free:
        if is_free:
            interrupt(Q())
    Participant.objects.select_for_update(no_key=True).get(pk=participant.pk)
    known = Certification.objects.filter(participant=participant, state__in=OPEN).first()
    if known is not None:
        return known
    made = Certification.objects.create(participant=participant, options=options.as_json(), asked_by=asked_by)
    CertificationCase.objects.bulk_create(
        CertificationCase(certification=made, number=number, name=case.name) for number, case in enumerate(CASES, 1)
    )
    record("certification_requested", subject=participant.name, actor=asked_by)
    return made


def of(participant: Participant | None = None) -> "QuerySet[Certification]":
    """Returns the certifications of one DFSP or of all DFSPs, the latest first."""
    found = Certification.objects.select_related("participant")
    return found if participant is None else found.filter(participant=participant)


def latest_judged(participant: Participant) -> Certification | None:
    """Returns the latest certification that passed or failed."""
    return of(participant).filter(state__in=(State.PASSED, State.FAILED)).order_by("-ended_at", "-pk").first()


def has_new_address(certification: Certification) -> bool:
    """Returns whether a callback URL of the DFSP was changed after this certification."""
    changed = certification.participant.endpoints.filter(changed_at__gt=certification.ended_at)
    return changed.exclude(type__in=EMAIL_TYPES | ALARM_NUMBER_TYPES).exists()


def required_cases_left_out(certification: Certification) -> list[str]:
    """Returns the names of the required cases that this certification left out on request."""
    left_out = certification.cases.filter(verdict=CertificationCase.Verdict.LEFT_OUT).values_list("name", flat=True)
    wanted = set(certification.options["left_out"])
    optional = {case.name for case in CASES if case.is_optional}
    return [name for name in left_out if name in wanted - optional]


# --- the process ------------------------------------------------------------------------------------------------------


def start() -> bool:
    """Starts a process for the certifications that wait. Returns whether a process was started.

    Before the start, the function ends certifications whose process has died, and deletes the data that the dead
    processes have left. The function does not wait for the new process.
    """
    end_stale()
    with only_process() as is_free:
        if is_free:
            clear_after_the_dead()
        waiting = Certification.objects.filter(state=State.WAITING).order_by("pk").values_list("pk", flat=True)
        ids = list(waiting) if is_free else []
    if not ids:
        return False
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "certify", "--waiting"]
    try:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as error:
        log.error("certification_not_started", error=str(error))
        return False
    threading.Thread(target=_watch, args=(process,), name="certification-process", daemon=True).start()
    return True


def _watch(process: "subprocess.Popen[bytes]") -> None:
    process.wait()
    try:
        end_lost()
    except (DatabaseError, InterfaceError):
        log.warning("certifications_not_ended", exc_info=True)  # a later tick ends these certifications
    finally:
        connection.close()


def end_lost() -> None:
    """If no process holds the lock of certifications, ends the certifications whose process has died."""
    with only_process() as is_free:
        if is_free:
            clear_after_the_dead()


def clear_after_the_dead() -> None:
    """Ends the certifications whose process has died. The function also disables the certifier, and ends the recordings
    that the dead process did not end. The caller holds the lock, so no process certifies now."""
    interrupt(Q())
    recorded_requests.forget_recordings()
    certifier_participant.take_down()


def end_stale() -> int:
    """Ends the certifications whose process has not reported for two minutes. Returns their number."""
    return interrupt(Q(told_at__lt=timezone.now() - _STALE) | Q(told_at=None, started_at__lt=timezone.now() - _STALE))


def interrupt(which: Q) -> int:
    running = Certification.objects.filter(which, state=State.RUNNING)
    return running.update(state=State.INTERRUPTED, ended_at=Now(), fault=_INTERRUPTED)


@contextmanager
def only_process() -> Iterator[bool]:
    """Holds the lock of certifications during the `with` block. Yields whether this process has the lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        row = cursor.fetchone()
        has_lock = bool(row and row[0])
        try:
            yield has_lock
        finally:
            if has_lock:
                try:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
                except (OperationalError, InterfaceError):
                    connection.close()  # the connection has ended, and the lock with it


def take(certification: Certification) -> bool:
    now = timezone.now()
    waiting = Certification.objects.filter(pk=certification.pk, state=State.WAITING)
    if not waiting.update(state=State.RUNNING, started_at=now, told_at=now):
        return False
    certification.refresh_from_db()
    return True


@transaction.atomic
def let_pay(certification: Certification, certifier: Participant) -> None:
    """Permits test payments between the certifier and a DFSP that is not live yet, while the certification runs.

    At the end of the certification, the trigger `the_end_of_a_certification_ends_its_payments` withdraws this
    permission. Go-live and off-boarding also withdraw the permission.
    """
    running = Certification.objects.select_for_update(no_key=True).filter(pk=certification.pk, state=State.RUNNING)
    if running.first() is not None:
        dfsp = Participant.objects.filter(pk=certification.participant_id, leaving_since=None, closed_at=None)
        dfsp.exclude(onboarding_since=None).update(tested_by=certifier)
