"""Runs one trial: a steady load between two DFSPs, while a third DFSP first behaves well, then misbehaves, then behaves
well again."""

import json
import select
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import compare_books
from bench.bad.figures import INTERVALS, Interval, memory, seen_in
from bench.bad.memory import Watch
from bench.bad.misbehaviours import ALL
from bench.bad.scene_and_client import Scene
from bench.hubs import PROJECT, Hub
from bench.latency_and_cpu_figures import cpu_by_process, machine_cpu_seconds
from bench.load import Load
from bench.onboard import BASE, Administration
from bench.run import await_port, ends_at, free_ports
from bench.simulated_dfsps import Dfsps

PAYMENTS_SHARE = 0.2  # the number of whole payments divided by the number of transfers
_LEAD_S = 1.5
_REST_S = 3.0  # the pause between the end of the misbehaviour and the last interval
_CUSTOMERS = 200
_BAD_CUSTOMERS = 4000
_ENDLESS_S = 3600.0
_ORDER_S = 900.0
_WATCHED = ("web", "worker")


@dataclass(frozen=True)
class BadPlan:
    """The settings of one trial."""

    name: str
    rate: float
    seconds: float  # length of each interval
    warmup: float
    drain: float
    rows: int


class Trial:
    def __init__(self, hub: Hub, plan: BadPlan) -> None:
        assert hub.database_url is not None
        self._hub, self._plan = hub, plan
        address = urlsplit(hub.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        prefix = f"bench{uuid.uuid4().hex[:6]}"
        self._good = [f"{prefix}n1", f"{prefix}n2"]
        self._bad, self._mate = f"{prefix}bad", f"{prefix}mate"
        self._names = [*self._good, self._bad, self._mate]
        self._ports = dict(zip(self._names, free_ports(len(self._names)), strict=True))
        first = uuid.uuid4().int % 10**7 * 10**5
        self._aliases = {
            name: [f"{first + number * _BAD_CUSTOMERS + n:012}" for n in range(self._customers(name))]
            for number, name in enumerate(self._names)
        }
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def _customers(self, name: str) -> int:
        return _CUSTOMERS if name in self._good else _BAD_CUSTOMERS

    def perform(self) -> dict[str, Any]:
        """Runs the trial, and ends all its processes. Returns all figures of the trial, but does not decide whether the
        misbehaviour harmed anybody."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                return self._perform(Path(folder))
            finally:
                for process in self._processes.values():
                    process.kill()
                    process.wait()

    def _perform(self, folder: Path) -> dict[str, Any]:
        plan = self._plan
        self._start_sinks(folder)
        (folder / "scene").write_text(self._scene(folder).as_text())
        self._start("bad", "bench.bad.misbehaving_process", f"{folder}/scene", is_told=True)
        self._order("prepare")
        self._onboard()
        self._start_load(folder)
        self._order("take-part")
        watched = {name: pid for name, pid in self._hub.pids().items() if name in _WATCHED}
        with Watch(watched) as watch:
            time.sleep(_LEAD_S + plan.warmup)
            intervals, cpu = {}, {}
            for name in INTERVALS:
                if name == "during":
                    self._order("begin")
                elif name == "after":
                    self._order("end")
                    time.sleep(_REST_S)
                intervals[name], cpu[name] = self._interval()
        sent = self._stop_load(folder)
        self._drain()
        notes = self._stop_sinks(folder)
        bad = self._quit(folder)
        ends = {key: end for note in notes.values() for key, end in note["ends"].items()}
        return {
            **{
                kind: {name: vars(seen_in(each, sent[kind], ends)) for name, each in intervals.items()}
                for kind in ("transfers", "payments")
            },
            "rss_mb": memory(watch.samples, intervals, list(watched)),
            "cpu_share": cpu,
            "strays": self._strays(notes),
            "bad": bad,
            "sent_again_by_dfsps": sum(note["retries"] for note in notes.values()),
            "book_faults": self._compare(notes, {key for each in sent.values() for key in each}),
        }

    # --- the processes -----------------------------------------------------------------------------------------------

    def _scene(self, folder: Path) -> Scene:
        return Scene(
            name=self._plan.name,
            bad=self._bad,
            mate=self._mate,
            good=self._good,
            ports={name: self._ports[name] for name in (self._bad, self._mate)},
            aliases=self._aliases,
            hub_host=self._host,
            hub_port=self._port,
            database_url=self._hub.database_url or "",
            rows=self._plan.rows,
            results=f"{folder}/bad",
        )

    def _start_sinks(self, folder: Path) -> None:
        everybody = [*self._good, self._bad]  # the payers and payees of these transfers
        for name in self._good:
            config = Dfsps({name: self._ports[name]}, everybody, self._host, self._port, f"{folder}/{name}")
            self._start(f"dfsps {name}", "bench.simulated_dfsps", config.as_text())
        for name in self._good:
            await_port(self._ports[name])

    def _onboard(self) -> None:
        administration, misbehaviour = Administration(self._hub.url), ALL[self._plan.name]
        administration.open_hub_accounts()
        for name in self._names:
            kind = misbehaviour.mate_endpoint_type if name == self._mate else BASE
            administration.add_dfsp(name, f"http://127.0.0.1:{self._ports[name]}", endpoint_type=kind)
            administration.add_customers(name, self._aliases[name])

    def _start_load(self, folder: Path) -> None:
        for kind, rate in self._rates().items():
            aliases = {name: self._aliases[name] for name in self._good} if kind == "payments" else {}
            load = Load(
                self._host,
                self._port,
                rate,
                _ENDLESS_S,
                time.monotonic() + _LEAD_S,
                0.0,
                self._good,
                0.0,
                aliases,
                f"{folder}/{kind}",
            )
            self._start(kind, "bench.load", load.as_text())

    def _rates(self) -> dict[str, float]:
        return {"transfers": self._plan.rate, "payments": self._plan.rate * PAYMENTS_SHARE}

    def _start(self, name: str, module: str, config: str, *, is_told: bool = False) -> None:
        pipe = subprocess.PIPE if is_told else None
        command = [sys.executable, "-m", module, config]
        self._processes[name] = subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True)

    def _order(self, order: str) -> None:
        """Sends a command to the misbehaving participant, and waits until the command is done."""
        process = self._processes["bad"]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(order + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], _ORDER_S)[0] or process.stdout.readline().strip() != order:
            raise RuntimeError(f"{self._plan.name}: the misbehaving participant did not {order}")

    # --- during the load ---------------------------------------------------------------------------------------------

    def _interval(self) -> tuple[Interval, dict[str, float]]:
        """Waits until an interval has ended. Returns the interval, and the machine's CPU use by group of processes."""
        hub_pids, load_pids = self._hub.pids(), {name: process.pid for name, process in self._processes.items()}

        def reading() -> tuple[float, dict[str, float], float]:
            used = cpu_by_process(hub_pids | load_pids) | {"trial": time.process_time()}
            return machine_cpu_seconds(), used, time.monotonic()

        machine_before, before, since = reading()
        time.sleep(self._plan.seconds)
        until = time.monotonic()
        machine_after, after, now = reading()
        used = {name: (seconds - before[name]) / (now - since) for name, seconds in after.items()}
        hub = sum(used[name] for name in hub_pids)
        others = max(0.0, (machine_after - machine_before) / (now - since) - sum(used.values()))
        shares = {"hub": hub, "bad": used["bad"], "load": sum(used.values()) - hub - used["bad"], "others": others}
        return Interval(since, until), {name: round(share, 3) for name, share in shares.items()}

    # --- afterwards --------------------------------------------------------------------------------------------------

    def _stop_load(self, folder: Path) -> dict[str, dict[str, list[Any]]]:
        for kind in self._rates():
            self._processes[kind].send_signal(signal.SIGTERM)
        for kind in self._rates():
            self._await(kind, 60)
        return {kind: json.loads((folder / kind).read_text()) for kind in self._rates()}

    def _drain(self) -> None:
        """Waits until no new outcome arrives for some seconds, or until a time limit."""
        seen, until = -1, time.monotonic() + self._plan.drain
        while time.monotonic() < until:
            now = sum(ends_at(self._ports[name]) for name in self._good)
            if now == seen:
                break
            seen = now
            time.sleep(2)

    def _stop_sinks(self, folder: Path) -> dict[str, dict[str, Any]]:
        for name in self._good:
            self._processes[f"dfsps {name}"].terminate()
        notes: dict[str, dict[str, Any]] = {}
        for name in self._good:
            self._await(f"dfsps {name}", 30)
            notes |= json.loads((folder / name).read_text())
        return notes

    def _quit(self, folder: Path) -> dict[str, Any]:
        stdin = self._processes["bad"].stdin
        assert stdin is not None
        stdin.write("quit\n")
        stdin.close()
        self._await("bad", 30)
        found: dict[str, Any] = json.loads((folder / "bad").read_text())
        return found

    def _await(self, name: str, timeout_s: float) -> None:
        code = self._processes[name].wait(timeout=timeout_s)
        if code != 0:
            raise RuntimeError(f"{name} ended with status {code}")

    def _strays(self, notes: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
        """Counts the unrequested messages that the other participants received because of the misbehaviour."""
        found: dict[str, int] = {}
        for note in notes.values():
            for what, count in note["strays"].items():
                sender, _, message = what.partition(" ")
                if sender in (self._bad, self._mate):
                    found[message] = found.get(message, 0) + count
        return found

    def _compare(self, notes: Mapping[str, Mapping[str, Any]], sent: set[str]) -> list[str] | None:
        """Compares the books of the payers, the hub and the payees. Only the transfers of the load are compared."""
        at_hub = self._hub.committed(list(notes))
        if at_hub is None:
            return None
        ours = {
            name: {
                what: {key: value for key, value in note[what].items() if key in sent}
                for what in ("ends", "prepares", "undone")
            }
            for name, note in notes.items()
        }
        return compare_books.compare(ours, [each for each in at_hub if each["transferId"] in sent])
