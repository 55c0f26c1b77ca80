"""The supervisor of a local hub keeps its processes running, and costs next to nothing while nothing happens."""

import time
from pathlib import Path

from hub.local.state import State
from hub.local.supervised_process import Program
from hub.local.supervisor import Supervisor

_PROCESSES, _SECONDS = 8, 3.0
_MOST_OF_A_CORE = 0.04


def test_a_supervisor_uses_next_to_no_time_while_nothing_happens(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.open()
    supervisor = Supervisor(state, state.lock())
    try:
        for number in range(_PROCESSES):
            supervisor.add(Program(f"idle{number}", lambda: ["sleep", "60"], {}))
        supervisor.wait_ready()
        began, used = time.monotonic(), time.process_time()
        time.sleep(_SECONDS)
        share = (time.process_time() - used) / (time.monotonic() - began)
    finally:
        supervisor.stop()
        state.unlock()
    assert share < _MOST_OF_A_CORE
