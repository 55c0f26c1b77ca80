"""The short form of `make chaos`, from fixed seeds: faults at random moments lose, double, break and stick nothing."""

import os
from pathlib import Path

import pytest

from hub.local import net
from hub.local.stack import Stack
from tests.faults import chaos

pytestmark = [pytest.mark.live, pytest.mark.thorough, pytest.mark.timeout(900)]


@pytest.mark.parametrize("seed", [2026])
def test_faults_at_random_moments_lose_double_break_and_stick_nothing(tmp_path: Path, seed: int) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    stack = Stack(tmp_path / "state", net.free_port(), environ=environ)
    try:
        with stack:
            report = chaos.run(stack, seed=seed, seconds=90, rate=10, tell=print)
    finally:
        stack.state.open()
        stack.state.remove()
    print("\n".join(report.lines()))
    assert not report.findings, "\n".join(report.lines())
    assert len(report.history.faults) >= 6
    assert report.ends["COMMITTED"] > 100
    assert report.ends["ABORTED NDC"] > 0
