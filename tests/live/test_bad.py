"""A trial of a misbehaving participant in small (I21): the others are measured, and it does misbehave. How much the
others may notice is what `make bench ARGS="--bad all"` is for, on a machine that does nothing else."""

from typing import Any

import pytest

from bench.bad.figures import INTERVALS, verdict
from bench.bad.trial import BadPlan, Trial
from bench.hubs import own_hub
from hub.local.temporary_state import temporary_state

pytestmark = [pytest.mark.live, pytest.mark.thorough, pytest.mark.timeout(900)]


def test_two_dfsps_are_measured_while_a_third_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    plan = BadPlan("hangs", rate=10, seconds=3, warmup=2, drain=10, rows=0)
    with temporary_state("bad") as folder, own_hub(str(folder / "hub"), None) as hub:
        found: dict[str, Any] = Trial(hub, plan).perform()
        ledger_ok, told = hub.check_ledger()
    assert ledger_ok, told
    for kind, due in (("transfers", 30), ("payments", 6)):
        for when in INTERVALS:
            counted = found[kind][when]["count"] + sum(found[kind][when]["errors"].values())
            assert due - 2 <= counted <= due + 20
    assert found["transfers"]["before"]["times_ms"]["p50"] > 0
    assert not found["transfers"]["before"]["errors"]
    assert found["book_faults"] == []
    (bad,) = (seen for name, seen in found["bad"]["received"].items() if name.endswith("bad"))
    assert bad["transfers"] > 0
    assert found["bad"]["answers"]["202"] > 30
    assert all(0 < mb["before"] <= mb["most"] for mb in found["rss_mb"].values())
    assert isinstance(verdict(found | {"ledger_ok": ledger_ok}), list)
