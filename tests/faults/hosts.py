"""F16, F17, F18: a hub on several hosts, and a network between them that fails in silence.

`python -m tests.faults.hosts --hubs 2 --seed 7` has PostgreSQL, Valkey, each group of web and worker, and each DFSP on
a host of its own (network namespaces, which takes root). What fails exits with 1.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.client import Client, _Connection
from bench.http_parser import header
from hub.local import net, proc
from hub.local.postgres import DATABASE, USER, Postgres
from hub.local.stack import Stack
from hub.local.state import State
from hub.local.supervised_process import Program
from hub.local.temporary_state import temporary_state
from hub.local.valkey import Valkey
from tests.faults import runs
from tests.faults.dfsps import Scheme, _Server
from tests.faults.history import Fault
from tests.faults.injections import Site
from tests.faults.network import NETWORK, Host, Network, NotAllowedError

_PORT = 8000
_DFSP_PORT = 9000
_RECOVER_S = 15.0


class _PostgresThere(Postgres):
    """On its host; the caller's thread is there while it asks."""

    def __init__(self, state: State, host: Host) -> None:
        super().__init__(state)
        self._host = host
        self.settings |= {"listen_addresses": f"{net.HOST},{host.address}"}

    def prepare(self) -> None:
        super().prepare()
        rules = self.data / "pg_hba.conf"
        line = f"host all all {NETWORK} trust\n"
        if line not in rules.read_text():
            rules.write_text(rules.read_text() + line)

    def argv(self) -> list[str]:
        self._host.enter()  # this thread keeps the server running and does nothing else
        return super().argv()

    def sql(self, statement: str, database: str = DATABASE) -> "subprocess.CompletedProcess[str]":
        with self._host.entered():
            return super().sql(statement, database)

    @property
    def url(self) -> str:
        return f"postgres://{USER}@{self._host.address}:{self.port}/{DATABASE}"


class _ValkeyThere(Valkey):
    """On its host."""

    def __init__(self, state: State, host: Host) -> None:
        super().__init__(state)
        self._host = host

    def argv(self) -> list[str]:
        self._host.enter()
        program, bind, address, *others = super().argv()
        return [program, bind, address, self._host.address, *others, "--protected-mode", "no"]

    @property
    def url(self) -> str:
        return f"redis://{self._host.address}:{self.port}/0"


class Hosts(Stack):
    """A hub whose parts are on hosts of their own: `web1`, `worker1`, `web2` and so on, and beat with the first."""

    def __init__(self, folder: Path, network: Network, hubs: int, tell: Callable[[str], None]) -> None:
        self.hubs = [network.add(f"hub{number + 1}") for number in range(hubs)]
        names = [f"{kind}{number + 1}" for number in range(hubs) for kind in ("web", "worker")]
        own = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        environ = {"WEB_WORKERS": "1", "WORKER_PROCESSES": "1"} | own
        super().__init__(folder, _PORT, programs=[*names, "beat1"], environ=environ, tell=tell)
        self.postgres = _PostgresThere(self.state, network.add("postgres"))
        self.valkey = _ValkeyThere(self.state, network.add("valkey"))

    @property
    def base_url(self) -> str:
        return f"http://{self.hubs[0].address}:{_PORT}"

    def _program(self, name: str) -> Program:
        host = self.hubs[int(name[-1]) - 1]
        program = super()._program(name[:-1])
        argv = [host.address if part == net.HOST else part for part in program.argv()]

        def start() -> list[str]:
            host.enter()
            return argv

        ready = (lambda: net.answers(f"http://{host.address}:{_PORT}/health")) if program.ready else None
        return replace(program, name=name, argv=start, ready=ready)


class _ClientThere(Client):
    """Connects from a host."""

    def __init__(self, origin: Host, hub: Host) -> None:
        super().__init__(hub.address, _PORT, most=100)
        self._origin, self._target = origin, (hub.address, _PORT)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        with self._origin.entered():
            line = socket.socket()
        line.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(line, self._target), 3)
            await loop.create_connection(lambda: _Connection(self), sock=line)
        except OSError:  # a TimeoutError as well
            line.close()
            self._connections -= 1
            if self._waiting:
                self._waiting.popleft()[1](0)


class ScatteredScheme(Scheme):
    """Each DFSP on a host of its own, sending to the hub's hosts by turns, as a load balancer would."""

    def __init__(self, hosts: dict[str, Host], hubs: list[Host], seed: int) -> None:
        names = list(hosts)
        super().__init__(names, [_DFSP_PORT] * len(names), hubs[0].address, _PORT, seed)
        self.hosts = hosts
        self._clients = {name: [_ClientThere(host, hub) for hub in hubs] for name, host in hosts.items()}

    def address(self, name: str) -> str:
        return f"http://{self.hosts[name].address}:{_DFSP_PORT}"

    async def _listen(self) -> None:
        for name, dfsp in self.dfsps.items():
            host = self.hosts[name]
            with host.entered():
                listening = socket.create_server((host.address, _DFSP_PORT))
            await self._loop.create_server(lambda dfsp=dfsp: _Server(dfsp), sock=listening)  # type: ignore[misc]

    def _send(self, request: bytes, answered: Callable[[int], None]) -> None:
        name = (header(request.partition(b"\r\n\r\n")[0], b"fspiop-source") or b"").decode()
        self.rng.choice(self._clients[name]).send(request, answered)


def _part(ones: Collection[Host], others: Collection[Host], *, there: bool, back: bool) -> Callable[[], None]:
    """The network between them fails in one direction or both; returns what heals it."""
    pairs = [pair for one in ones for other in others for pair in ([(one, other)] * there + [(other, one)] * back)]
    for sender, receiver in pairs:
        sender.drop_to(receiver)

    def heal() -> None:
        for sender, receiver in pairs:
            sender.heal_to(receiver)

    return heal


def partitions(site: Site, *, network: Network, hubs: list[Host]) -> None:
    """Each one in turn, and after each the time until a request is taken again."""
    history, hosts = site.scheme.history, network.hosts
    postgres, valkey, blue = hosts["postgres"], hosts["valkey"], hosts["blue"]
    time.sleep(5)
    for name, ones, others, there, back, seconds in (
        ("all hubs and PostgreSQL", hubs, [postgres], True, True, 20),
        ("from all hubs to PostgreSQL", hubs, [postgres], True, False, 20),
        ("from PostgreSQL to all hubs", hubs, [postgres], False, True, 20),
        ("the first hub and PostgreSQL", hubs[:1], [postgres], True, True, 20),
        ("all hubs and the DFSP blue", hubs, [blue], True, True, 30),
        ("all hubs and Valkey", hubs, [valkey], True, True, 10),
    ):
        before, began = history.answers.copy(), time.monotonic()
        heal = _part(ones, others, there=there, back=back)
        time.sleep(seconds)
        last_taken_s = history.latest_taken - began
        answers = dict(sorted((history.answers - before).items()))
        heal()
        healed_at = time.monotonic()
        history.faults.append(Fault(name.replace(" ", "_"), began, healed_at))
        if not proc.wait_for(lambda at=healed_at: history.was_taken_after(at), 60):  # type: ignore[misc]
            history.strange.append(f"nothing was taken within a minute after {name} were joined again")
        took_s = history.recovery_times()[-1]
        site.tell(
            f"parted for {seconds} s: {name}; answers {answers}, the latest that was taken was sent after"
            f" {last_taken_s:.1f} s; taken again {took_s:.1f} s after the healing"
        )
        if took_s > _RECOVER_S:
            history.strange.append(f"{took_s:.1f} s until a request was taken again")
        time.sleep(8)


def load_only(site: Site, *, seconds: float) -> None:
    """No fault: says what is carried."""
    time.sleep(seconds)
    with site.connect() as connection:
        ((committed,),) = connection.execute("SELECT count(*) FROM ledger_transfer WHERE state = 'COMMITTED'")
    site.tell(f"{int(str(committed)) / seconds:.0f} transfers were committed each second")


def main(arguments: list[str] | None = None) -> int:
    """Runs once on hosts of its own; 0 also where it is not allowed, which it says."""
    parser = runs.parser("hosts", __doc__)
    parser.add_argument("--hubs", type=int, default=2, help="hosts that each have a web and a worker (2)")
    parser.add_argument("--seconds", type=float, default=0, help="so long and without faults, to see what it carries")
    options = parser.parse_args(arguments)
    runs.tell(f"seed {options.seed}")
    try:
        network = Network()
        dfsps = {name: network.add(name) for name in runs.NAMES}
    except NotAllowedError as why:
        runs.tell(f"skipped: {why}")
        return 0
    with (
        temporary_state("hosts") as folder,
        Hosts(folder / "hub", network, options.hubs, runs.tell) as stack,
    ):
        scheme = ScatteredScheme(dfsps, stack.hubs, options.seed)
        harm = (
            partial(load_only, seconds=options.seconds)
            if options.seconds
            else partial(partitions, network=network, hubs=stack.hubs)
        )
        report = runs.run(
            stack,
            harm,
            seed=options.seed,
            seconds=options.seconds or 185,
            rate=options.rate,
            tell=runs.tell,
            scheme=scheme,
        )
    return runs.end(report)


if __name__ == "__main__":
    sys.exit(main())
