"""Replays versions of the rules over stored payments. A person requests a replay, and a worker starts a process that
runs the replay.

Only one replay runs at a time in the whole hub. A replay changes no payment. Payments and VACUUM continue during a
replay, because the replay holds no snapshot of the database. A replay takes a long time and switches off garbage
collection. The worker must also send messages. So the replay does not run in the worker's own process.
"""

import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from typing import Self

import structlog
from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.sql_execution import execute
from ledger.rule_history import replay, replayed_rules
from ledger.rule_history.replay_command import figures
from portal.models import RuleReplay
from rules.rulesets.models import RuleSetVersion

log = structlog.get_logger("replays")

MOST_S = 3600.0
"""The time limit of a replay."""
_TIME_TO_END_S = 30.0  # if a process still runs this long after the time limit, the worker kills the process
_TELLS_EVERY_S = 1.0
_STALE = timedelta(minutes=2)
_OPEN = (RuleReplay.State.WAITING, RuleReplay.State.RUNNING)
MOST_OF_A_PERSON = 5
"""The maximum number of waiting and running replays of one person."""
_ASKING = 1_263_075_340  # the key of the lock for requests
_KEPT = 500  # the number of latest replays whose results the hub keeps


class NotAsked(Exception):
    """Raised if a person cannot request another replay now. The text of the error is the reason."""


@transaction.atomic
def ask(
    version: RuleSetVersion, *, since: datetime | None = None, until: datetime | None = None, asked_by: str
) -> RuleReplay:
    """Requests a replay. If an equal replay waits or runs already, returns that replay.

    Each replay can take an hour. So if too many replays of this person already wait or run, raises NotAsked.
    """
    # Because of the lock, a request that arrives twice at the same time creates only one replay.
    execute("SELECT pg_advisory_xact_lock(%s)", [_ASKING])
    terms = {"version": version, "since": since, "until": until}
    known = RuleReplay.objects.filter(state__in=_OPEN, **terms).first()
    if known is not None:
        return known
    if RuleReplay.objects.filter(state__in=_OPEN, asked_by=asked_by).count() >= MOST_OF_A_PERSON:
        text = _("%(count)s of your replays wait or run already. Stop one of them.")
        raise NotAsked(text % {"count": MOST_OF_A_PERSON})
    return RuleReplay.objects.create(**terms, asked_by=asked_by)


@transaction.atomic
def stop(job_id: int, *, actor: str) -> None:
    """Stops a replay that waits or runs. Does nothing if the replay has ended.

    A running replay ends within some seconds. Until then, no other replay begins.
    """
    job = RuleReplay.objects.select_for_update().filter(pk=job_id, state__in=_OPEN).first()
    if job is None:
        return
    job.stopped_by = actor
    if job.state == RuleReplay.State.WAITING:
        job.state, job.ended_at, job.fault = RuleReplay.State.FAILED, Now(), _stopped(actor)
    job.save(update_fields=["stopped_by", "state", "ended_at", "fault"])


def _stopped(actor: str) -> str:
    return f"stopped by {actor}"


def of_version(version: RuleSetVersion) -> "QuerySet[RuleReplay]":
    """Returns the replays of a version, with the latest first."""
    return RuleReplay.objects.filter(version=version)


class Ended(Exception):
    """Raised if a replay must end. Either its time limit has passed, or a person has stopped the replay, or the hub has
    ended the replay without a result."""


def start() -> bool:
    """Starts a process for the replay that has waited longest. Returns whether a process was started.

    The function first ends each replay whose process has died. If another replay is running, starts no process. Does
    not wait for the process, so that the worker can do other work.
    """
    job = take()
    if job is None:
        return False
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "run_replay", str(job.pk)]
    try:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL)
    except OSError as error:
        _end(job.pk, RuleReplay.State.FAILED, fault=f"the process of the replay did not start: {error}"[:512])
        return False
    threading.Thread(target=_watch, args=(job.pk, process), name="replay-process", daemon=True).start()
    return True


def _watch(job_id: int, process: "subprocess.Popen[bytes]") -> None:
    """Waits for the end of a replay's process. If the process still runs some time after the limit, kills the
    process."""
    try:
        code = process.wait(MOST_S + _TIME_TO_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    try:
        # If the replay is already done or has already failed, this call changes nothing.
        _end(job_id, RuleReplay.State.FAILED, fault=f"the process of the replay ended with {code}")
    except (DatabaseError, InterfaceError):
        log.warning("replay_not_ended", replay=job_id, exc_info=True)  # a later `take` ends the replay
    finally:
        connection.close()


def run(job_id: int) -> None:
    """Runs a replay that `take` has returned. If the replay has already ended, does nothing."""
    job = RuleReplay.objects.filter(pk=job_id, state=RuleReplay.State.RUNNING).first()
    if job is None:
        return
    try:
        rules = replayed_rules.of_version(job.version_id)
        with _Progress(job) as progress:
            report = replay.run(rules, since=job.since, until=job.until, tell=progress.tell)
    except Ended as reason:
        _end(job.pk, RuleReplay.State.FAILED, fault=str(reason))
    except Exception as error:
        log.exception("replay_failed", replay=job.pk)
        _end(job.pk, RuleReplay.State.FAILED, fault=f"{type(error).__name__}: {error}"[:512])
    else:
        found = figures(report) | {"is_live": rules.follows_history}
        _end(job.pk, RuleReplay.State.DONE, report=found, done=progress.whole, whole=progress.whole)
    RuleReplay.objects.filter(pk__lte=job.pk - _KEPT).exclude(state__in=_OPEN).delete()


def take() -> RuleReplay | None:
    """Finds the replay that has waited longest, sets its state to running, and returns the replay. Returns None if
    another replay is running.

    Ends each replay whose process has reported no progress for two minutes.
    """
    try:
        return _take()
    except IntegrityError:
        return None  # another worker has begun a replay at the same time; the database allows only one running replay


@transaction.atomic(durable=True)
def _take() -> RuleReplay | None:
    running = RuleReplay.objects.select_for_update().filter(state=RuleReplay.State.RUNNING)
    stale = [job for job in running if (job.told_at or job.asked_at) < timezone.now() - _STALE]
    if len(running) > len(stale):
        return None
    for ended in stale:
        _end(ended.pk, RuleReplay.State.FAILED, fault="the process of the replay ended before the replay was complete")
    waiting = RuleReplay.objects.select_for_update(skip_locked=True).filter(state=RuleReplay.State.WAITING)
    job = waiting.order_by("pk").first()
    if job is not None:
        job.state, job.started_at, job.told_at = RuleReplay.State.RUNNING, timezone.now(), timezone.now()
        job.save(update_fields=["state", "started_at", "told_at"])
    return job


def _end(job_id: int, state: str, **values: object) -> None:
    RuleReplay.objects.filter(pk=job_id, state=RuleReplay.State.RUNNING).update(state=state, ended_at=Now(), **values)


class _Progress:
    """Writes a replay's progress once a second. Uses its own connection. The connection of the replay is busy while
    PostgreSQL copies the rows.
    """

    def __init__(self, job: RuleReplay) -> None:
        self._job = job
        self._has_ended = threading.Event()
        self._until = time.monotonic() + MOST_S
        self._is_given_up = False
        self._stopped_by = ""
        self._thread = threading.Thread(target=self._write, name="replay-progress", daemon=True)
        self.done = self.whole = 0

    def tell(self, done: int, whole: int) -> None:
        """Keeps the progress. Raises Ended if the replay must not continue."""
        if self._stopped_by:
            raise Ended(_stopped(self._stopped_by))
        if self._is_given_up:
            raise Ended("the hub ended the replay, because the replay reported no progress")
        if time.monotonic() >= self._until:
            raise Ended(f"the replay took longer than {MOST_S:.0f} seconds")
        self.done, self.whole = done, whole

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def _write(self) -> None:
        try:
            while not self._has_ended.wait(_TELLS_EVERY_S) and not self._is_given_up:
                self._write_once()
        finally:
            connection.close()

    def _write_once(self) -> None:
        running = RuleReplay.objects.filter(pk=self._job.pk, state=RuleReplay.State.RUNNING)
        try:
            self._is_given_up = not running.update(done=self.done, whole=self.whole, told_at=Now())
            self._stopped_by = running.values_list("stopped_by", flat=True).first() or ""
        except (DatabaseError, InterfaceError):
            connection.close()  # the next update, a second later, tries again
