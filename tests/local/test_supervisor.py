"""The supervisor of a local hub keeps its processes running, and costs next to nothing while nothing happens."""

import multiprocessing
import time
from pathlib import Path

from hub.local.state import State
from hub.local.supervised_process import Program
from hub.local.supervisor import Supervisor

_PROCESSES, _SECONDS = 8, 3.0
_MOST_OF_A_CORE = 0.04


def share_of_a_core(folder: Path) -> float:
    """Returns the processor time that a supervisor of idle processes uses for each second."""
    state = State(folder)
    state.open()
    supervisor = Supervisor(state, state.lock())
    try:
        for number in range(_PROCESSES):
            supervisor.add(Program(f"idle{number}", lambda: ["sleep", "60"], {}))
        supervisor.wait_ready()
        began, used = time.monotonic(), time.process_time()
        time.sleep(_SECONDS)
        return (time.process_time() - used) / (time.monotonic() - began)
    finally:
        supervisor.stop()
        state.unlock()


def test_a_supervisor_uses_next_to_no_time_while_nothing_happens(tmp_path: Path) -> None:
    # in a process of its own, because threads of earlier tests would be counted too
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        share = pool.apply(share_of_a_core, (tmp_path / "state",))
    assert share < _MOST_OF_A_CORE
