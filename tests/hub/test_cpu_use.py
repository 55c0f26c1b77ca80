"""How busy the CPUs are, from the times that Linux reports."""

from pathlib import Path

import pytest

from hub import cpu_use
from hub.cpu_use import Cpus


def test_niced_programs_leave_the_cpus_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give way to the hub."""
    statistics = tmp_path / "stat"
    monkeypatch.setattr(cpu_use, "_STATISTICS", statistics)
    times = iter([0.0, 0.0, 1.0, 1.0])
    cpus = Cpus(clock=lambda: next(times))
    statistics.write_text("cpu  100 0 100 1000 0 0 0 0 0 0\n")
    cpus.use()
    statistics.write_text("cpu  110 60 110 1010 5 3 2 0 0 0\n")  # 10 + 10 + 3 + 2 of 100 are not niced
    assert cpus.use() == pytest.approx(0.25)


def test_while_one_thread_reads_the_others_see_the_last_use() -> None:
    seen: list[float] = []
    readings, now = iter([(0, 0), (100, 20), (200, 40)]), 0.0

    def read() -> tuple[int, int]:
        seen.append(cpus.use())
        return next(readings)

    cpus = Cpus(read, lambda: now)
    for now in (0.0, 1.0, 2.0):  # noqa: B007
        cpus.use()
    assert cpus.use() == pytest.approx(0.8)
    assert seen == pytest.approx([0.0, 0.0, 0.8])


def test_a_machine_that_reports_nothing_counts_as_idle() -> None:
    readings, now = iter([(0, 0), (100, 0)]), 0.0

    def read() -> tuple[int, int]:
        found = next(readings, None)
        if found is None:
            raise OSError
        return found

    cpus = Cpus(read, lambda: now)
    uses = []
    for now in (0.0, 1.0, 2.0):  # noqa: B007
        uses.append(cpus.use())
    assert uses == [0.0, 1.0, 0.0]
