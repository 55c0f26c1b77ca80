"""Starts a process, watches it, restarts it after a crash, and ends it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.local import proc
from hub.local.errors import LocalError
from hub.local.watchdog import Watchdog

AT_ONCE_S = 3.0  # if a process ends within this time and was never ready, its start has failed
TRIES = 5  # after this number of failed starts in a row, the supervisor stops restarting the program
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0)
LOG_BYTES = 20_000_000  # at the next start, a log file with more bytes than this is renamed
_UNTIL_READY_S = 0.05  # the time between two checks of a process that is not ready yet
_WATCH_S = 1.0  # the time between two checks of a ready process


@dataclass(frozen=True)
class Program:
    """A program to supervise: the command that starts it, and a function that checks whether it is ready."""

    name: str
    argv: Callable[[], list[str]]
    popen: dict[str, Any]  # arguments for Popen: the environment, the folder and the user
    ready: Callable[[], bool] | None = None  # if None, the program counts as ready after one second
    stop_signals: tuple[int, ...] = (signal.SIGTERM,)
    stop_s: float = 12.0  # how long the process can take to end after each signal
    most_processes: int = 64  # a program with more processes is killed: it perhaps starts copies of itself without end


class Adopted:
    """A running process that this supervisor did not start.

    The supervisor can watch the process and send it signals, but cannot read its exit status.
    """

    def __init__(self, pid: int) -> None:
        """Stores the pid and the start time of the process, because another process can later get the same pid."""
        self.pid, self._born = pid, proc.born(pid)

    def poll(self) -> int | None:
        """Returns None while the process runs, and 0 after its end. This 0 is not the exit status, because the
        supervisor cannot read the exit status."""
        return None if proc.is_alive(self.pid) and proc.born(self.pid) == self._born else 0

    def send_signal(self, number: int) -> None:
        """Sends a signal to the process, like Popen.send_signal."""
        if self.poll() is None:
            proc.send(self.pid, number)


@dataclass
class Child:
    """Keeps one program running, in a separate thread."""

    program: Program
    log: Path
    watchdog: Watchdog
    tell: Callable[[str], None]
    adopt: int | None = None
    restarts: int = 0
    failure: str = ""
    is_ready: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)
    _process: "subprocess.Popen[bytes] | Adopted | None" = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread that keeps the program running."""
        self._thread = threading.Thread(target=self._run, name=f"keep-{self.program.name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The pid of the running process, or None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, number: int, *, group: bool = False) -> bool:
        """Sends a signal to the process or to its whole process group. Returns False if the process is not running."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        if group:
            return proc.send(process.pid, number, group=True)
        process.send_signal(number)
        return True

    def stop(self) -> None:
        """Ends the process and waits until it has ended."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join()

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        in_a_row = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                self._process = Adopted(self.adopt) if self.adopt else self._spawn()
                how = self._watch(self._process)
            except (LocalError, OSError) as problem:
                how = str(problem)
            except Exception as problem:  # this is a bug, and from now on no thread watches the process
                self.failure = f"{self.program.name} is no longer supervised: {problem!r}"
                raise
            if self.stopping.is_set() or self.failure:
                break
            at_once = not self.is_ready and time.monotonic() - began < AT_ONCE_S
            in_a_row = in_a_row + 1 if at_once else 0
            if in_a_row >= TRIES:
                self.failure = f"{self.program.name} {how}, {TRIES} times in a row immediately after its start."
                break
            self.is_ready, self.adopt = False, None
            self.restarts += 1
            self.tell(f"{self.program.name} {how}; starting it again (restart {self.restarts})")
            self.stopping.wait(BACKOFF_S[min(in_a_row, len(BACKOFF_S) - 1)])
        self.is_ready = False

    def _spawn(self) -> "subprocess.Popen[bytes]":
        argv = self.program.argv()
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as out:
            out.write(time.strftime(f"--- {self.program.name}: started %Y-%m-%dT%H:%M:%SZ\n", time.gmtime()).encode())
            out.flush()
            # The process gets a session of its own. So Ctrl-C in the terminal does not reach the process, and a signal
            # can end its whole process group.
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self.program.popen,
            )

    def _watch(self, process: "subprocess.Popen[bytes] | Adopted") -> str:
        """Waits until the process ends. If `stopping` is set, ends the process. Returns a text that describes how the
        process ended."""
        self.watchdog.add(process.pid, self.program.stop_signals)
        began = time.monotonic()
        crowd = proc.Crowd(process.pid)
        with proc.Death(process.pid) as death:
            while process.poll() is None and not self.stopping.is_set():
                if not self.is_ready:
                    self.is_ready = self.program.ready() if self.program.ready else time.monotonic() - began > 1
                self._check_crowd(process.pid, crowd.count())
                death.wait(self.stopping, _WATCH_S if self.is_ready else _UNTIL_READY_S)
        if process.poll() is None:
            self._end(process)
        self._clear(process)
        code = process.poll() or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def _check_crowd(self, pid: int, members: int) -> None:
        if members > self.program.most_processes:
            self.failure = (
                f"{self.program.name} started {members} processes (limit {self.program.most_processes}) and was killed."
            )
            proc.send(pid, signal.SIGKILL, group=True)

    def _end(self, process: "subprocess.Popen[bytes] | Adopted") -> None:
        for number in self.program.stop_signals:
            process.send_signal(number)
            end = time.monotonic() + self.program.stop_s
            while process.poll() is None and time.monotonic() < end and not self.hurry.is_set():
                time.sleep(0.02)
            if process.poll() is not None:
                return
        if self.hurry.is_set():
            proc.wait_for(lambda: process.poll() is not None, 2)

    def _clear(self, process: "subprocess.Popen[bytes] | Adopted") -> None:
        """Kills all processes that remain in the process group, and waits until the process has ended."""
        if process.poll() is None or proc.group_members(process.pid):
            proc.send(process.pid, signal.SIGKILL, group=True)
        proc.wait_for(lambda: process.poll() is not None, 5)
        self.watchdog.remove(process.pid)


def tail(log: Path, lines: int = 12) -> str:
    """Returns the last lines of a log file, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.path.getsize(log) - 8000))
            return "\n".join("    " + line for line in file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
