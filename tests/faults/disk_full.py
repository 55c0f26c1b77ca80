"""F15: the file system of PostgreSQL's data and WAL runs full while payments flow, and has space again later.

`python -m tests.faults.disk_full --seed 7`; mounts a small tmpfs, which takes root. What fails exits with 1.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg

from hub.local import net, proc
from hub.local.stack import Stack
from hub.local.temporary_state import temporary_state
from tests.faults import runs
from tests.faults.history import Fault
from tests.faults.injections import Site

_SIZE_MB = 400
# A small WAL, so that the disk is met soon: segments that are there already can still be written.
_SETTINGS = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
_RECOVER_S = 30.0


class NotAllowedError(Exception):
    """This machine does not let us do it; says what is missing."""


@contextmanager
def small_disk(data: Path) -> Iterator[Path]:
    """A file system of its own for PostgreSQL's data, in the folder of this data."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MB}m,mode=0700", "kitovu-small", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        raise NotAllowedError(f"a small tmpfs can not be mounted here: {mounted.stderr.strip()}")
    try:
        yield data
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


def fill(site: Site, disk: Path, *, full_s: float) -> None:
    """Takes all that is left, waits until nothing is taken any more and for a time longer, and gives it back."""
    history, ballast = site.scheme.history, disk / "ballast"
    time.sleep(8)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    site.tell(f"the disk is full: {ballast.stat().st_size >> 20} MB taken")
    filled_at = time.monotonic()
    stopped = proc.wait_for(lambda: time.monotonic() - history.latest_taken > 3, 60)
    site.tell(
        f"nothing is taken any more, {history.latest_taken - filled_at:.1f} s after" if stopped else "it is still taken"
    )
    if not stopped:
        history.strange.append("the disk was full for a minute and requests were taken all the time")
    _use_up_the_wal(site)
    time.sleep(full_s)
    ballast.unlink()
    site.tell("there is space again")
    _start_what_was_given_up(site)
    healed_at = time.monotonic()
    history.faults.append(Fault("disk_full", filled_at, healed_at))
    if not proc.wait_for(lambda: history.was_taken_after(healed_at), _RECOVER_S):
        history.strange.append(f"nothing was taken within {_RECOVER_S:.0f} s after there was space again")
    time.sleep(5)


def _use_up_the_wal(site: Site) -> None:
    """Goes on to the next segments until one would have to be made, which PostgreSQL can not survive."""
    with suppress(psycopg.Error), site.connect() as connection:
        for _ in range(20):
            connection.execute("SELECT pg_logical_emit_message(false, 'fill', 'x'), pg_switch_wal()")


def _start_what_was_given_up(site: Site) -> None:
    """PostgreSQL does not start on a full disk, and its supervisor gives it up after some tries: an operator's work."""
    postgres = site.stack.supervisor["postgres"] if site.stack.supervisor else None
    if postgres and postgres.failure:
        site.tell("PostgreSQL was given up and is started by hand")
        postgres.failure = ""
        postgres.start()


def main(arguments: list[str] | None = None) -> int:
    """Runs once on servers of its own; 0 also where it is not allowed, which it says."""
    parser = runs.parser("disk_full", __doc__)
    parser.add_argument("--full", type=float, default=10, help="seconds without space after the last was taken (10)")
    options = parser.parse_args(arguments)
    runs.tell(f"seed {options.seed}")
    with temporary_state("full") as folder:
        stack = Stack(folder / "hub", net.free_port(), postgres_settings=_SETTINGS, tell=runs.tell)
        stack.state.open()
        try:
            with small_disk(stack.state.server_folder("postgres")) as disk, stack:
                harm = partial(fill, disk=disk, full_s=options.full)
                report = runs.run(
                    stack, harm, seed=options.seed, seconds=60 + options.full, rate=options.rate, tell=runs.tell
                )
                log = stack.log("postgres").read_text(errors="replace")
        except NotAllowedError as why:
            runs.tell(f"skipped: {why}")
            return 0
    no_space, panics = log.count("No space left on device"), log.count("PANIC")
    print(f"PostgreSQL said {no_space} times that no space is left on the device, and {panics} times PANIC")
    return runs.end(report)


if __name__ == "__main__":
    sys.exit(main())
