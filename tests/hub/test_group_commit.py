"""When an engine waits for more commands. No database: what a group does is not looked at here."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from hub import group_commit
from hub.cpu_use import Cpus
from hub.fair_groups import Waiting
from hub.group_commit import Engine


class Counted(Engine[int, int]):
    name = "counted"

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []

    def _run(self, batch: list[int]) -> list[int]:
        self.groups.append(len(batch))
        return batch

    def _choose(self, waiting: list[Waiting[int, int]]) -> list[Waiting[int, int]]:
        group, waiting[:] = list(waiting), []
        return group

    def _pace_s(self) -> float:
        return 0.2

    def _subject_of(self, command: int) -> str:
        return str(command)


def submit_in_turn(engine: Counted, count: int, *, every_s: float) -> None:
    threads = [threading.Thread(target=engine.submit, args=(command,)) for command in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(every_s)
    for thread in threads:
        thread.join()


def use(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """The CPUs are in use for this share of the time."""
    readings = iter([(0, 0), (100, round(100 * (1 - share)))])
    at = [0.0]
    found = Cpus(lambda: next(readings), lambda: at[0])
    found.shortage()
    at[0] = 1.0
    assert found.shortage() == pytest.approx((share - 0.5) / 0.4)
    monkeypatch.setattr(group_commit, "cpus", found)


def test_while_cpus_are_idle_each_command_is_committed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 0.5)
    engine = Counted()
    submit_in_turn(engine, 20, every_s=0.02)
    assert engine.groups == [1] * 20


def test_while_cpus_are_busy_commands_that_come_often_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 0.9)
    engine = Counted()
    submit_in_turn(engine, 40, every_s=0.02)
    assert engine.groups[0] == 1
    assert max(engine.groups) > 3
    assert sum(engine.groups) == 40
    time.sleep(0.5)
    began = time.monotonic()
    engine.submit(5)  # the first one after a while waits for nothing
    assert time.monotonic() - began < 0.15


def test_while_cpus_are_busy_commands_that_come_seldom_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 0.9)
    engine = Counted()
    submit_in_turn(engine, 5, every_s=0.25)
    began = time.monotonic()
    engine.submit(5)
    assert time.monotonic() - began < 0.15
    assert engine.groups == [1] * 6


@pytest.mark.parametrize(("share", "pause_s"), [(0.0, 0.2), (0.5, 0.2), (0.7, 0.4), (0.9, 0.6), (1.0, 0.6)])
def test_the_busier_the_cpus_the_longer_engines_wait_for_large_groups(
    monkeypatch: pytest.MonkeyPatch, share: float, pause_s: float
) -> None:
    monkeypatch.setattr(group_commit, "cpus", Cpus(iter_of((0, 0), (100, round(100 * (1 - share)))), iter_of(0, 1, 2)))
    group_commit.cpus.shortage()
    engine = Counted()
    engine._last_size = 10
    assert engine._least_s() == pytest.approx(pause_s)


def iter_of(*values: Any) -> Callable[[], Any]:
    return partial(next, iter(values), values[-1])


def test_when_the_use_of_cpus_can_no_longer_be_read_they_count_as_idle() -> None:
    at = [0.0]
    readings: dict[float, tuple[int, int]] = {0.0: (0, 0), 1.0: (100, 0), 3.0: (300, 0), 4.0: (400, 0)}

    def read() -> tuple[int, int]:
        if at[0] not in readings:
            raise OSError("no such file")
        return readings[at[0]]

    found, seen = Cpus(read, lambda: at[0]), []
    for at[0] in (0.0, 1.0, 2.0, 3.0, 4.0):
        seen.append(found.shortage() > 0)
    assert seen == [False, True, False, False, True]


def test_where_the_use_of_cpus_cannot_be_read_they_count_as_idle() -> None:
    def fail() -> tuple[int, int]:
        raise OSError("no such file")

    at = [0.0]
    found = Cpus(fail, lambda: at[0])
    for at[0] in (1.0, 2.0, 3.0):
        assert found.shortage() == 0
