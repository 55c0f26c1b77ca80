"""Two PostgreSQL servers, one of which follows the other, and what a cluster's manager does with them."""

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from hub.local import binaries, net, proc
from hub.local.errors import LocalError
from hub.local.postgres import DATABASE, USER, Postgres
from hub.local.state import State

_DEAD_AFTER = 3  # questions without an answer, one each half second
_STARTS_S = 60.0


class Server:
    """One of the two. Nobody starts it again when it dies: which of them may run is what the manager decides."""

    def __init__(self, folder: Path) -> None:
        state = State(folder)
        state.open()
        self.postgres = Postgres(state)
        self.postgres.bin = binaries.postgres_bin(state.account)
        self.postgres.data = self.data = state.server_folder("postgres")
        # It stands in DATABASE_URL before it listens, and must not change.
        self.postgres.port, self.postgres.settled = net.free_port(), True
        self._log = folder / "logs" / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{net.HOST}:{self.postgres.port}"

    def start(self) -> None:
        """Until it answers."""
        self.postgres.prepare()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.postgres.argv(), stdout=log, stderr=log, start_new_session=True, **self.postgres.account.popen()
            )
        if not proc.wait_for(self.postgres.is_ready, _STARTS_S):
            raise LocalError("PostgreSQL did not start.", where=self._log)

    def signal_all(self, number: int) -> None:
        """To every process of it at once, as when its machine loses power or stands still."""
        for pid in self._pids():
            proc.send(pid, number)

    def fence(self) -> None:
        """Makes sure that it takes nothing any more; nothing starts it again but `follow`."""
        self.signal_all(signal.SIGKILL)
        if self._process:
            self._process.wait(10)
        proc.wait_for(lambda: not self._pids(), 10)

    def set(self, name: str, value: str) -> None:
        """A setting, at once."""
        for statement in (f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()"):
            self._sql(statement)

    def promote(self) -> None:
        """Makes it the primary; it asks no standby before it commits until there is one again."""
        self.set("synchronous_standby_names", "")
        self._sql("SELECT pg_promote()")

    def is_away(self) -> bool:
        """Whether it does not answer within a second."""
        command = [self.postgres.bin / "psql", "-X", "-h", net.HOST, "-p", str(self.postgres.port), "-U", USER]
        options = self.postgres.account.popen()
        options["env"] = options["env"] | {"PGCONNECT_TIMEOUT": "1"}
        try:
            asked = subprocess.run(
                [*command, "-c", "SELECT 1", "postgres"], capture_output=True, timeout=1.5, check=False, **options
            )
        except subprocess.TimeoutExpired:
            return True
        return asked.returncode != 0

    def follow(self, primary: "Server") -> None:
        """Becomes the other's standby: by pg_rewind where it was a primary, else by a copy of it."""
        source = f"host={net.HOST} port={primary.postgres.port} user={USER}"
        server = self.postgres
        rewound = None
        if (self.data / "PG_VERSION").exists():
            rewound = self._run(
                "pg_rewind", "-D", self.data, f"--source-server={source} dbname={DATABASE}", "--write-recovery-conf"
            )
        if rewound is None or rewound.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            server.state.server_folder("postgres")
            copied = self._run("pg_basebackup", "-D", self.data, "-d", source, "-R", "-X", "stream", "-c", "fast")
            if copied.returncode:
                raise LocalError(f"pg_basebackup failed: {copied.stderr}", where=self.data)
        self.start()

    def standbys(self) -> str:
        """How many follow it now."""
        return self._sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")

    def receiver(self) -> int | None:
        """The process of a standby that takes the primary's WAL."""
        return next((pid for pid in self._pids() if "walreceiver" in _title(pid)), None)

    def _run(self, program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
        server = self.postgres
        command = [server.bin / program, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, **server.account.popen()
        )

    def _sql(self, statement: str) -> str:
        done = self.postgres.sql(statement, "postgres")
        if done.returncode:
            raise LocalError(f"{statement}: {done.stderr.strip()}", where=self.address)
        return done.stdout.strip()

    def _pids(self) -> list[int]:
        return proc.titled("postgres", self.postgres._cluster_name)


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


class Pair:
    """A primary, and a standby that must have each commit before it is acknowledged (or not, if not `synchronous`)."""

    def __init__(self, folder: Path, *, synchronous: bool = True) -> None:
        self.primary, self.standby = Server(folder / "a"), Server(folder / "b")
        self._synchronous = synchronous

    def start(self) -> None:
        self.primary.start()
        self.primary.postgres.ensure_database()
        self.join()

    @property
    def url(self) -> str:
        """DATABASE_URL: both, and whichever of them takes writes is used."""
        both = f"{self.primary.address},{self.standby.address}"
        return f"postgres://{USER}@{both}/{DATABASE}?target_session_attrs=read-write"

    def join(self) -> None:
        """The standby follows the primary, and from now on each commit waits for it."""
        self.standby.follow(self.primary)
        if not proc.wait_for(lambda: self.primary.standbys() == "1", _STARTS_S):
            raise LocalError("The standby does not follow.", where=self.standby.address)
        if self._synchronous:
            self.primary.set("synchronous_standby_names", "*")

    def watch_and_fail_over(self) -> float:
        """What a cluster's manager does: notices that the primary is away, fences it, promotes the other.

        Returns the seconds until it had noticed.
        """
        began, away = time.monotonic(), 0
        while away < _DEAD_AFTER:
            away = away + 1 if self.primary.is_away() else 0
            time.sleep(0.5)
        noticed_s = time.monotonic() - began
        self.primary.fence()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        return noticed_s

    def stop(self) -> None:
        for server in (self.standby, self.primary):
            server.signal_all(signal.SIGCONT)
            server.fence()
            server.postgres.forget()
            server.postgres.state.unlock()
