"""Divides long work of a web process into parts, with pauses in which the machine serves other requests.

Long work is, for example, a batch of ten thousand aliases, or a file of a hundred thousand rows. Such work keeps a CPU
of the process and a CPU of PostgreSQL busy for a while. Payments would wait for these CPUs at each of their steps.
"""

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from hub.concurrency_shares import Places, Sizes
from hub.cpu_use import cpus

# The length of a pause, as a multiple of the time that the previous part took. On an idle machine, the multiple is the
# first number. If the CPUs are busy all the time, the multiple is the sum of both numbers.
_IDLE, _BUSY = 0.5, 12.0
_LONGEST_S = 0.5

_ONE = Sizes(most=1, shared=1, share=0, waiting=256, waiting_share=64)
_turns = Places()

_sleep = time.sleep


@contextmanager
def turn(caller: Hashable, *, wait_s: float, pauses: bool) -> Iterator[None]:
    """Waits until no part of other long work runs in this process. Runs the block, which works on one part. Then
    pauses, if `pauses` is True.

    No other part begins during the pause. If another part could begin, the parts of one work would fill the pauses of
    another work. Raises NoPlace if this part does not get its turn within `wait_s` seconds.
    """
    with _turns.taken(caller, _ONE, wait_s=wait_s):
        began = time.monotonic()
        yield
        if pauses:
            pause_after(time.monotonic() - began)


def pause_after(took_s: float) -> None:
    """Pauses after a part of the work. `took_s` is the duration of this part. During the pause, the caller must hold no
    database lock and no database connection."""
    _sleep(min(_LONGEST_S, took_s * (_IDLE + _BUSY * cpus.use())))
