"""Ticks that come where Celery's do not."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
from celery import signals
from django.conf import settings
from django.core.cache import cache

from hub import fallback_ticks, tasks
from hub.celery import app
from hub.fallback_ticks import Standby
from tests.world import World, prepare, run, state_of

Begin = Callable[..., Standby]


@pytest.fixture(scope="module", autouse=True)
def _tasks_are_loaded() -> None:
    """As a worker does before its processes begin."""
    app.loader.import_default_modules()


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Starts one that looks every 0.05 s once nothing was given for a second."""
    monkeypatch.setattr(fallback_ticks, "_EVERY_S", 0.05)
    monkeypatch.setattr(fallback_ticks, "_PATIENCE_S", 1.0)
    begun: list[Standby] = []

    def begin(*ticks: Callable[[], object]) -> Standby:
        begun.append(Standby(ticks, lambda: False))
        begun[-1].start()
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


def test_a_reservation_past_its_time_is_released_without_celery(committed_world: World, begin: Begin) -> None:
    p = prepare(committed_world, "green", "blue", 100, expires_in=0.2)
    run(p)
    begin(*tasks.of_each_second())
    until = time.monotonic() + 10
    while state_of(p.transfer_id) != "ABORTED":
        assert time.monotonic() < until, "it is still reserved"
        time.sleep(0.05)


def test_what_beat_has_done_each_second_is_what_dfsps_wait_for() -> None:
    names = {tick.__qualname__ for tick in tasks.of_each_second()}
    assert names == {
        "expire_transfers",
        "release_held_transfers",
        "fail_unanswered",
        "report_unanswered",
        "catch_up",
        # What rules and the fraud desk need: counts and alerts.
        "fold",
        "merge",
    }


def test_the_screening_of_names_is_a_task_of_its_own_and_is_done_without_celery_too() -> None:
    """After a change of a list, it takes many minutes."""
    own = {tick.__qualname__ for tick in tasks.of_standby()} - {tick.__qualname__ for tick in tasks.of_each_second()}
    assert own == {"screen_names"}
    assert settings.SCREENING in {each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()}


def test_nothing_is_done_while_celery_gives_ticks(begin: Begin) -> None:
    done = threading.Event()
    waiting = begin(done.set)
    for _ in range(40):
        time.sleep(0.05)
        waiting.given()
    assert not done.is_set()
    assert done.wait(5)
    waiting.given()
    time.sleep(0.1)
    done.clear()
    assert not done.wait(0.1)


def test_a_task_of_celery_s_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Standby([], lambda: False)
    monkeypatch.setattr(tasks, "_standby", waiting)
    before = waiting._given_at
    signals.task_prerun.send(sender=None)
    assert waiting._given_at > before


def test_a_process_is_not_needed_while_another_gets_the_ticks(begin: Begin) -> None:
    done = threading.Event()
    cache.clear()
    other = Standby([done.set], tasks.is_given_to_others)
    other._given_at -= 10
    tasks.each_second()
    other.start()
    assert not done.wait(0.5)
    cache.clear()
    assert done.wait(5)
    other.stop()


def test_a_second_s_work_is_done_though_one_kind_of_it_fails_and_another_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: Counter[str] = Counter()

    def fails() -> None:
        done["fails"] += 1
        raise RuntimeError("a fault")

    def takes_long() -> None:
        done["takes long"] += 1
        time.sleep(0.02)

    others = [partial(done.update, [f"work {number}"]) for number in range(3)]
    monkeypatch.setattr(tasks, "of_each_second", lambda: [fails, takes_long, *others])
    tasks.each_second()
    assert done == dict.fromkeys(done, 1)
    assert len(done) == 5
    monkeypatch.setattr(fallback_ticks, "_MOST_S", 0.01)
    done.clear()
    for _ in range(60):  # each kind is first in one of five seconds
        tasks.each_second()
    assert len(done) == 5
    assert done["work 2"] < 60, "it began after the time was over"


def test_a_tick_that_fails_keeps_neither_the_others_nor_the_next_from_coming(begin: Begin) -> None:
    came: list[str] = []
    over = threading.Event()

    def come(what: str) -> None:
        came.append(what)
        if len(came) == 4:
            over.set()

    def fail() -> None:
        come("fails")
        raise RuntimeError("a fault")

    begin(fail, partial(come, "works"))
    assert over.wait(5)
    assert Counter(came[:4]) == {"fails": 2, "works": 2}


def test_standbys_know_of_a_tick_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Standby([], lambda: False)
    monkeypatch.setattr(tasks, "_standby", waiting)
    noted: list[bool] = []

    def work() -> None:
        noted.append(tasks.is_given_to_others() and waiting._given_at > 0)
        cache.clear()  # as if this part took longer than the note lasts
        waiting._given_at = 0.0

    monkeypatch.setattr(tasks, "of_each_second", lambda: [work] * 3)
    tasks.each_second()
    assert noted == [True] * 3


def test_a_standby_begins_no_work_after_its_time_and_each_work_has_its_turn(
    monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    monkeypatch.setattr(fallback_ticks, "_MOST_S", 0.01)
    done: list[tuple[int, float]] = []

    def work(number: int) -> None:
        done.append((number, time.monotonic()))
        time.sleep(0.02)

    begin(*[partial(work, number) for number in range(2)])
    until = time.monotonic() + 10
    while len({number for number, _ in done}) < 2:
        assert time.monotonic() < until, "the first work leaves no time for the other"
        time.sleep(0.05)
    moments = [moment for _, moment in done]
    assert all(later - earlier > 0.05 for earlier, later in pairwise(moments)), "a run did both"
