"""The whole hub on one machine: the two servers, the tables of the database, and the three processes of the hub."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from hub.local import net, proc
from hub.local.errors import LocalError
from hub.local.os_user import without_pg
from hub.local.postgres import Postgres
from hub.local.state import State
from hub.local.supervised_process import Program, tail
from hub.local.supervisor import Supervisor, sweep
from hub.local.valkey import Valkey

PROJECT = Path(__file__).resolve().parents[2]
HUB_PROGRAMS = ("web", "worker", "beat")


class Stack:
    """A local hub. The caller can start and stop the hub, add further processes, and send signals to its processes. An
    object of this class can be used as a context manager."""

    def __init__(
        self,
        state: str | Path | None = None,
        port: int | None = None,
        *,
        programs: Sequence[str] = HUB_PROGRAMS,
        throwaway: bool = False,
        postgres_settings: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        project: Path = PROJECT,
        limit: int = 16,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Stores the values. Creating the object does not start the hub: call `start`.

        `environ` replaces os.environ. If `programs` is empty, `start` starts only PostgreSQL and Valkey.
        `postgres_settings` replace single settings of PostgreSQL.
        """
        self._given = without_pg(dict(os.environ if environ is None else environ))
        self.state = State(state or self._given.get("STATE") or ".local")
        self.port = port or _number(self._given, "PORT", 8000)
        self.programs, self.project, self.limit, self.tell = tuple(programs), project, limit, tell
        own = None if self._given.get("DATABASE_URL") else Postgres(self.state, throwaway=throwaway)
        if own:
            own.settings |= postgres_settings or {}
        self.postgres = own
        self.valkey = None if self._given.get("REDIS_URL") else Valkey(self.state)
        self.supervisor: Supervisor | None = None

    @property
    def base_url(self) -> str:
        """The URL at which the hub listens."""
        return f"http://{net.HOST}:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of every hub process."""
        ours = {"PORT": str(self.port), "STATE": str(self.state.path), "PYTHONUNBUFFERED": "1"}
        if self.postgres:
            ours["DATABASE_URL"] = self.postgres.url
        ours["PROMETHEUS_MULTIPROC_DIR"] = str(self._metrics)
        if self.valkey:
            ours["REDIS_URL"] = self.valkey.url
        return self._given | ours

    @property
    def _metrics(self) -> Path:
        return self.state.path / "metrics"

    # -- start and stop ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the servers and the hub's processes, and waits until the hub responds. Does nothing if the hub was
        already started."""
        if self.supervisor is not None:
            return
        self.state.open()
        lock = self.state.lock()
        self.supervisor = Supervisor(self.state, lock, limit=self.limit, tell=self.tell)
        try:
            sweep(self.state)
            shutil.rmtree(self._metrics, ignore_errors=True)  # the files in this folder are from earlier processes
            self._metrics.mkdir()
            if "web" in self.programs and not net.is_free(self.port):
                raise LocalError(
                    f"Port {self.port} is in use by another program.",
                    where=self.base_url,
                    do=f"Choose another: PORT={net.free_port(self.port + 1)}; `ss -ltnp` shows which program uses it.",
                )
            self.start_servers()
            if self.programs:
                self.manage("migrate", "--noinput")
                for name in self.programs:
                    self.tell(f"Starting {name}")
                    self.supervisor.add(self._program(name))
                self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def start_servers(self) -> None:
        """Starts PostgreSQL, unless DATABASE_URL is set, and Valkey, unless REDIS_URL is set."""
        assert self.supervisor is not None
        servers: list[Postgres | Valkey] = [server for server in (self.postgres, self.valkey) if server]
        for server in servers:
            server.prepare()
            left = server.running()
            self.tell(f"{'Taking over' if left else 'Starting'} {server.name}")
            program = Program(server.name, server.argv, server.account.popen(), server.is_ready, server.stop_signals)
            self.supervisor.add(program, adopt=left)
        self.supervisor.wait_ready()
        if self.postgres:
            self.postgres.ensure_database()

    def stop(self) -> None:
        """Ends all started processes in the reverse order of their start."""
        if self.supervisor is None:
            return
        self.supervisor.stop()
        if self.postgres:
            self.postgres.forget()
        self.supervisor = None
        self.state.unlock()

    def __enter__(self) -> Self:
        """Starts the hub."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the hub."""
        self.stop()

    # -- while it runs -------------------------------------------------------------------------------------------

    def wait_ready(self, names: Sequence[str] | None = None, seconds: float = 60.0) -> None:
        """Waits until the named processes are ready. If no name is given, waits for all processes."""
        self._running.wait_ready(names, seconds)

    def add_process(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        health_url: str | None = None,
        *,
        cwd: Path | None = None,
        most_processes: int = 64,
    ) -> None:
        """Starts and supervises another process, but does not wait until the process is ready. The variables in `env`
        are added to the hub's environment, or replace variables there."""
        self._running.add(
            Program(
                name,
                lambda: [str(part) for part in argv],
                self._popen(env, cwd),
                (lambda: net.answers(health_url)) if health_url else None,
                most_processes=most_processes,
            )
        )

    def kill(self, name: str, signal: int, *, group: bool = False) -> None:
        """Sends a signal to the process with this name, or to the whole process group."""
        if not self._running[name].send(signal, group=group):
            raise LocalError(f"{name} is not running.", where=self.log(name))

    def pid(self, name: str) -> int | None:
        """Returns the pid of the process with this name. Returns None while the supervisor restarts the process."""
        return self._running[name].pid

    def restarts(self, name: str) -> int:
        """Returns how often the supervisor has restarted the process."""
        return self._running[name].restarts

    def log(self, name: str) -> Path:
        """Returns the path of the process's log file."""
        return self.state.logs / f"{name}.log"

    def check(self) -> None:
        """Raises an error if there is a process that the supervisor no longer restarts."""
        self._running.check()

    def manage(self, *arguments: str, seconds: float = 600.0) -> str:
        """Runs a command of `manage.py` in the hub's environment, and returns the command's output. Raises an error if
        the command fails."""
        self.tell(f"manage.py {' '.join(arguments)}")
        if not (self.project / "manage.py").is_file():
            raise LocalError(
                "There is no manage.py.", where=self.project, do="Run from a complete checkout of the project."
            )
        log = self.log(f"manage-{arguments[0]}")
        options = self._popen(None, None)
        with log.open("wb") as out:
            code = subprocess.run(
                [sys.executable, "manage.py", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                **options,
            ).returncode
        if code != 0:
            raise LocalError(
                f"manage.py {' '.join(arguments)} failed (status {code}).\n{tail(log)}",
                where=log,
                do="Read the lines above. A database of an older, incompatible version: `python -m hub.local clean`.",
            )
        return log.read_text(errors="replace")

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Supervisor:
        if self.supervisor is None:
            raise LocalError("The hub has not been started.", where=self.state.path, do="Call start() first.")
        return self.supervisor

    def _popen(self, env: Mapping[str, str] | None, cwd: Path | None) -> dict[str, Any]:
        return {"env": self.env | dict(env or {}) | {proc.MARK: self.state.mark}, "cwd": cwd or self.project}

    def _program(self, name: str) -> Program:
        workers, threads = _number(self._given, "WEB_WORKERS", 2), _number(self._given, "WEB_THREADS", 320)
        processes = _number(self._given, "WORKER_PROCESSES", 2)
        celery = [sys.executable, "-m", "celery", "-A", "hub"]
        if name == "web":
            # The hub runs the executable of granian. `python -m granian` could start more and more copies of itself.
            serve = [_beside_python("granian"), "--interface", "wsgi", "--http", "1"]
            serve += ["--host", net.HOST, "--port", str(self.port)]
            size = ["--workers", str(workers), "--blocking-threads", str(threads)]
            care = ["--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "10"]
            argv, most = [*serve, *size, *care, "hub.wsgi:application"], 2 * workers + 4
        elif name == "worker":
            argv = [*celery, "worker", "--concurrency", str(processes), "--loglevel", "INFO"]
            most = 2 * processes + 4
        else:
            argv = [*celery, "beat", "-s", str(self.state.path / "beat-schedule"), "--pidfile=", "--loglevel", "INFO"]
            most = 4
        ready = (lambda: net.answers(f"{self.base_url}/health")) if name == "web" else None
        # Most threads only wait for the commit of their group, so few threads need a database connection at the same
        # time.
        pool = {"DATABASE_POOL": self._given.get("DATABASE_POOL", "16")} if name == "web" else {}
        return Program(name, lambda: argv, self._popen(pool, None), ready, most_processes=most)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise LocalError(f"{name}={text} is not a valid number.", where="the environment", do=f"{name}={default}")
    return int(text)


def _beside_python(program: str) -> str:
    """Returns the path of an executable that is installed beside this Python."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    if not found:
        raise LocalError(f"{program} is not installed.", where=beside.parent, do="Run `make setup`.")
    return found
