"""A chaos run: faults at random moments while payments flow.

`python -m tests.faults.chaos --minutes 3 --seed 7`; what fails exits with 1 and says the seed.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from hub.local import net, proc
from hub.local.stack import Stack
from hub.local.temporary_state import temporary_state
from tests.faults import runs
from tests.faults.history import Fault
from tests.faults.injections import FAULTS, Site

_RECOVER_S = 60.0


def run(
    stack: Stack,
    *,
    seed: int,
    seconds: float,
    rate: float,
    every: float = 0,
    only: Sequence[Callable[[Site], None]] = FAULTS,
    whole_payments: bool = False,
    with_rules: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> runs.Report:
    """On a hub that runs; leaves it running. A fault begins `every` seconds after the one before, or later."""
    harm = partial(_inject, faults=only, until=time.monotonic() + seconds, every=every)
    return runs.run(
        stack,
        harm,
        seed=seed,
        seconds=seconds,
        rate=rate,
        whole_payments=whole_payments,
        with_rules=with_rules,
        tell=tell,
    )


def _inject(site: Site, *, faults: Sequence[Callable[[Site], None]], until: float, every: float) -> None:
    """Every one of these in a random order, again and again, each some seconds after the hub took a request again."""
    waiting: list[Callable[[Site], None]] = []
    time.sleep(3)
    while time.monotonic() < until:
        if not waiting:
            waiting = site.rng.sample(faults, len(faults))
        fault = waiting.pop()
        began_at = time.monotonic()
        site.tell(fault.__name__.replace("_", " "))
        fault(site)
        healed_at = time.monotonic()
        site.scheme.history.faults.append(Fault(fault.__name__, began_at, healed_at))
        proc.wait_for(lambda healed_at=healed_at: site.scheme.history.was_taken_after(healed_at), _RECOVER_S)  # type: ignore[misc]
        time.sleep(max(site.rng.uniform(0.5, 3.0), min(began_at + every, until) - time.monotonic()))


def main(arguments: list[str] | None = None) -> int:
    """Runs once on servers of its own."""
    parser = runs.parser("chaos", __doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long the load lasts (5)")
    parser.add_argument(
        "--every", type=float, default=0, help="seconds from fault to fault at least (as soon as the hub is back)"
    )
    parser.add_argument("--payments", action="store_true", help="whole payments: lookup, quote and transfer")
    parser.add_argument("--rules", action="store_true", help="with rules, exact limits and holds among them")
    by_name = {fault.__name__: fault for fault in FAULTS}
    parser.add_argument("--only", nargs="+", choices=by_name, metavar="FAULT", help="these and no others: %(choices)s")
    options = parser.parse_args(arguments)
    runs.tell(f"seed {options.seed}")
    with (
        temporary_state("chaos") as folder,
        Stack(folder / "hub", net.free_port(), tell=runs.tell) as stack,
    ):
        report = run(
            stack,
            seed=options.seed,
            seconds=options.minutes * 60,
            rate=options.rate,
            every=options.every,
            only=[by_name[name] for name in options.only or by_name],
            whole_payments=options.payments,
            with_rules=options.rules,
            tell=runs.tell,
        )
    return runs.end(report)


if __name__ == "__main__":
    sys.exit(main())
