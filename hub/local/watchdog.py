"""Stops the processes of a supervisor that was killed.

`python -m hub.local.watchdog` reads its list of processes from standard input: "+ pid signals" adds a process, and "-
pid" removes a process. When this input is closed, the supervisor has ended, and the watchdog stops the processes on its
list. After a clean stop of the supervisor, the list is empty. The watchdog inherits the supervisor's lock on STATE. So
STATE stays locked until the watchdog has stopped the last process.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from hub.local import proc

GENTLE_S = 8.0  # how long the watchdog waits between two signals to a process


class Watchdog:
    """Starts the watchdog process, and sends it the list of the supervisor's processes."""

    def __init__(self, lock: int) -> None:
        """`lock` is the file descriptor of the lock on STATE. The watchdog inherits this descriptor."""
        self._lock_descriptor = lock
        self._known: dict[int, str] = {}
        self._guard = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def add(self, pid: int, signals: Iterable[int]) -> None:
        """Adds this process to the watchdog's list. If the supervisor dies, the watchdog stops the process and its
        group."""
        with self._guard:
            self._known[pid] = f"+ {pid} {','.join(str(int(number)) for number in signals)}\n"
            self._say(self._known[pid])

    def remove(self, pid: int) -> None:
        """Removes a process from the watchdog's list, so that the watchdog does not stop it."""
        with self._guard:
            if self._known.pop(pid, None):
                self._say(f"- {pid}\n")

    def close(self) -> None:
        """Ends the watchdog. The watchdog first stops the processes that are still on its list."""
        with self._guard:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait()
            self._process = None

    def _say(self, line: str) -> None:
        try:
            if self._process is None or self._process.stdin is None:
                raise BrokenPipeError
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:  # the watchdog is not started yet, or was killed
            self._process = self._start()
            assert self._process.stdin is not None
            self._process.stdin.write("".join(self._known.values()))
            self._process.stdin.flush()

    def _start(self) -> subprocess.Popen[str]:
        root = Path(__file__).resolve().parents[2]
        return subprocess.Popen(
            [sys.executable, "-m", "hub.local.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=root,
            env={"PATH": os.defpath, "PYTHONPATH": str(root)},
            pass_fds=[self._lock_descriptor],
            # so the watchdog does not get signals that are sent to the supervisor's process group or terminal
            start_new_session=True,
        )


def end(pid: int, signals: Iterable[int], seconds: float = GENTLE_S) -> None:
    """Sends the signals to a process, one after the other, until the process ends. Then kills the remaining processes
    in the process group."""
    for number in signals:
        if not proc.is_alive(pid) or (
            proc.send(pid, number) and proc.wait_for(lambda: not proc.is_alive(pid), seconds)
        ):
            break
    proc.send(pid, signal.SIGKILL, group=True)
    proc.wait_for(lambda: not proc.is_alive(pid), 2)


def main() -> None:
    """Waits until the watchdog's input is closed, then stops the remaining processes in reverse order."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left: dict[int, list[int]] = {}
    for line in sys.stdin:
        sign, pid, *signals = line.split()
        if sign == "+":
            left[int(pid)] = [int(number) for number in signals[0].split(",")]
        else:
            left.pop(int(pid), None)
    for pid, numbers in reversed(left.items()):
        end(pid, numbers)


if __name__ == "__main__":
    main()
