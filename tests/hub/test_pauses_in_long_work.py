"""Long work is divided by pauses, which are longer while the CPUs are busy."""

import threading
import time

import pytest

from hub import pauses_in_long_work
from hub.concurrency_shares import NoPlace
from hub.cpu_use import Cpus


@pytest.mark.parametrize(("busy", "pause_s"), [(0, 0.005), (50, 0.065), (70, 0.089), (100, 0.125)])
def test_the_busier_the_cpus_the_longer_a_pause(monkeypatch: pytest.MonkeyPatch, busy: int, pause_s: float) -> None:
    readings, times = iter([(0, 0), (100, 100 - busy)]), iter([0.0, 0.0, 1.0, 1.0, 1.0])
    cpus = Cpus(lambda: next(readings), lambda: next(times))
    cpus.use()
    monkeypatch.setattr(pauses_in_long_work, "cpus", cpus)
    pauses: list[float] = []
    monkeypatch.setattr(pauses_in_long_work, "_sleep", pauses.append)
    pauses_in_long_work.pause_after(0.01)
    assert pauses == pytest.approx([pause_s])


@pytest.mark.parametrize(("pauses", "count"), [(True, 1), (False, 0)])
def test_a_pause_follows_a_part_if_the_caller_wants_one(
    monkeypatch: pytest.MonkeyPatch, pauses: bool, count: int
) -> None:
    taken: list[float] = []
    monkeypatch.setattr(pauses_in_long_work, "_sleep", taken.append)
    with pauses_in_long_work.turn("blue", wait_s=1, pauses=pauses):
        assert taken == []
    assert len(taken) == count


def test_batches_take_turns_and_nobody_works_during_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def pause(seconds: float) -> None:
        events.append("pause")
        time.sleep(0.02)
        events.append("resume")

    def work(caller: str) -> None:
        for _ in range(4):
            with pauses_in_long_work.turn(caller, wait_s=20, pauses=True):
                events.append(caller)
                time.sleep(0.01)

    monkeypatch.setattr(pauses_in_long_work, "_sleep", pause)
    threads = [threading.Thread(target=work, args=(name,)) for name in ("blue", "red")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns = [tuple(events[at : at + 3]) for at in range(0, len(events), 3)]
    assert {each[1:] for each in turns} == {("pause", "resume")}
    assert [each[0] for each in turns[:6]].count("red") == 3


def test_who_waits_too_long_for_a_turn_is_refused() -> None:
    with (
        pauses_in_long_work.turn("blue", wait_s=0, pauses=False),
        pytest.raises(NoPlace),
        pauses_in_long_work.turn("red", wait_s=0, pauses=False),
    ):
        pass


def test_a_pause_is_never_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(pauses_in_long_work, "_sleep", pauses.append)
    pauses_in_long_work.pause_after(60)
    assert pauses[-1] == 0.5
