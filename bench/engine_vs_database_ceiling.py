"""Compares the speed of the ledger without HTTP with the speed of the database alone. The program starts its own
servers."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.hubs import PROJECT
from bench.latency_and_cpu_figures import cpu_seconds

_WARM_UP = 20  # number of batches before the measurement, which prepare the SQL statements and fill PostgreSQL's cache
_MEASURED = {"limit": "bench.database_ceiling", "engine": "bench.engine"}


def measure(steps: Sequence[Callable[[], None]], transfers: int, postgres_pid: int) -> None:
    """Runs the steps, and prints rate and CPU as JSON. The figures do not include the first steps."""
    for step in steps[:_WARM_UP]:
        step()
    counted = transfers * (len(steps) - _WARM_UP) / len(steps)
    began, own, server = time.monotonic(), time.process_time(), cpu_seconds(postgres_pid)
    for step in steps[_WARM_UP:]:
        step()
    took, own = time.monotonic() - began, time.process_time() - own
    server = cpu_seconds(postgres_pid) - server
    figures = {
        "transfers_per_s": round(counted / took),
        "client_cpu_ms": round(own / counted * 1000, 3),
        "postgres_cpu_ms": round(server / counted * 1000, 3),
    }
    print(json.dumps(figures))


def run(state: str, *, transfers: int = 4000, size: int = 100) -> dict[str, Any]:
    """Starts PostgreSQL and Valkey without the processes of a hub. Measures first the engine and then the database.

    Returns the engine's speed as a percentage of the database's speed, by time and by CPU. If other programs run on the
    machine, only the CPU figures are comparable.
    """
    from hub.local.stack import Stack

    with Stack(state, programs=()) as stack:
        stack.manage("migrate", "--noinput")
        assert stack.postgres is not None
        pid = stack.pid("postgres")
        found: dict[str, Any] = {"transfers": transfers, "batch": size}
        for name, module in _MEASURED.items():
            command = [sys.executable, "-m", module, str(transfers), str(size), str(pid)]
            env = stack.env | {"DJANGO_SETTINGS_MODULE": "hub.settings", "LOG_LEVEL": "WARNING"}
            done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
            found[name] = json.loads(done.stdout.strip().splitlines()[-1])
        stack.manage("check_ledger")
    limit, engine = found["limit"], found["engine"]
    found["engine_of_limit"] = round(engine["transfers_per_s"] / limit["transfers_per_s"], 2)
    found["engine_of_limit_by_cpu"] = round(_cpu(limit) / _cpu(engine), 2)
    return found


def _cpu(figures: dict[str, float]) -> float:
    return figures["client_cpu_ms"] + figures["postgres_cpu_ms"]
