"""Reports the results of a run: tables for people, JSON for later comparison, and a last line for scripts."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.database_costs import RuleWork
from bench.hubs import PROJECT
from bench.latency_and_cpu_figures import GOAL_S, GOAL_SHARE, WHOLE, grouped, percentile
from bench.run import Plan, Result

RESULTS = PROJECT / "bench" / "results"


def summary(plan: Plan, result: Result, ledger_ok: bool | None) -> dict[str, Any]:
    """Returns all figures of a run, as JSON values."""
    outcome = result.outcome
    completed = outcome.completed_while_measured
    cpu = grouped(result.cpu.items())
    return {
        "plan": asdict(plan),
        **where_and_when(),
        "transfers_per_s": round(completed / plan.seconds, 1),
        "sent": outcome.sent,
        "accepted": outcome.accepted,
        "completed": outcome.completed,
        "lost": outcome.lost,
        "refused": dict(outcome.refused),
        "failed": dict(outcome.failed),
        "given_up": dict(outcome.given_up),
        "delivered_more_than_once": result.repeats,
        "sent_again_by_dfsps": result.retries,
        "contradicted": result.contradicted,
        "altered": result.altered,
        "measurement_late_s": round(result.late_s, 3),
        "hops_ms": {hop: _figures(times) for hop, times in outcome.hops.items()},
        "cpu_s": {name: round(used, 2) for name, used in cpu.items()},
        "cpu_ms_per_transfer": {name: round(used / completed * 1000, 2) for name, used in cpu.items()}
        if completed
        else {},
        "machine_cpu_s": round(result.machine_cpu_s, 2),
        "instrument_share": round(sum(cpu.get(name, 0.0) for name in ("dfsps", "generator")) / sum(cpu.values()), 3)
        if sum(cpu.values())
        else 0.0,
        "database": result.settings,
        "per_transfer": {name: round(count / completed, 2) for name, count in result.database.items()}
        if completed
        else {},
        "dearest_statements": result.dearest,
        "book_faults": result.book_faults,
        "recovered_s": result.recovered_s,
        "rules": None if result.rules is None else _of_rules(plan, result.rules, completed),
        "ledger_ok": ledger_ok,
    }


def _of_rules(plan: Plan, work: RuleWork, completed: int) -> dict[str, Any]:
    number = plan.rules or 0
    return {
        "live": number,
        "evaluated": number * completed,
        "rows_locked": work.rows_locked,
        "rows_locked_per_transfer": round(work.rows_locked / completed, 2) if completed else None,
        "payments_hit": work.payments_hit,
        "share_hit": round(work.payments_hit / completed, 4) if completed else 0.0,
    }


def where_and_when() -> dict[str, Any]:
    """Returns the machine, the revision and the time of a run."""
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()},
        "revision": _revision(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_BUSY = frozenset({"HTTP 429", "HTTP 503"})


def verdict(figures: Mapping[str, Any]) -> list[str]:
    """Returns the reasons for a failed run. The list is empty if the run passed.

    Responses with 429 and 503 are not reasons for failure, because an overload run expects them.
    """
    faults = []
    if figures["lost"]:
        faults.append(f"{figures['lost']} transfers lost")
    if figures["failed"]:
        faults.append(f"transfers failed: {figures['failed']}")
    for what in ("refused", "given_up"):
        if others := {status: count for status, count in figures[what].items() if status not in _BUSY}:
            faults.append(f"requests {what.replace('_', ' ')}: {others}")
    if figures["contradicted"]:
        faults.append(f"the hub reported two outcomes of {figures['contradicted']} transfers")
    if figures["altered"]:
        faults.append(f"the hub altered messages of {figures['altered']} transfers")
    if figures["book_faults"]:
        faults.append(f"payer, hub and payee do not agree: {figures['book_faults'][:5]}")
    if figures["ledger_ok"] is False:
        faults.append("the ledger check failed")
    if not figures["completed"]:
        faults.append("no transfer completed")
    if figures["plan"]["calm"] and figures["recovered_s"] is None:
        faults.append("the hub did not recover during the lower load")
    return faults


def p99(figures: Mapping[str, Any]) -> float:
    """Returns the p99 of whole transfers, in milliseconds."""
    found: float = figures["hops_ms"][WHOLE]["p99"]
    return found


def last_line(figures: Mapping[str, Any]) -> str:
    """Returns the last line of output, for scripts."""
    ledger = {True: "ok", False: "BROKEN", None: "not checked"}[figures["ledger_ok"]]
    what = "payments" if figures["plan"]["payments"] else "transfers"
    times, cpu = figures["hops_ms"][WHOLE], sum(figures["cpu_ms_per_transfer"].values())
    return (
        f"bench: {figures['transfers_per_s']} {what}/s, p50 {times['p50']} ms, p99 {times['p99']} ms,"
        f" cpu {cpu:.2f} ms, lost {figures['lost']}, ledger {ledger}"
    )


def write(figures: Mapping[str, Any], name: str) -> Path:
    """Stores the figures in bench/results."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{figures['at'].replace(':', '').replace('+0000', 'Z')}-{name}.json"
    path.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
    return path


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Prints the tables."""
    names = ("p50", "p95", "p99", "max")
    hops = Table("hop", *(f"{name} ms" for name in names), "of", title="Time")
    for hop, times in figures["hops_ms"].items():
        hops.add_row(hop, *(str(times[name]) if times["count"] else "-" for name in names), str(times["count"]))
    cpu = Table("process", "CPU s", "ms per transfer", title="CPU while measured")
    for name, used in figures["cpu_s"].items():
        cpu.add_row(name, str(used), str(figures["cpu_ms_per_transfer"].get(name, "-")))
    total = sum(figures["cpu_s"].values())
    cpu.add_section()
    cpu.add_row("all", f"{total:.2f}", f"{sum(figures['cpu_ms_per_transfer'].values()):.2f}")
    # CPU time of processes that do not belong to the run. No other row contains this CPU time.
    cpu.add_row("others on this machine", f"{max(0.0, figures['machine_cpu_s'] - total):.2f}", "")
    console.print(hops, cpu)
    if per_transfer := figures["per_transfer"]:
        told = ", ".join(f"{count:g} {name.replace('_', ' ')}" for name, count in per_transfer.items())
        console.print(f"database, per transfer: {told}", highlight=False)
    if (rules := figures["rules"]) is not None:
        console.print(
            f"{rules['live']} rules: {rules['evaluated']} evaluated, {rules['rows_locked']} rows of profiles locked"
            f" ({rules['rows_locked_per_transfer']} per transfer, by the gate and by the tick that adds payments),"
            f" {rules['payments_hit']} transfers hit"
            f" ({rules['share_hit']:.1%})",
            highlight=False,
        )
    console.print(f"share of the instrument itself: {figures['instrument_share']:.0%}", highlight=False)
    if figures["recovered_s"] is not None:
        console.print(
            f"at {figures['plan']['calm']:g}/s after that, {GOAL_SHARE:.0%} completed within {GOAL_S:g} s in each"
            f" second from {figures['recovered_s']:g} s on",
            highlight=False,
        )
    if figures["book_faults"] is not None:
        console.print(f"payer, hub and payee disagree on: {len(figures['book_faults'])} transfers", highlight=False)
    for name in (
        "sent",
        "accepted",
        "completed",
        "refused",
        "failed",
        "given_up",
        "delivered_more_than_once",
        "sent_again_by_dfsps",
        "contradicted",
        "altered",
    ):
        if figures[name]:
            console.print(f"{name.replace('_', ' ')}: {figures[name]}", highlight=False)


def _figures(seconds: list[float]) -> dict[str, float]:
    percents = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    found = {name: percentile(seconds, percent) for name, percent in percents.items()}
    return {name: round(value * 1000, 1) for name, value in found.items()} | {"count": len(seconds)}


def _revision() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
