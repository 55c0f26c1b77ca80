"""Reads data about processes from the kernel. On a machine without /proc, each function returns a value such as None or
an empty list."""

import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")
# every supervised process has this environment variable, and passes the variable on to the processes that it starts
MARK = "KITOVU_STATE_MARK"


def _stat(pid: int) -> list[str] | None:
    """Returns the fields of /proc/PID/stat, beginning with the state of the process. Returns None if the process or
    /proc does not exist."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # the program's name ends at the last bracket, and can contain spaces and brackets
    return text[text.rindex(")") + 2 :].split()


def exists(pid: int) -> bool:
    """Returns whether there is a process with this pid, or a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_zombie(pid: int) -> bool:
    """Returns whether the process is a zombie: the process has ended, but its parent has not read the exit status
    yet."""
    fields = _stat(pid)
    return fields is not None and fields[0] in "ZX"


def is_alive(pid: int) -> bool:
    """Returns whether the process exists and is not a zombie."""
    return exists(pid) and not is_zombie(pid)


def born(pid: int) -> str:
    """Returns the kernel's start time of a process. The start time and the pid together identify a process uniquely."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def pids() -> Iterator[int]:
    """Yields the pids of all processes."""
    try:
        names = os.listdir(PROC)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def group_members(pgid: int) -> list[int]:
    """Returns the pids of the living processes in a process group."""
    found = []
    for pid in pids():
        fields = _stat(pid)
        if fields and int(fields[2]) == pgid and fields[0] not in "ZX":
            found.append(pid)
    return found


class Crowd:
    """Counts the processes of a process group. `count` makes a new count only if 15 seconds have passed, or if the
    machine's number of threads has changed a lot. Otherwise `count` returns the previous number. A new count reads the
    whole of /proc. If a few supervisors made a new count each second, they would use 5 % of a CPU core.
    """

    def __init__(self, pgid: int) -> None:
        self._pgid = pgid
        self._count, self._tasks, self._counted_at = 0, 0, float("-inf")

    def count(self) -> int:
        tasks, now = _tasks(), time.monotonic()
        if tasks is None or abs(tasks - self._tasks) > _FEW_TASKS or now - self._counted_at > _COUNT_EVERY_S:
            self._count, self._tasks, self._counted_at = len(group_members(self._pgid)), tasks or 0, now
        return self._count


_FEW_TASKS = 32
_COUNT_EVERY_S = 15.0


def _tasks() -> int | None:
    """Returns the number of threads on the machine. Returns None if /proc does not have the number."""
    try:
        return int((PROC / "loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return None


class Death:
    """Waits until a process ends. On Linux, this wait needs no polling."""

    def __init__(self, pid: int) -> None:
        try:
            self._pidfd: int | None = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._pidfd = None

    def __enter__(self) -> "Death":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def wait(self, stopping: threading.Event, seconds: float) -> None:
        """Waits until the process has ended, until `stopping` is set, or until the time is over."""
        if self._pidfd is None:
            stopping.wait(min(seconds, _STEP_S))
            return
        end = time.monotonic() + seconds
        while not stopping.is_set() and (left := end - time.monotonic()) > 0:
            if select.select([self._pidfd], [], [], min(left, _STEP_S))[0]:
                return


_STEP_S = 0.25  # `wait` notices within this time that `stopping` is set


def marked(mark: str) -> list[int]:
    """Returns the living processes whose environment contains this mark. A process inherits the mark from its parent.

    Leaves out the calling process.
    """
    wanted = f"{MARK}={mark}".encode()
    found = []
    for pid in pids():
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if pid != os.getpid() and wanted in environment.split(b"\0") and not is_zombie(pid):
            found.append(pid)
    return found


def titled(program: str, word: str) -> list[int]:
    """Returns the living processes of this program whose command line or title contains this word. Every user can read
    the command line and the title of other users' processes. But a user cannot read the working directory and the
    environment of other users' processes.
    """
    found = []
    for pid in pids():
        try:
            line = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        words = re.split(r"[\0\s:=]+", line)
        if word in words and os.path.basename(words[0]) == program and not is_zombie(pid):
            found.append(pid)
    return found


def send(pid: int, signal: int, *, group: bool = False) -> bool:
    """Sends a signal to a process or to a process group. Returns False if there is no process with this pid."""
    try:
        (os.killpg if group else os.kill)(pid, signal)
    except (ProcessLookupError, PermissionError):
        # If a group contains only zombies, macOS returns the error "not permitted".
        return False
    return True


def wait_for(condition: Callable[[], object], seconds: float, *, step: float = 0.02) -> bool:
    """Calls `condition` again and again until it returns true. Returns False after the time limit."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
        step = min(step * 1.5, 0.25)
    return True
