"""Ticks that come where Celery's do not."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from celery import signals

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
        begun.append(Standby(ticks))
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
        # What rules and the fraud desk need: counts, names of new parties, and alerts.
        "fold",
        "screen_names",
        "merge",
    }


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
    waiting = Standby([])
    monkeypatch.setattr(tasks, "_standby", waiting)
    before = waiting._given_at
    signals.task_prerun.send(sender=None)
    assert waiting._given_at > before


def test_a_tick_that_fails_keeps_neither_the_others_nor_the_next_from_coming(begin: Begin) -> None:
    came: list[str] = []
    over = threading.Event()

    def fail() -> None:
        came.append("fails")
        raise RuntimeError("a fault")

    def work() -> None:
        came.append("works")
        if came.count("works") == 2:
            over.set()

    begin(fail, work)
    assert over.wait(5)
    assert came[:4] == ["fails", "works", "fails", "works"]
