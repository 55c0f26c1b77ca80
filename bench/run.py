"""One run: DFSPs onboarded, sinks and generator started, the time measured, everybody's notes put together."""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.hubs import PROJECT, Hub
from bench.load import Load
from bench.measure import Outcome, cpu_by_process, join, machine_cpu_seconds
from bench.onboard import Administration
from bench.sink import Dfsp

_LEAD_S = 1.5  # from the generator's start to its first transfer: Python starts in the meantime


@dataclass(frozen=True)
class Plan:
    """What to do. The first `warmup` seconds of load are not measured: connections open and caches fill."""

    rate: float
    seconds: float
    warmup: float
    drain: float
    dfsps: int
    hot: float


@dataclass
class Result:
    """What came of it."""

    outcome: Outcome
    cpu: dict[str, float]
    machine_cpu_s: float
    repeats: int
    retries: int
    late_s: float


class Run:
    def __init__(self, hub: Hub, plan: Plan) -> None:
        self._hub, self._plan = hub, plan
        address = urlsplit(hub.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        prefix = f"bench{uuid.uuid4().hex[:6]}"  # a hub that is there may have seen other runs
        self._names = [f"{prefix}n{number}" for number in range(1, plan.dfsps + 1)]
        self._ports = _free_ports(plan.dfsps)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def perform(self) -> Result:
        """Runs it all; every process that was started is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                return self._perform(Path(folder))
            finally:
                for process in self._processes.values():
                    process.kill()
                    process.wait()

    def _perform(self, folder: Path) -> Result:
        plan = self._plan
        self._start_sinks(folder)
        starts_at = time.monotonic() + _LEAD_S
        load = Load(
            self._host,
            self._port,
            plan.rate,
            plan.warmup + plan.seconds,
            starts_at,
            self._names,
            plan.hot,
            f"{folder}/load",
        )
        self._start("generator", "bench.load", load.as_text())
        since, until = starts_at + plan.warmup, starts_at + plan.warmup + plan.seconds
        pids = self._hub.pids() | {name: process.pid for name, process in self._processes.items()}

        _sleep_until(since)
        before, machine_before = cpu_by_process(pids), machine_cpu_seconds()
        _sleep_until(until)
        after, machine_after = cpu_by_process(pids), machine_cpu_seconds()
        late_s = time.monotonic() - until

        self._await_generator()
        sent: dict[str, list[Any]] = json.loads((folder / "load").read_text())
        self._drain(len(sent))
        notes = self._stop_sinks(folder)
        return Result(
            join(
                sent,
                {key: value for note in notes for key, value in note["prepares"].items()},
                {key: value for note in notes for key, value in note["ends"].items()},
                since=since,
                until=until,
            ),
            {name: after[name] - before[name] for name in pids},
            machine_after - machine_before,
            sum(note["repeats"] for note in notes),
            sum(note["retries"] for note in notes),
            late_s,
        )

    def _start_sinks(self, folder: Path) -> None:
        administration = Administration(self._hub.url)
        administration.open_hub_accounts()
        for name, port in zip(self._names, self._ports, strict=True):
            dfsp = Dfsp(name, port, self._host, self._port, self._names, f"{folder}/{name}")
            self._start(f"sink {name}", "bench.sink", dfsp.as_text())
            administration.add_dfsp(name, f"http://127.0.0.1:{port}")
        for port in self._ports:
            _await_port(port)

    def _start(self, name: str, module: str, config: str) -> None:
        self._processes[name] = subprocess.Popen([sys.executable, "-m", module, config], cwd=PROJECT)

    def _await_generator(self) -> None:
        code = self._processes["generator"].wait(timeout=60 + self._plan.drain)
        if code != 0:
            raise RuntimeError(f"the generator ended with status {code}")

    def _drain(self, sent: int) -> None:
        """Waits until every transfer has ended, or none did for the drain time."""
        seen, until = -1, time.monotonic() + self._plan.drain
        while seen < sent and time.monotonic() < until:
            now = sum(_ends_at(port) for port in self._ports)
            if now != seen:
                seen, until = now, time.monotonic() + self._plan.drain
            time.sleep(0.2)
        time.sleep(0.5)  # the answers to the last fulfils

    def _stop_sinks(self, folder: Path) -> list[dict[str, Any]]:
        for name in self._names:
            self._processes[f"sink {name}"].terminate()
        for name in self._names:
            code = self._processes[f"sink {name}"].wait(timeout=30)
            if code != 0:
                raise RuntimeError(f"sink {name} ended with status {code}")
        return [json.loads((folder / name).read_text()) for name in self._names]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _await_port(port: int) -> None:
    until = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _ends_at(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/seen", timeout=10) as response:
        return int(response.read())


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
