"""F12, F13, F14: a primary and its standby; the primary dies or stands still, or the standby does, while payments flow.

`python -m tests.faults.failover --seed 7`; with `--asynchronous` it counts what a standby loses that is not waited for.
"""

import os
import signal
import sys
import time

from hub.local import net, proc
from hub.local.stack import Stack
from hub.local.temporary_state import temporary_state
from tests.faults import runs
from tests.faults.history import Fault
from tests.faults.injections import Site
from tests.faults.pair import Pair

_RECOVER_S = 15.0  # from the primary's death, noticing it included
_WITHOUT_STANDBY_S = 20.0  # longer than a request's deadline
_LAG_S = 1.0


def _lose_the_primary(site: Site, pair: Pair, how: int) -> None:
    """SIGKILL: its machine has lost power. SIGSTOP: it stands still, and would go on when it wakes."""
    history = site.scheme.history
    pair.primary.signal_all(how)
    lost_at = time.monotonic()
    noticed_s = pair.watch_and_fail_over()
    history.faults.append(Fault(f"primary_gets_{signal.Signals(how).name}", lost_at, lost_at))
    if proc.wait_for(lambda: history.was_taken_after(lost_at), 60):
        took_s = history.recovery_times()[-1]
        site.tell(f"noticed after {noticed_s:.1f} s, the first request was taken after {took_s:.1f} s")
        if took_s > _RECOVER_S:
            history.strange.append(f"failover took {took_s:.1f} s")
    else:
        history.strange.append("nothing was taken within a minute of the failover")
    time.sleep(4)


def _lose_the_standby(site: Site, pair: Pair) -> None:
    """No commit is acknowledged until the operator decides to do without."""
    history = site.scheme.history
    before = history.answers[503]
    pair.standby.fence()
    lost_at = time.monotonic()
    time.sleep(_WITHOUT_STANDBY_S)
    if history.was_taken_after(lost_at):
        history.strange.append("a request was taken that no standby has")
    refused = history.answers[503] - before
    site.tell(f"{_WITHOUT_STANDBY_S:.0f} s without a standby: nothing taken, {refused} times 503")
    pair.primary.set("synchronous_standby_names", "")
    healed_at = time.monotonic()
    history.faults.append(Fault("standby_gets_SIGKILL", lost_at, healed_at))
    proc.wait_for(lambda: history.was_taken_after(healed_at), 60)
    time.sleep(4)


def synchronous(site: Site, pair: Pair) -> None:
    """Both ways of losing the primary, with the lost one made a standby again between them, then losing the standby."""
    time.sleep(5)
    for how in (signal.SIGKILL, signal.SIGSTOP):
        site.tell(f"the primary gets {how.name}")
        _lose_the_primary(site, pair, how)
        site.tell("the lost one becomes the standby")
        pair.join()
        time.sleep(3)
    site.tell("the standby is killed")
    _lose_the_standby(site, pair)


def asynchronous(site: Site, pair: Pair) -> None:
    """The standby is a second behind when the primary dies."""
    time.sleep(10)
    receiver = pair.standby.receiver()
    assert receiver is not None
    os.kill(receiver, signal.SIGSTOP)
    time.sleep(_LAG_S)
    pair.primary.fence()
    os.kill(receiver, signal.SIGKILL)
    _lose_the_primary(site, pair, signal.SIGKILL)


def main(arguments: list[str] | None = None) -> int:
    """Runs once on servers of its own."""
    parser = runs.parser("failover", __doc__)
    parser.add_argument("--asynchronous", action="store_true", help="nobody waits for the standby: how much is lost?")
    options = parser.parse_args(arguments)
    seconds, harm = (30, asynchronous) if options.asynchronous else (90, synchronous)
    runs.tell(f"seed {options.seed}")
    with temporary_state("pair") as folder:
        pair = Pair(folder, synchronous=not options.asynchronous)
        try:
            pair.start()
            environ = os.environ | {"DATABASE_URL": pair.url}
            with Stack(folder / "hub", net.free_port(), environ=environ, tell=runs.tell) as stack:
                report = runs.run(
                    stack,
                    lambda site: harm(site, pair),
                    seed=options.seed,
                    seconds=seconds,
                    rate=options.rate,
                    tell=runs.tell,
                )
        finally:
            pair.stop()
    print("\n".join(report.lines()))
    if options.asynchronous:
        print(f"{len(report.findings.lost)} acknowledged things are lost: a standby that is not waited for takes over")
        return 0
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
