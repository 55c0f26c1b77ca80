"""Three DFSPs at one hub, whose connectors are processes that may be killed, behind a simple round robin.

The cores run in the test's process, and do what a core must: the same call twice is done once.
"""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from hub.local import net
from hub.local.stack import PROJECT
from kitovu_connector.config import Config
from tests.reference.core import Core
from tests.reference.world import Answer, Dfsp, World

_BETWEEN_TRIES_S = 0.05
_PATIENCE_S = 4.5  # the hub waits five seconds for a response
_STARTS_S = 30.0


class Bank(Core):
    """A core with books: what it has reserved, credited and released, each transfer once."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.credited: dict[str, float] = {}  # by transfer, the amount that the hub moves
        self.released: set[str] = set()
        self.converted: dict[str, str] = {}
        self.faults: list[str] = []

    async def _end(self, request: web.Request) -> web.Response:
        told, transfer_id = await request.json(), request.match_info["id"]
        if told["finalNotification"]["transferState"] == "COMMITTED":
            if transfer_id in self.released:
                self.faults.append(f"{transfer_id} is credited after it was released")
            amount = float(told["quoteResponse"]["body"]["transferAmount"]["amount"])
            if self.credited.setdefault(transfer_id, amount) != amount:
                self.faults.append(f"{transfer_id} is credited with two amounts")
        elif transfer_id in self.credited:
            self.faults.append(f"{transfer_id} is released after it was credited")
        else:
            self.released.add(transfer_id)
        return await super()._end(request)

    async def _done(self, request: web.Request) -> web.Response:
        if request.path.startswith("/fxTransfers/"):
            told = await request.json()
            state = told.get("conversionState") or told["finalNotification"]["conversionState"]
            if self.converted.setdefault(request.match_info["id"], state) != state:
                self.faults.append(f"{request.path} ends in two states")
        return await super()._done(request)


@dataclass
class Process:
    """One instance of a connector."""

    folder: Path
    config: Config
    popen: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        values = asdict(self.config) | {"state": str(self.config.state)}
        (self.folder / "config.json").write_text(json.dumps(values))
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.live.connector_process", str(self.folder)]
            self.popen = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        end = time.monotonic() + _STARTS_S
        url = f"http://{net.HOST}:{self.config.inbound_port}/health"
        while not net.answers(url):
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the connector. It is started again, unless it was told to stay dead."""
        while True:
            try:
                os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
                return
            except (ProcessLookupError, ValueError):  # it has just died by itself
                time.sleep(_BETWEEN_TRIES_S)

    def kill_for_ever(self) -> None:
        (self.folder / "stays_dead").touch()
        self.kill()
        assert self.popen is not None
        self.popen.wait(10)

    def stop(self) -> None:
        if self.popen is not None and self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.kill_for_ever()

    def crash_at(self, points: str) -> None:
        """From now on the connector dies at each of these points, once."""
        (self.folder / "crash_at").write_text(points)
        self.kill()
        self.wait_until_ready()

    @property
    def crashed(self) -> list[str]:
        file = self.folder / "crashed"
        return file.read_text().splitlines() if file.exists() else []


@dataclass
class LiveDfsp(Dfsp):
    """A DFSP whose connector is one or several processes. `config` has the ports of the round robin before them."""

    processes: list[Process] = field(default_factory=list)
    runner: web.AppRunner | None = None
    next: int = 0

    def folder(self, number: int) -> Path:
        return self.world.folder / self.name / f"instance-{number}"  # type: ignore[attr-defined]

    async def start(self) -> None:
        self.config = replace(self.config, backend_url=f"http://{net.HOST}:{self.core.port}")
        app = web.Application(client_max_size=8_000_000)
        app.router.add_route("*", "/{rest:.*}", self._pass_on)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, net.HOST, self.config.inbound_port).start()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=200, force_close=True), auto_decompress=False
        )
        self.run(1)

    def run(self, count: int, **changes: Any) -> None:
        """Runs so many new instances instead of the present ones."""
        self.stop_processes()
        first = len(list((self.world.folder / self.name).glob("instance-*")))  # type: ignore[attr-defined]
        self.processes = [self._process(first + number, changes) for number in range(count)]
        for process in self.processes:
            process.start()

    def wait_until_ready(self) -> None:
        for process in self.processes:
            process.wait_until_ready()

    def _process(self, number: int, changes: dict[str, Any]) -> Process:
        inbound, outbound, reference = (net.free_port() for _ in range(3))
        ports = {"inbound_port": inbound, "outbound_port": outbound, "reference_port": reference}
        return Process(self.folder(number), replace(self.config, **ports, **changes))

    def stop_processes(self) -> None:
        for process in self.processes:
            process.stop()

    async def stop(self) -> None:
        await asyncio.to_thread(self.stop_processes)
        await self._session.close()
        if self.runner is not None:
            await self.runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        """Gives a request of the hub to the next instance, and to the one after it if there is no answer."""
        raw = await request.read()
        end = time.monotonic() + _PATIENCE_S
        headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
        while time.monotonic() < end:
            self.next += 1
            port = self.processes[self.next % len(self.processes)].config.inbound_port
            url = f"http://{net.HOST}:{port}{request.raw_path}"
            try:
                async with self._session.request(request.method, url, data=raw or None, headers=headers) as answer:
                    body = await answer.read()
                    return web.Response(status=answer.status, body=body, content_type=answer.content_type)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(_BETWEEN_TRIES_S)
        return web.Response(status=503)

    def call(self, method: str, path: str, body: Any = None, *, port: int | None = None) -> Answer:
        """One call of the front end, by round robin. A call without an answer is made again, as a front end does."""
        end = time.monotonic() + _STARTS_S
        while True:
            self.next += 1
            config = self.processes[self.next % len(self.processes)].config
            try:
                return super().call(method, path, body, port=config.outbound_port if port else config.reference_port)
            except (urllib.error.URLError, http.client.HTTPException, OSError):
                assert time.monotonic() < end, f"{self.name} does not answer"
                time.sleep(_BETWEEN_TRIES_S)

    def insist(self, method: str, path: str, body: Any, *, port: int | None = None, seconds: float = 90.0) -> Answer:
        """Calls again until the outcome is known."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.call(method, path, body, port=port)
            if answer.status != 504 and not (port and answer.status == 202):
                return answer
        raise AssertionError(f"{method} {path} has no outcome")


class LiveWorld(World):
    """The three DFSPs."""

    def __init__(self, hub_url: str, folder: Path) -> None:
        self.folder = folder
        super().__init__(hub_url, folder)

    def _dfsp(self, name: str, folder: Path) -> Dfsp:
        made = super()._dfsp(name, folder)
        config = replace(
            made.config,
            auto_accept_conversion=True,
            auto_accept_r2p_business_quotes=True,
            auto_accept_r2p_device_otp=True,
            answer_s=10.0,
            agree_s=60.0,
            ask_again_s=1.0,
            callback_s=1.0,
            transfer_expiry_s=60.0,
        )
        return LiveDfsp(name, config, Bank(name), self)

    def stop(self) -> None:
        """Ends the processes, and then everything else."""
        for dfsp in self.dfsps.values():
            if isinstance(dfsp, LiveDfsp) and dfsp.runner is not None:
                self.do(dfsp.stop())
        super().stop()

    def _onboard(self) -> None:
        super()._onboard()  # meanwhile the processes start
        for dfsp in self.dfsps.values():
            assert isinstance(dfsp, LiveDfsp)
            dfsp.wait_until_ready()
