"""Replays versions of the rules over stored payments. A person requests a replay, and a worker runs the replay.

One replay runs at a time in the whole hub. A replay only reads, so payments continue during the replay.
"""

import threading
from datetime import datetime, timedelta
from typing import Self

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from ledger.rule_history import replay, replayed_rules
from ledger.rule_history.replay_command import figures
from portal.models import RuleReplay
from rules.rulesets.models import RuleSetVersion

log = structlog.get_logger("replays")

_TELLS_EVERY_S = 1.0
_STALE = timedelta(minutes=2)
_OPEN = (RuleReplay.State.WAITING, RuleReplay.State.RUNNING)
_KEPT = 500  # the results of the latest replays are kept


def ask(
    version: RuleSetVersion, *, since: datetime | None = None, until: datetime | None = None, asked_by: str
) -> RuleReplay:
    """Requests a replay. If an equal replay waits or runs already, returns that replay."""
    terms = {"version": version, "since": since, "until": until}
    known = RuleReplay.objects.filter(state__in=_OPEN, **terms).first()
    return known or RuleReplay.objects.create(**terms, asked_by=asked_by)


def of_version(version: RuleSetVersion) -> "QuerySet[RuleReplay]":
    """Returns the replays of a version, with the latest first."""
    return RuleReplay.objects.filter(version=version)


def work_off() -> int:
    """Runs the replay that waits longest. Returns 1 after a replay. Returns 0 if no replay waits, or if another replay
    runs.
    """
    job = _take()
    if job is None:
        return 0
    try:
        rules = replayed_rules.of_version(job.version_id)
        with _Progress(job) as progress:
            report = replay.run(rules, since=job.since, until=job.until, tell=progress.tell)
    except Exception as error:
        log.exception("replay_failed", replay=job.pk)
        _end(job, RuleReplay.State.FAILED, fault=f"{type(error).__name__}: {error}"[:512])
    else:
        found = figures(report) | {"is_live": rules.follows_history}
        _end(job, RuleReplay.State.DONE, report=found, done=progress.whole, whole=progress.whole)
    RuleReplay.objects.filter(pk__lte=job.pk - _KEPT).exclude(state__in=_OPEN).delete()
    return 1


@transaction.atomic(durable=True)
def _take() -> RuleReplay | None:
    running = RuleReplay.objects.select_for_update().filter(state=RuleReplay.State.RUNNING)
    stale = [job for job in running if (job.told_at or job.asked_at) < timezone.now() - _STALE]
    if len(running) > len(stale):
        return None
    for ended in stale:
        _end(ended, RuleReplay.State.FAILED, fault="the worker ended before the replay")
    waiting = RuleReplay.objects.select_for_update(skip_locked=True).filter(state=RuleReplay.State.WAITING)
    job = waiting.order_by("pk").first()
    if job is not None:
        job.state, job.started_at, job.told_at = RuleReplay.State.RUNNING, timezone.now(), timezone.now()
        job.save(update_fields=["state", "started_at", "told_at"])
    return job


def _end(job: RuleReplay, state: str, **values: object) -> None:
    RuleReplay.objects.filter(pk=job.pk, state=RuleReplay.State.RUNNING).update(state=state, ended_at=Now(), **values)


class _Progress:
    """Writes a replay's progress once a second. Uses a separate connection, because the replay's connection reads an
    old snapshot.
    """

    def __init__(self, job: RuleReplay) -> None:
        self._job = job
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="replay-progress", daemon=True)
        self.done = self.whole = 0

    def tell(self, done: int, whole: int) -> None:
        self.done, self.whole = done, whole

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def _write(self) -> None:
        try:
            while not self._has_ended.wait(_TELLS_EVERY_S):
                RuleReplay.objects.filter(pk=self._job.pk).update(done=self.done, whole=self.whole, told_at=Now())
        finally:
            connection.close()
