"""What the kernel says about processes. On a system without /proc the answers are the careful ones."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")
MARK = "KITOVU_STATE_MARK"  # set in every supervised child, inherited by whatever it starts


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the process's state on; None if it is gone or /proc is missing."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()  # a program's name may hold spaces and brackets


def exists(pid: int) -> bool:
    """Whether the pid is taken, be it by a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_zombie(pid: int) -> bool:
    """Dead, but not yet collected by its parent."""
    fields = _stat(pid)
    return fields is not None and fields[0] in "ZX"


def is_alive(pid: int) -> bool:
    """Runs, or could run again: neither gone nor a zombie."""
    return exists(pid) and not is_zombie(pid)


def born(pid: int) -> str:
    """The moment a process began, as the kernel writes it: with the pid it names one process for ever."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def pids() -> Iterator[int]:
    """Every process there is."""
    try:
        names = os.listdir(PROC)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def group_members(pgid: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for pid in pids():
        fields = _stat(pid)
        if fields and int(fields[2]) == pgid and fields[0] not in "ZX":
            found.append(pid)
    return found


def marked(mark: str) -> list[int]:
    """The living processes that were started under this mark, or by one that was; never ourselves."""
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
    """The living processes of a program that bear a word in their command line or title. Unlike a working
    directory or an environment, this may be read of another user's process without special rights."""
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
    """Sends a signal; False if nobody is there any more."""
    try:
        (os.killpg if group else os.kill)(pid, signal)
    except (ProcessLookupError, PermissionError):
        # macOS answers "not permitted" for a group that holds nothing but zombies.
        return False
    return True


def wait_for(condition: Callable[[], object], seconds: float, *, step: float = 0.02) -> bool:
    """Asks until the answer is yes; False when the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
        step = min(step * 1.5, 0.25)
    return True
