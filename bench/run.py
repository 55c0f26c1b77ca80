"""Performs one run: onboards DFSPs, starts their processes and the generator, measures, and joins all records."""

import json
import math
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import compare_books, generated_rules, parties, presign
from bench.database_costs import Database, RuleWork
from bench.hubs import PROJECT, Hub
from bench.latency_and_cpu_figures import Outcome, cpu_by_process, join, machine_cpu_seconds, recovery
from bench.load import CALM_S, Load
from bench.onboard import Administration
from bench.signing import make_key
from bench.simulated_dfsps import Dfsps

_LEAD_S = 1.5  # the time from the generator's start to the first transfer, because Python needs time to start
_READ_EACH_S = 4000  # the number of presigned messages that the generator reads per second
# The messages for this many seconds of load are signed before the load begins. After that, the DFSPs sign while the
# load runs, because a presigned message expires ten minutes after it was signed.
PRESIGNED_S = 300
_SINKS = 2  # the number of processes for all DFSPs together
_CUSTOMERS = 200  # the number of customers of each DFSP
_RULES_KNOWN_S = 2  # the hub's processes read the first rules after a second
_KEYS_KNOWN_S = 3  # the hub's processes read new credentials every two seconds


@dataclass(frozen=True)
class Plan:
    """The settings of one run. The run does not measure the first `warmup` seconds, because the hub's caches are not
    yet full."""

    rate: float
    seconds: float
    warmup: float
    drain: float
    dfsps: int
    hot: float
    payments: bool = False  # whole payments (lookup, terms and transfer) instead of transfers only
    signed: bool = False  # the DFSPs sign messages, and the hub checks signatures
    calm: float = 0.0  # the rate after the measurement, which shows whether the hub recovers; 0: no load
    iso20022: bool = False  # messages in the ISO 20022 form of version 2.0
    stored: int = 0  # finished transfers (or payments) that the hub has before the load
    rules: int | None = None  # number of live rules, for payments of many customers; 0: the same payments, no rules
    biller: bool = False  # everybody pays one customer of the first DFSP

    @property
    def packets(self) -> int:
        """Returns the number of packets for each pair of DFSPs if each transfer has its own quote.

        Otherwise returns 0.
        """
        if self.rules is None:
            return 0
        pairs = self.dfsps - 1 if self.biller else self.dfsps * (self.dfsps - 1)
        count = self.rate * (self.warmup + self.seconds) + self.calm * CALM_S
        return math.ceil(count / pairs * (1 + self.hot * pairs)) + 10


@dataclass
class Result:
    """The results of a run."""

    outcome: Outcome
    cpu: dict[str, float]
    machine_cpu_s: float
    repeats: int
    retries: int
    late_s: float
    database: dict[str, int] = field(default_factory=dict)
    dearest: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    book_faults: list[str] | None = None  # None: the hub's books could not be read
    recovered_s: float | None = None  # None: the hub did not recover, or `calm` was 0
    rules: RuleWork | None = None  # None without rules
    contradicted: int = 0  # transfers for which the payer DFSP received two different outcomes
    altered: int = 0  # transfers or payments in which a DFSP received a message that its sender did not send


class Run:
    def __init__(self, hub: Hub, plan: Plan) -> None:
        self._hub, self._plan = hub, plan
        address = urlsplit(hub.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        prefix = f"bench{uuid.uuid4().hex[:6]}"  # a running hub can already have DFSPs from earlier runs
        names = [f"{prefix}n{number}" for number in range(1, plan.dfsps + 1)]
        self._ports = dict(zip(names, free_ports(plan.dfsps), strict=True))
        first = uuid.uuid4().int % 10**8 * 10**4
        customers = _CUSTOMERS if plan.rules is None else parties.CUSTOMERS
        self._aliases = {
            name: [f"{first + number * customers + n:012}" for n in range(1 if plan.biller else customers)]
            for number, name in enumerate(names if plan.payments else [])
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._database = Database(hub.database_url) if hub.database_url else None

    def perform(self) -> Result:
        """Performs all steps of the run, and ends all processes of the run."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                return self._perform(Path(folder))
            finally:
                for process in self._processes.values():
                    process.kill()
                    process.wait()
                if self._database:
                    self._database.close()

    def _perform(self, folder: Path) -> Result:
        plan, database = self._plan, self._database
        public_keys = {name: make_key(folder / name) for name in self._ports} if plan.signed else {}
        load = self._load(folder)
        presigned = self._presign(load) if plan.signed else 0
        self._start_sinks(folder)
        self._onboard(folder, public_keys)
        if plan.rules is not None:
            self._begin_rules(plan.rules)
        starts_at = time.monotonic() + _LEAD_S + presigned / _READ_EACH_S
        self._start("generator", "bench.load", replace(load, starts_at=starts_at).as_text())
        since, until = starts_at + plan.warmup, starts_at + plan.warmup + plan.seconds
        pids = self._hub.pids() | {name: process.pid for name, process in self._processes.items()}

        _sleep_until(since)
        if database:
            database.forget_statements()
        counted = database.counters() if database else None
        ruled = database.rule_work() if database and plan.rules else None
        before, machine_before = cpu_by_process(pids), machine_cpu_seconds()
        _sleep_until(until)
        after, machine_after = cpu_by_process(pids), machine_cpu_seconds()
        late_s = time.monotonic() - until
        used = database.counters().since(counted) if database and counted else {}
        dearest = database.dearest() if database else []
        rules = database.rule_work().since(ruled) if database and ruled else None

        self._await_generator(CALM_S * bool(plan.calm))
        sent: dict[str, list[Any]] = json.loads((folder / "load").read_text())
        self._drain(len(sent))
        notes = self._stop_sinks(folder)
        at_hub = self._hub.committed(list(self._ports))
        return Result(
            outcome=join(sent, notes.values(), since=since, until=until),
            recovered_s=recovery(sent, notes.values(), until) if plan.calm else None,
            cpu={name: after[name] - before[name] for name in pids},
            machine_cpu_s=machine_after - machine_before,
            repeats=sum(note["repeats"] for note in notes.values()),
            retries=sum(note["retries"] for note in notes.values()),
            late_s=late_s,
            database=used,
            dearest=dearest,
            rules=rules,
            settings=database.settings() if database else {},
            book_faults=None if at_hub is None else compare_books.compare(notes, at_hub),
            contradicted=sum(len(note["contradicted"]) for note in notes.values()),
            altered=len({key for note in notes.values() for key in note["altered"]}),
        )

    def _load(self, folder: Path) -> Load:
        """Returns the load, without the time at which it starts."""
        plan = self._plan
        return Load(
            self._host,
            self._port,
            plan.rate,
            plan.warmup + plan.seconds,
            0.0,
            plan.calm,
            list(self._ports),
            plan.hot,
            self._aliases,
            f"{folder}/load",
            str(folder) if plan.signed else "",
            plan.iso20022,
            plan.packets,
            plan.biller,
        )

    def _presign(self, load: Load) -> int:
        """Signs transfers or payments. Returns their number."""
        count = min(sum(1 for _ in load.moments()), round(load.rate * PRESIGNED_S))
        what = "payments" if load.aliases else "transfers"
        print(f"  {count} {what} are signed before the load", flush=True)
        presign.write(load, count)
        return count

    def _start_sinks(self, folder: Path) -> None:
        names, keys = list(self._ports), str(folder) if self._plan.signed else ""
        for number in range(min(_SINKS, len(names))):
            ours = {name: self._ports[name] for name in names[number::_SINKS]}
            plan = self._plan
            config = Dfsps(
                ours,
                names,
                self._host,
                self._port,
                f"{folder}/sink{number}",
                keys,
                plan.iso20022,
                plan.packets,
                plan.rules is not None,
                plan.biller,
            )
            self._start(f"dfsps {number}", "bench.simulated_dfsps", config.as_text())
        for port in self._ports.values():
            await_port(port)

    def _onboard(self, folder: Path, public_keys: dict[str, str]) -> None:
        administration = Administration(self._hub.url)
        administration.open_hub_accounts()
        for name, port in self._ports.items():
            administration.add_dfsp(name, f"http://127.0.0.1:{port}")
            if name in public_keys:
                administration.add_key(name, public_keys[name])
        if public_keys:
            time.sleep(_KEYS_KNOWN_S)
        for name in self._ports:
            aliases = self._aliases.get(name, [])
            key_file = folder / name if public_keys else None
            for start in range(0, len(aliases), _CUSTOMERS):
                administration.add_customers(name, aliases[start : start + _CUSTOMERS], key_file=key_file)

    def _begin_rules(self, number: int) -> None:
        """Activates this number of rules. If the load sends no requests for quotes, stores the quotes of the load's
        transfers."""
        names = list(self._ports)
        if not self._plan.payments:
            assert self._hub.database_url is not None
            generated_rules.store_quotes(self._hub.database_url, names, self._plan.packets, biller=self._plan.biller)
        if number:
            self._hub.use_rules(generated_rules.document(number, names))
            time.sleep(_RULES_KNOWN_S)

    def _start(self, name: str, module: str, config: str) -> None:
        self._processes[name] = subprocess.Popen([sys.executable, "-m", module, config], cwd=PROJECT)

    def _await_generator(self, more_s: float) -> None:
        code = self._processes["generator"].wait(timeout=more_s + 60 + self._plan.drain)
        if code != 0:
            raise RuntimeError(f"the generator ended with status {code}")

    def _drain(self, sent: int) -> None:
        """Waits until every transfer has ended. Stops waiting if no transfer ends during the drain time."""
        seen, until = -1, time.monotonic() + self._plan.drain
        while seen < sent and time.monotonic() < until:
            now = sum(ends_at(port) for port in self._ports.values())
            if now != seen:
                seen, until = now, time.monotonic() + self._plan.drain
            time.sleep(0.2)
        time.sleep(0.5)  # during this time, the responses to the last fulfils arrive

    def _stop_sinks(self, folder: Path) -> dict[str, dict[str, Any]]:
        sinks = {name: process for name, process in self._processes.items() if name.startswith("dfsps")}
        for process in sinks.values():
            process.terminate()
        notes: dict[str, dict[str, Any]] = {}
        for number, (name, process) in enumerate(sinks.items()):
            code = process.wait(timeout=30)
            if code != 0:
                raise RuntimeError(f"{name} ended with status {code}")
            notes |= json.loads((folder / f"sink{number}").read_text())
        return notes


def free_ports(count: int) -> list[int]:
    """Returns ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_port(port: int) -> None:
    """Waits until a process listens on the port."""
    until = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def ends_at(port: int) -> int:
    """Returns the number of outcomes that the DFSPs at this port have received."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/seen", timeout=10) as response:
        return int(response.read())


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
