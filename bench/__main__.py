"""`python -m bench`: sends whole transfers through a hub, and reports the number, the times and the costs of the
transfers."""

import argparse
import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import (
    chart,
    engine_vs_database_ceiling,
    generated_rules,
    pages,
    parties,
    replayed,
    report,
    rules_cost_in_pairs,
)
from bench.bad import run_trials
from bench.bad.misbehaviours import ALL
from bench.hubs import GivenHub, Hub, own_hub
from bench.load import CALM_S
from bench.onboard import OnboardingError
from bench.run import Plan, Run
from bench.seed_busy_day import Crowd
from hub.local.temporary_state import temporary_state

_RATE = 50.0


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--rate", type=float, help=f"transfers begun per second ({_RATE:g}, with --bad {run_trials.RATE:g})"
    )
    parser.add_argument("--seconds", type=float, default=30, help="seconds of measurement (30)")
    parser.add_argument("--warmup", type=float, default=5, help="seconds of load before the measurement (5)")
    parser.add_argument(
        "--drain", type=float, default=20, help="seconds to wait for outcomes of unfinished transfers (20)"
    )
    parser.add_argument("--dfsps", type=int, default=2, help="number of DFSPs that pay each other (2)")
    parser.add_argument(
        "--hot", type=float, default=0.0, help="extra share of all transfers that the first DFSP pays (0)"
    )
    parser.add_argument("--payments", action="store_true", help="sends whole payments: lookup, quote and transfer")
    parser.add_argument("--iso20022", action="store_true", help="messages in the ISO 20022 form of version 2.0")
    parser.add_argument(
        "--stored",
        type=int,
        default=0,
        metavar="N",
        help="the started hub has N finished transfers (with --payments: with lookups and quotes) before the load",
    )
    parser.add_argument("--signed", action="store_true", help="every DFSP signs, and the hub checks and signs")
    parser.add_argument(
        "--calm",
        type=float,
        default=0.0,
        metavar="RATE",
        help=f"rate for {CALM_S} s after the measurement: shows how long the hub takes to recover",
    )
    parser.add_argument(
        "--rules",
        type=int,
        metavar="N",
        help=f"N live rules, {generated_rules.EXACT_LIMITS} of them exact limits, and payments between"
        f" {parties.PARTIES} customers. With 0, the same payments run without rules, for comparison",
    )
    parser.add_argument("--biller", action="store_true", help="everybody pays one customer of the first DFSP")
    parser.add_argument(
        "--pairs",
        type=int,
        default=0,
        metavar="N",
        help="with --rules: N pairs of runs, one without and one with rules, each on a new hub; prints the medians",
    )
    parser.add_argument(
        "--replay",
        type=int,
        metavar="N",
        help="only the time of a replay of rules (200, or --rules) over N payments",
    )
    parser.add_argument("--suite", action="store_true", help="runs with 2, 8 and 32 DFSPs, then payments")
    parser.add_argument("--curve", metavar="RATES", help="rates such as 50,100,200: p99 up to collapse")
    parser.add_argument("--alone", action="store_true", help="only the engine in process and the database's limit")
    parser.add_argument(
        "--pages", type=int, metavar="TRANSFERS", help="only the times of the portal's pages, with this many transfers"
    )
    parser.add_argument(
        "--hours", type=float, default=24, help="with --pages, --stored: hours over which they arrived (24)"
    )
    parser.add_argument(
        "--bad",
        metavar="NAME",
        help="only how a third DFSP's misbehaviour affects two others. NAME is all, or some of"
        f" {', '.join(ALL)}. Each needs a new hub. --rate is the rate of transfers; a fifth as many payments run in"
        " addition. --seconds is the length of each interval: before, during and after",
    )
    parser.add_argument(
        "--bad-rows", type=int, default=1_000_000, metavar="N", help="with --bad: waiting messages (1000000)"
    )
    parser.add_argument("--no-limit", action="store_true", help="leave out the two figures of --alone")
    parser.add_argument("--state", help="folder for the started hub's database and logs (a new one)")
    parser.add_argument("--port", type=int, help="port for the started hub (a free one)")
    parser.add_argument("--hub", metavar="URL", help="load this running hub instead of starting one")
    parser.add_argument("--database-url", metavar="URL", help="with --hub: its database, for the ledger check")
    parser.add_argument(
        "--watch", action="append", default=[], metavar="NAME=PID", help="with --hub: a process to watch"
    )
    options = parser.parse_args(arguments)
    if options.rate is None:
        options.rate = run_trials.RATE if options.bad else _RATE
    if options.dfsps < 2 or options.rate <= 0 or options.seconds <= 0 or not 0 <= options.hot <= 1:
        parser.error("a run needs two DFSPs, a rate and a time above 0, and a share between 0 and 1")
    if options.stored and options.hub:
        parser.error("--stored cannot be used with --hub")
    if options.rules is not None:
        if options.signed or options.iso20022 or options.bad or (options.hub and not options.database_url):
            parser.error("--rules cannot be used with --signed, --iso20022, --bad, or --hub without --database-url")
        if 0 < options.rules < generated_rules.FEWEST:
            parser.error(f"--rules is 0, or {generated_rules.FEWEST} or more")
    if options.biller and options.rules is None:
        parser.error("--biller needs --rules")
    if options.pairs and (not options.rules or options.hub):
        parser.error("--pairs needs --rules, and cannot be used with --hub")
    if options.bad:
        if options.hub or options.signed or options.iso20022:
            parser.error("--bad cannot be used with --hub, --signed or --iso20022")
        if unknown := [name for name in run_trials.names(options.bad) if name not in ALL]:
            parser.error(f"--bad: {', '.join(unknown)} is not one of {', '.join(ALL)}")
    return options


def plans(options: argparse.Namespace) -> Iterator[tuple[str, Plan]]:
    """Yields the name and the plan of each run that the command line requests."""
    plan = Plan(
        options.rate,
        options.seconds,
        options.warmup,
        options.drain,
        options.dfsps,
        options.hot,
        options.payments,
        options.signed,
        options.calm,
        options.iso20022,
        options.stored,
        options.rules,
        options.biller,
    )
    if options.suite:
        for payments in (False, True):
            for dfsps in (2, 8, 32):
                what = "payments" if payments else "transfers"
                yield f"{what}-{dfsps}", replace(plan, dfsps=dfsps, hot=0.5 * (dfsps > 2), payments=payments)
    elif options.curve:
        for rate in options.curve.split(","):
            yield f"rate-{rate}", replace(plan, rate=float(rate))
    else:
        yield f"{plan.rate:g}", plan


def main(arguments: list[str] | None = None) -> int:
    """Runs everything. Returns the exit code, which is 0 if every check passed."""
    options = read_arguments(arguments)
    console = Console(highlight=False)
    all_figures: list[dict[str, Any]] = []
    with ExitStack() as stack:
        state = options.state or str(stack.enter_context(temporary_state("bench")))
        if options.pages:
            crowd = Crowd(options.pages, options.hours)
            return pages.run(str(Path(state) / "pages"), crowd, lambda found: _end_pages(found, console))
        if options.replay:
            return replayed.run(str(Path(state) / "replay"), options.replay, options.rules or replayed.RULES, console)
        if options.bad:
            return run_trials.run(options, state, console)
        beside = None
        if not options.hub and not options.no_limit and not options.curve and not options.pairs:
            beside = engine_vs_database_ceiling.run(str(Path(state) / "limit"))
            _show_limit(beside, console)
            if options.alone:
                return 0
        try:
            if options.pairs:
                return _run_pairs(options, state, console)
            hub = _hub(options, state, stack)
            for name, plan in plans(options):
                all_figures.append(_measure(hub, name, plan, beside, console))
        except OnboardingError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    return _end(options, all_figures)


def _measure(hub: Hub, name: str, plan: Plan, beside: dict[str, Any] | None, console: Console) -> dict[str, Any]:
    """Performs one run. Shows, stores and returns the figures of the run."""
    what = "payments" if plan.payments else "transfers"
    console.print(
        f"{plan.rate:g} {what}/s between {plan.dfsps} DFSPs for {plan.warmup:g} + {plan.seconds:g} s into {hub.url}"
    )
    result = Run(hub, plan).perform()
    ledger_ok, told = hub.check_ledger()
    figures = report.summary(plan, result, ledger_ok) | {"beside": beside}
    report.show(figures, console)
    if ledger_ok is not True:
        print(told)
    path = report.write(figures, name)
    path.with_suffix(".svg").write_text(chart.of_run(figures))
    print(f"figures: {path}")
    return figures


def _run_pairs(options: argparse.Namespace, state: str, console: Console) -> int:
    """Measures pairs of runs: one run without rules, and one run with rules. Each run starts its own hub. Returns 1 if
    the rules cost more than the permitted amount.
    """
    ((name, plan),) = plans(options)
    count = itertools.count()

    def measure(rules: int) -> dict[str, Any]:
        with ExitStack() as stack:
            hub = _hub(options, str(Path(state) / f"pair-{next(count)}"), stack)
            return _measure(hub, f"{name}-{rules}-rules", replace(plan, rules=rules), None, console)

    pairs = rules_cost_in_pairs.run(options.pairs, options.rules, measure)
    found = rules_cost_in_pairs.difference(pairs)
    faults = [fault for pair in pairs for each in pair for fault in report.verdict(each)]
    faults += found.faults(biller=options.biller)
    for fault in faults:
        print(f"bench: {fault}")
    print(f"bench: {options.rules} rules, median of {options.pairs} pairs: {found}")
    return 1 if faults else 0


def _end_pages(found: dict[str, Any], console: Console) -> int:
    for table, rows in found["rows"].items():
        console.print(f"{rows:12,} rows  {table}", highlight=False)
    size, transfers = found["bytes"], found["rows"]["ledger_transfer"]
    console.print(
        f"{size / 2**30:.2f} GiB of disk, {size / transfers:,.0f} bytes for each transfer;"
        f" {found['bytes_of_history'] / 2**20:,.0f} MiB of it is the history",
        highlight=False,
    )
    if "seconds_of_filling" in found:
        millions = transfers / 10**6
        console.print(
            f"{found['seconds_of_filling'] / millions:,.0f} s to fill with a million transfers,"
            f" {found['seconds_of_counting'] / millions:,.0f} s to count them;"
            f" {size / 2**30 / millions:.1f} GiB for them",
            highlight=False,
        )
    for page in found["pages"]:
        console.print(
            f"{page['median']:8.1f} ms, first {page['first']:8.1f}, slowest {page['slowest']:8.1f}  {page['page']}"
        )
    slow = [page["page"] for page in found["pages"] if page["median"] > pages.WITHIN_MS]
    for name in slow:
        print(f"bench: {name} takes longer than {pages.WITHIN_MS} ms")
    return 1 if slow else 0


def _end(options: argparse.Namespace, all_figures: list[dict[str, Any]]) -> int:
    if options.curve:
        points = [(f["plan"]["rate"], f["transfers_per_s"], report.p99(f)) for f in all_figures]
        path = report.RESULTS / "curve.svg"
        path.write_text(chart.of_curve(points))
        print(f"curve: {path}")
    faults = [fault for figures in all_figures for fault in report.verdict(figures)]
    for fault in faults:
        print(f"bench: {fault}")
    for figures in all_figures:
        print(report.last_line(figures))
    return 1 if faults else 0


def _show_limit(beside: dict[str, Any], console: Console) -> None:
    for name in ("limit", "engine"):
        figures = beside[name]
        console.print(
            f"{name}: {figures['transfers_per_s']} transfers/s in batches of {beside['batch']},"
            f" CPU {figures['client_cpu_ms']} ms here and {figures['postgres_cpu_ms']} ms in PostgreSQL"
        )
    console.print(
        f"the engine in process reaches {beside['engine_of_limit']:.0%} of the database's limit,"
        f" {beside['engine_of_limit_by_cpu']:.0%} by CPU"
    )


def _hub(options: argparse.Namespace, state: str, stack: ExitStack) -> Hub:
    if options.hub:
        watched = {name: int(pid) for name, _, pid in (text.partition("=") for text in options.watch)}
        return GivenHub(options.hub.rstrip("/"), watched, options.database_url)
    stored = Crowd(options.stored, options.hours, options.payments) if options.stored else None
    return stack.enter_context(own_hub(str(Path(state) / "hub"), options.port, signed=options.signed, stored=stored))


if __name__ == "__main__":
    sys.exit(main())
