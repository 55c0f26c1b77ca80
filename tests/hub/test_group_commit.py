"""When an engine waits for more commands. No database: what a group does is not looked at here."""

import threading
import time

import pytest

from hub import group_commit
from hub.fair_groups import Waiting
from hub.group_commit import Engine
from hub.processor_use import Processors


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
    """The processors are in use for this share of the time."""
    readings = iter([(0, 0), (100, round(100 * (1 - share)))])
    at = [0.0]
    found = Processors(lambda: next(readings), lambda: at[0])
    found.are_short()
    at[0] = 1.0
    assert found.are_short() == (share > 0.7)
    monkeypatch.setattr(group_commit, "processors", found)


def test_with_idle_processors_each_command_is_committed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 0.5)
    engine = Counted()
    submit_in_turn(engine, 20, every_s=0.02)
    assert engine.groups == [1] * 20


def test_without_idle_processors_commands_that_come_often_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_without_idle_processors_commands_that_come_seldom_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 0.9)
    engine = Counted()
    submit_in_turn(engine, 5, every_s=0.25)
    began = time.monotonic()
    engine.submit(5)
    assert time.monotonic() - began < 0.15
    assert engine.groups == [1] * 6


def test_when_the_use_of_processors_can_no_longer_be_read_they_are_not_short() -> None:
    at = [0.0]
    readings: dict[float, tuple[int, int]] = {0.0: (0, 0), 1.0: (100, 0), 3.0: (300, 0), 4.0: (400, 0)}

    def read() -> tuple[int, int]:
        if at[0] not in readings:
            raise OSError("no such file")
        return readings[at[0]]

    found, seen = Processors(read, lambda: at[0]), []
    for at[0] in (0.0, 1.0, 2.0, 3.0, 4.0):
        seen.append(found.are_short())
    assert seen == [False, True, False, False, True]


def test_where_the_use_of_processors_cannot_be_read_they_are_never_short() -> None:
    def fail() -> tuple[int, int]:
        raise OSError("no such file")

    at = [0.0]
    found = Processors(fail, lambda: at[0])
    for at[0] in (1.0, 2.0, 3.0):
        assert not found.are_short()
