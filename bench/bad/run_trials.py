"""Runs trials one after the other, each on a new hub, and reports their results."""

import argparse
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import report
from bench.bad.figures import INTERVALS, PERCENTILES, change, verdict
from bench.bad.misbehaviours import ALL
from bench.bad.trial import BadPlan, Trial
from bench.hubs import own_hub
from bench.onboard import OnboardingError
from hub.local.errors import LocalError
from hub.local.temporary_state import discard

RATE = 8.0  # transfers per second: with two CPU cores, the hub can process many more, so it has time for the third DFSP

_KINDS = ("transfers", "payments")
# The hub's limit for each DFSP and process. The limit is a multiple of `--rate`, because a scheme chooses this limit by
# the load. Each of the two DFSPs sends 1.6 times `--rate`. All connections of a DFSP can reach the same process of the
# hub.
_LIMIT = 2.0
_MANY = 0.2  # if other programs use more CPU cores than this number, the figures are not reliable


def names(wanted: str) -> list[str]:
    """Returns the misbehaviours from the command line: "all", or names separated by commas."""
    return list(ALL) if wanted == "all" else wanted.split(",")


def run(options: argparse.Namespace, state: str, console: Console) -> int:
    """Runs all trials of the command line. Returns 1 if a trial could not run, or if its misbehaviour harmed
    well-behaved participants."""
    everything, failed = [], []
    for name in names(options.bad):
        plan = BadPlan(name, options.rate, options.seconds, options.warmup, options.drain, options.bad_rows)
        console.print(f"{name}: {' '.join((ALL[name].__doc__ or '').split())}")
        folder = Path(state) / f"bad-{name}"
        try:
            figures = _one(plan, folder, options.port)
        except (LocalError, OnboardingError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(error, flush=True)  # the other trials can still be run
            failed.append(f"bench: {name}: could not be run: {str(error).partition(chr(10))[0]}")
            continue
        finally:
            if not options.state:
                discard(folder)
        everything.append(figures)
        _show(figures, console)
        print(f"figures: {report.write(figures, f'bad-{name}')}")
        print(last_line(figures), flush=True)
    if len(everything) > 1:
        console.print(table(everything))
        for figures in everything:
            print(last_line(figures))
    for line in failed:
        print(line)
    return 1 if failed or any(figures["harm"] for figures in everything) else 0


def _one(plan: BadPlan, folder: Path, port: int | None) -> dict[str, Any]:
    limits = {"DFSP_RATE": f"{plan.rate * _LIMIT:g}"}
    with own_hub(str(folder), port, settings=limits) as hub:
        found = Trial(hub, plan).perform()
        ledger_ok, told = hub.check_ledger()
    if ledger_ok is False:
        print(told)
    figures = {"plan": asdict(plan), **report.where_and_when(), **found, "ledger_ok": ledger_ok}
    return figures | {"harm": verdict(figures)}


def last_line(figures: Mapping[str, Any]) -> str:
    """Returns the last line of output, for scripts."""
    name, harm = figures["plan"]["name"], figures["harm"]
    said = f"bench: {name}: " + (f"HARMED: {'; '.join(harm)}" if harm else "ok")
    strangers = max(figures["cpu_share"][when]["others"] for when in INTERVALS)
    return said + (f" (others on this machine used {strangers:.1f} cores)" if strangers >= _MANY else "")


def table(everything: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a table with one row for each kind of misbehaviour."""
    made = Table("", title=f"Effects on the others: before, during and after, in ms and MB ({_revision(everything)})")
    for heading in (*(f"{kind} {name}" for kind in ("transfers", "payments") for name in PERCENTILES), "errors"):
        made.add_column(heading)
    for heading in ("web MB", "worker MB", "others' cores", ""):
        made.add_column(heading)
    for figures in everything:
        times = [_times(figures[kind], name) for kind in ("transfers", "payments") for name in PERCENTILES]
        memory = [_megabytes(figures["rss_mb"].get(name)) for name in ("web", "worker")]
        errors = [sum(sum(figures[kind][when]["errors"].values()) for kind in _KINDS) for when in INTERVALS]
        strangers = f"{figures['cpu_share']['during']['others']:.1f}"
        word = "HARMED" if figures["harm"] else "ok"
        made.add_row(figures["plan"]["name"], *times, _arrows(errors), *memory, strangers, word)
    return made


def _show(figures: Mapping[str, Any], console: Console) -> None:
    times = Table("the others'", *INTERVALS, "change", title="Time, ms")
    for kind in _KINDS:
        for name in PERCENTILES:
            found = [figures[kind][when]["times_ms"][name] for when in INTERVALS]
            times.add_row(f"{kind} {name}", *(f"{ms:g}" for ms in found), change(found[0], found[1]))
        counts = [figures[kind][when]["count"] for when in INTERVALS]
        times.add_row(f"{kind} completed", *(str(count) for count in counts))
        errors = [figures[kind][when]["errors"] for when in INTERVALS]
        times.add_row(f"{kind} failed", *(_counts(each) for each in errors))
    memory = Table("process", "before", "at most", "after", title="Resident memory, MB")
    for name, mb in figures["rss_mb"].items():
        memory.add_row(name, *(str(mb[when]) for when in ("before", "most", "after")))
    shares = Table("cores used", *INTERVALS)
    for who in ("hub", "load", "bad", "others"):
        shares.add_row(who, *(f"{figures['cpu_share'][when][who]:.2f}" for when in INTERVALS))
    console.print(times, memory, shares)
    bad = figures["bad"]
    console.print(f"the hub's answers: {_counts(bad['answers'])}; received: {_received(bad['received'])}")
    if figures["strays"]:
        console.print(f"others received unrequested messages: {_counts(figures['strays'])}")


def _received(received: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{name[11:]} {_counts(counts)}" for name, counts in received.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in sorted(counts.items())) or "-"


def _times(seen: Mapping[str, Any], name: str) -> str:
    return _arrows([round(seen[when]["times_ms"][name]) for when in INTERVALS])


def _megabytes(mb: Mapping[str, int] | None) -> str:
    return _arrows([mb[when] for when in ("before", "most", "after")]) if mb else "-"


def _arrows(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)


def _revision(everything: Sequence[Mapping[str, Any]]) -> str:
    return str(everything[0]["revision"])
