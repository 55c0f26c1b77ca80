"""`python -m bench`: loads a hub with whole transfers and says how many it completes, how fast, and at what cost."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench import report
from bench.hubs import GivenHub, Hub, own_hub
from bench.onboard import OnboardingError
from bench.run import Plan, Run


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rate", type=float, default=50, help="transfers begun each second (50)")
    parser.add_argument("--seconds", type=float, default=30, help="how long to measure (30)")
    parser.add_argument("--warmup", type=float, default=5, help="seconds of load before that (5)")
    parser.add_argument(
        "--drain", type=float, default=20, help="seconds to wait for a sign of unfinished transfers (20)"
    )
    parser.add_argument("--dfsps", type=int, default=2, help="how many DFSPs pay each other (2)")
    parser.add_argument(
        "--hot", type=float, default=0.0, help="share of all transfers that the first DFSP pays, besides its own (0)"
    )
    parser.add_argument("--state", help="folder for our own hub's database and logs (a new one)")
    parser.add_argument("--port", type=int, help="port for our own hub (a free one)")
    parser.add_argument("--hub", metavar="URL", help="load this running hub instead of one of our own")
    parser.add_argument("--database-url", metavar="URL", help="with --hub: its database, for the ledger check")
    parser.add_argument(
        "--watch", action="append", default=[], metavar="NAME=PID", help="with --hub: a process to watch"
    )
    options = parser.parse_args(arguments)
    if options.dfsps < 2 or options.rate <= 0 or options.seconds <= 0 or not 0 <= options.hot <= 1:
        parser.error("a run needs two DFSPs, a rate and a time above 0, and a share between 0 and 1")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs once; the exit code says whether all was well."""
    options = read_arguments(arguments)
    console = Console()
    plan = Plan(options.rate, options.seconds, options.warmup, options.drain, options.dfsps, options.hot)
    with ExitStack() as stack:
        hub = _hub(options, stack)
        console.print(
            f"{plan.rate:g} transfers/s for {plan.warmup:g} + {plan.seconds:g} s into {hub.url}", highlight=False
        )
        try:
            result = Run(hub, plan).perform()
        except OnboardingError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
        ledger_ok, told = hub.check_ledger()
    figures = report.summary(plan, result, ledger_ok)
    report.show(figures, console)
    if ledger_ok is not True:
        print(told)
    print(f"figures: {report.write(figures)}")
    faults = report.verdict(figures)
    for fault in faults:
        print(f"bench: {fault}")
    print(report.last_line(figures))
    return 1 if faults else 0


def _hub(options: argparse.Namespace, stack: ExitStack) -> Hub:
    if options.hub:
        watched = {name: int(pid) for name, _, pid in (text.partition("=") for text in options.watch)}
        return GivenHub(options.hub.rstrip("/"), watched, options.database_url)
    state = options.state or str(
        Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kitovu-bench-"))) / ".local"
    )
    return stack.enter_context(own_hub(state, options.port))


if __name__ == "__main__":
    sys.exit(main())
