"""Long work is divided by pauses, which are longer while the CPUs are busy."""

import pytest

from hub import long_work
from hub.cpu_use import Cpus


@pytest.mark.parametrize(("busy", "pause_s"), [(0, 0.05), (50, 0.05), (70, 0.1), (90, 0.15), (100, 0.15)])
def test_the_busier_the_cpus_the_longer_a_pause(monkeypatch: pytest.MonkeyPatch, busy: int, pause_s: float) -> None:
    readings, times = iter([(0, 0), (100, 100 - busy)]), iter([0.0, 0.0, 1.0, 1.0, 1.0])
    cpus = Cpus(lambda: next(readings), lambda: next(times))
    cpus.use()
    monkeypatch.setattr(long_work, "cpus", cpus)
    pauses: list[float] = []
    monkeypatch.setattr(long_work, "_sleep", pauses.append)
    long_work.pause_after(0.1)
    assert pauses == pytest.approx([pause_s])


@pytest.mark.parametrize(("parts", "count"), [("", 0), ("a", 0), ("ab", 1), ("abc", 2)])
def test_a_pause_follows_each_part_but_the_last(monkeypatch: pytest.MonkeyPatch, parts: str, count: int) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(long_work, "_sleep", pauses.append)
    assert list(long_work.with_pauses(parts)) == list(parts)
    assert len(pauses) == count


def test_a_pause_is_never_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(long_work, "_sleep", pauses.append)
    long_work.pause_after(60)
    assert pauses[-1] == 0.5
